"""The paper's networks, and two of our own, as plain Keras models.

A backbone is a function `image_shape -> keras.Model`. Write your own the same
way: any functional model will do whose convolutions are `Conv2D` layers and
whose output is one vector per image.

Source: Lee, Behpour & Eaton (2021), Appendix; order inside a layer and
initialisation from the authors' code: convolution, ReLU, max-pooling; filters
and dense weights truncated normal with deviation 0.05, biases 0.2; one dropout
of 0.5 after flattening.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras

Backbone = Callable[[tuple[int, int, int]], keras.Model]


def paper_initializers() -> dict[str, keras.Initializer]:
    """Returns the authors' initialisers for plain filters and dense layers."""
    return {
        "kernel_initializer": keras.initializers.TruncatedNormal(stddev=0.05),
        "bias_initializer": keras.initializers.Constant(0.2),
    }


def linear_head(num_classes: int) -> keras.Layer:
    """Returns the output layer of one task: features -> logits.

    Args:
        num_classes: Number of classes of the task.
    """
    return keras.layers.Dense(num_classes, name="head", **paper_initializers())


def zero_head(num_classes: int) -> keras.Layer:
    """Returns an output layer that knows nothing yet: its weights are zero.

    Every configuration then begins with the same likelihood, whatever its
    features, so the first mini-batch counts for the one that shares most, as
    ties do, and not for one by chance.

    Args:
        num_classes: Number of classes of the task.
    """
    return keras.layers.Dense(
        num_classes, name="head", kernel_initializer="zeros"
    )


def plain_cnn(
    image_shape: tuple[int, int, int],
    *,
    channels: Sequence[int],
    kernel_sizes: Sequence[int],
    pool_sizes: Sequence[int],
    dense_units: Sequence[int],
    dropout: float = 0.5,
    initializers: Callable[[], dict] = paper_initializers,
    name: str | None = None,
) -> keras.Model:
    """Returns a chain of convolutions followed by dense layers.

    Args:
        image_shape: Height, width and channels of the images.
        channels: Output channels per convolution.
        kernel_sizes: Filter height and width per convolution.
        pool_sizes: Pooling window and stride per convolution; 1: none.
        dense_units: Units per dense layer.
        dropout: Fraction of flattened features dropped while training.
        initializers: Returns the keyword arguments that initialise a layer.
        name: Name of the model.

    Returns:
        float32 [batch, *image_shape] -> float32 [batch, features].
    """
    images = keras.Input(image_shape, name="images")
    outputs = images
    for index, (width, kernel, pool) in enumerate(
        zip(channels, kernel_sizes, pool_sizes, strict=True), start=1
    ):
        outputs = keras.layers.Conv2D(
            width,
            kernel,
            padding="same",
            activation="relu",
            name=f"conv_{index}",
            **initializers(),
        )(outputs)
        if pool > 1:
            outputs = keras.layers.MaxPooling2D(
                pool, padding="same", name=f"pool_{index}"
            )(outputs)
    outputs = keras.layers.Flatten(name="flatten")(outputs)
    outputs = keras.layers.Dropout(dropout, name="dropout")(outputs)
    for index, units in enumerate(dense_units, start=1):
        outputs = keras.layers.Dense(
            units, activation="relu", name=f"dense_{index}", **initializers()
        )(outputs)
    return keras.Model(images, outputs, name=name)


def cifar(image_shape: tuple[int, int, int]) -> keras.Model:
    """Returns the paper's network for CIFAR-100: 4 convolutions, 1 dense.

    Args:
        image_shape: Height, width and channels; (32, 32, 3) in the paper.
    """
    return plain_cnn(
        image_shape,
        channels=(32, 32, 64, 64),
        kernel_sizes=(3, 3, 3, 3),
        pool_sizes=(1, 2, 1, 2),
        dense_units=(64,),
        name="cifar",
    )


def office_home(image_shape: tuple[int, int, int]) -> keras.Model:
    """Returns the paper's network for Office-Home: 4 convolutions, 2 dense.

    Args:
        image_shape: Height, width and channels; (128, 128, 3) in the paper.
    """
    return plain_cnn(
        image_shape,
        channels=(64, 256, 256, 256),
        kernel_sizes=(11, 5, 3, 3),
        pool_sizes=(3, 3, 2, 2),
        dense_units=(256, 64),
        name="office_home",
    )


def stl10(
    image_shape: tuple[int, int, int], dense_units: Sequence[int] = (128, 16)
) -> keras.Model:
    """Returns the paper's network for STL-10: 6 convolutions, 2 dense.

    Args:
        image_shape: Height, width and channels; (96, 96, 3) in the paper.
        dense_units: Units of each dense layer; with tensor factorization the
            paper has only the first.
    """
    return plain_cnn(
        image_shape,
        channels=(32, 32, 64, 64, 128, 128),
        kernel_sizes=(3,) * 6,
        pool_sizes=(1, 3) * 3,
        dense_units=dense_units,
        name="stl10",
    )


def stl10_nine_layers(image_shape: tuple[int, int, int]) -> keras.Model:
    """Returns the paper's 9-layer network for the grouped STL-10 stream.

    Args:
        image_shape: Height, width and channels; (96, 96, 3) in the paper.
    """
    return plain_cnn(
        image_shape,
        channels=(32,) * 3 + (64,) * 3 + (128,) * 3,
        kernel_sizes=(3,) * 9,
        pool_sizes=(1, 1, 3) * 3,
        dense_units=(128, 16),
        name="stl10_nine_layers",
    )


def digits(image_shape: tuple[int, int, int]) -> keras.Model:
    """Returns a small network for small images: 3 convolutions, 1 dense.

    Not from the paper: it is what the quick start trains. With the paper's
    small weights so small a network would take many epochs to get going, so
    it starts with those of He et al. (2015).

    Args:
        image_shape: Height, width and channels, such as (8, 8, 1).
    """
    return plain_cnn(
        image_shape,
        channels=(16, 16, 32),
        kernel_sizes=(3, 3, 3),
        pool_sizes=(1, 2, 1),
        dense_units=(32,),
        initializers=lambda: {"kernel_initializer": "he_normal"},
        name="digits",
    )


def by_channel(
    image_shape: tuple[int, int, int], filters: int = 4, kernel_size: int = 5
) -> keras.Model:
    """Returns convolutions side by side, each of which reads one channel.

    Not from the paper: it goes with `data.synthetic`, whose channels differ in
    whether tasks have anything in common there.

    Args:
        image_shape: Height, width and channels.
        filters: Output channels of each convolution.
        kernel_size: Filter height and width.

    Returns:
        float32 [batch, *image_shape] -> float32 [batch, channels * filters].
    """
    images = keras.Input(image_shape, name="images")
    branches = []
    for channel in range(image_shape[-1]):
        outputs = keras.layers.Conv2D(
            filters,
            kernel_size,
            padding="same",
            activation="relu",
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.1),
            name=f"conv_{channel + 1}",
        )(images[..., channel : channel + 1])
        branches.append(keras.layers.GlobalMaxPooling2D()(outputs))
    several = len(branches) > 1
    features = keras.layers.Concatenate()(branches) if several else branches[0]
    return keras.Model(images, features, name="by_channel")

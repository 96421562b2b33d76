import keras
import numpy as np
import pytest

from lasem_tf.checks import InputError
from lasem_tf.networks import backbones
from lasem_tf.networks.widths import ConvolutionChain

LAYERS = keras.layers


def chain_of(*layers, shape=(6, 6, 2)):
    return ConvolutionChain(keras.Sequential([keras.Input(shape), *layers]))


def test_the_papers_networks_are_chains():
    for backbone, shape in (
        (backbones.cifar, (32, 32, 3)),
        (backbones.office_home, (128, 128, 3)),
        (backbones.stl10, (96, 96, 3)),
        (backbones.digits, (8, 8, 1)),
    ):
        features = backbone(shape)
        logits = LAYERS.Dense(2)(features.output)
        chain = ConvolutionChain(keras.Model(features.input, logits))
        assert len(chain.convolutions) == len(chain.widths) > 0


def test_resized_changes_filters_and_what_they_feed():
    chain = chain_of(
        LAYERS.Conv2D(3, 3, padding="same", activation="relu", name="a"),
        LAYERS.MaxPooling2D(2),
        LAYERS.Conv2D(4, 3, strides=2, use_bias=False, name="b"),
        LAYERS.Flatten(),
        LAYERS.Dense(5),
        LAYERS.Dense(2),
    )
    larger = chain.resized((7, 2))
    assert (chain.widths, larger.widths) == ((3, 4), (7, 2))
    assert larger.convolutions[0].kernel.shape == (3, 3, 2, 7)
    assert larger.convolutions[1].kernel.shape == (3, 3, 7, 2)
    assert larger.convolutions[1].strides == (2, 2)
    assert not larger.convolutions[1].use_bias
    assert larger.dense.kernel.shape == (2, 5)
    assert larger.dense is larger.model.layers[-2]


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([LAYERS.Flatten], np.tile(np.arange(3), 36)),
        ([LAYERS.GlobalAveragePooling2D], np.arange(3)),
        (
            [
                LAYERS.ReLU,
                lambda: LAYERS.MaxPooling2D(3),
                lambda: LAYERS.Dropout(0.5),
                lambda: LAYERS.Permute((3, 1, 2)),
                LAYERS.Flatten,
            ],
            np.repeat(np.arange(3), 4),
        ),
    ],
)
def test_features_are_traced_to_their_filters(layers, expected):
    chain = chain_of(
        LAYERS.Conv2D(3, 3, padding="same", activation="tanh"),
        *[make() for make in layers],
        LAYERS.Dense(2),
    )
    np.testing.assert_array_equal(chain.channels_of_features(), expected)


@pytest.mark.parametrize(
    "make",
    [lambda: LAYERS.ReLU(max_value=0.5), lambda: LAYERS.Activation("tanh")],
)
def test_features_may_be_bounded(make):
    chain = chain_of(
        LAYERS.Conv2D(12, 3), make(), LAYERS.Flatten(), LAYERS.Dense(2)
    )
    channels = chain.channels_of_features()
    np.testing.assert_array_equal(channels, np.arange(len(channels)) % 12)


def test_features_of_many_filters_are_told_apart_in_bfloat16():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        chain = chain_of(
            LAYERS.Conv2D(300, 3),
            LAYERS.GlobalAveragePooling2D(),
            LAYERS.Dense(2),
        )
        channels = chain.channels_of_features()
    finally:
        keras.config.set_dtype_policy("float32")
    np.testing.assert_array_equal(channels, np.arange(300))


def test_features_of_several_filters_are_refused():
    chain = chain_of(
        LAYERS.Conv2D(3, 3),
        LAYERS.GlobalAveragePooling2D(),
        LAYERS.Lambda(lambda x: x @ np.full((3, 2), 0.4, np.float32)),
        LAYERS.Dense(2),
    )
    with pytest.raises(InputError, match="features of more than one filter"):
        chain.channels_of_features()


def residual(shape):
    images = keras.Input(shape)
    a = LAYERS.Conv2D(2, 1)(images)
    b = LAYERS.Conv2D(2, 1)(a)
    outputs = LAYERS.Dense(2)(LAYERS.Flatten()(LAYERS.Add()([a, b])))
    return keras.Model(images, outputs)


def called_twice(shape):
    images = keras.Input(shape)
    layer = LAYERS.Conv2D(2, 1)
    outputs = LAYERS.Dense(2)(LAYERS.Flatten()(layer(layer(images))))
    return keras.Model(images, outputs)


def sequential(*layers):
    return lambda shape: keras.Sequential([keras.Input(shape), *layers])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (residual, "which merges branches"),
        (called_twice, "which is called twice"),
        (
            sequential(
                LAYERS.Conv2D(4, 1),
                LAYERS.Conv2D(4, 1, groups=2),
                LAYERS.Flatten(),
                LAYERS.Dense(2),
            ),
            "with groups or channels first",
        ),
        (
            sequential(
                LAYERS.Conv2D(4, 1),
                LAYERS.BatchNormalization(),
                LAYERS.Flatten(),
                LAYERS.Dense(2),
            ),
            "a BatchNormalization with weights",
        ),
        (
            sequential(LAYERS.Flatten(), LAYERS.Dense(2)),
            "a Dense with weights",
        ),
        (
            sequential(LAYERS.Conv2D(4, 1), LAYERS.Flatten()),
            "no convolution before a dense layer",
        ),
    ],
)
def test_other_networks_are_refused_by_name(make, message):
    with pytest.raises(InputError, match=message):
        ConvolutionChain(make((4, 4, 2)))

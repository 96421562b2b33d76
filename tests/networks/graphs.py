"""Small networks drawn at random, and what each configuration computes.

A network is drawn twice from one seed: once for the library, once to stay the
plain Keras model that the library is compared with.
"""

import keras
import numpy as np

from tests.layers.shapes import RULES  # noqa: F401

CHANNELS = 2


class Plain:
    """A plain Keras model that remembers its convolutions by name."""

    def __init__(self, model, convolutions):
        self.model = model
        self.convolutions = {layer.name: layer for layer in convolutions}

    def start_like(self, model):
        self.model.set_weights(model.get_weights())
        return self

    def logits(self, network, configuration, images, **kwargs):
        """Puts the kernels of one configuration in place and calls Keras."""
        for layer, shared in zip(
            network.selective_layers, configuration.shared, strict=True
        ):
            kernel, bias = (layer.shared if shared else layer.task)()
            plain = self.convolutions[layer.name]
            before = plain.get_weights()
            weights = [kernel] if bias is None else [kernel, bias]
            plain.set_weights([w.numpy() for w in weights])
            plain.before = before
        logits = self.model(images, **kwargs).numpy()
        for plain in self.convolutions.values():
            plain.set_weights(plain.before)
        return logits


class Drawing:
    """Draws layers with names of their own, from one generator."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.convolutions = []
        self.reusable = []

    def choice(self, options):
        return options[self.rng.integers(len(options))]

    def convolution(self, channels=CHANNELS, **kwargs):
        layer = keras.layers.Conv2D(
            channels,
            kwargs.pop("kernel_size", self.choice([1, 2, 3, (1, 3)])),
            activation=self.choice(["relu", "tanh", None]),
            use_bias=bool(self.rng.integers(2)),
            bias_initializer="normal",
            name=f"conv_{len(self.convolutions) + 1}",
            **kwargs,
        )
        self.convolutions.append(layer)
        return layer

    def finish(self, images, outputs):
        outputs = keras.layers.Flatten()(outputs)
        outputs = keras.layers.Dense(3, bias_initializer="normal")(outputs)
        return Plain(keras.Model(images, outputs), self.convolutions)


def chain(depth, seed):
    """Convolutions one after another, any stride, padding and dilation."""
    draw = Drawing(seed)
    images = keras.Input((6, 7, CHANNELS))
    outputs = images
    for _ in range(depth):
        room = min(outputs.shape[1:3]) > 2
        outputs = draw.convolution(
            channels=draw.choice([1, 2, 3]),
            padding=draw.choice(["same", "valid"]) if room else "same",
            **draw.choice(
                [{}, {}, {"strides": 2 if room else 1}, {"dilation_rate": 2}]
                if room and draw.rng.random() < 0.5
                else [{}]
            )
            | {"kernel_size": draw.choice([1, 2])},
        )(outputs)
        if draw.rng.random() < 0.3:
            outputs = keras.layers.MaxPooling2D(2, padding="same")(outputs)
    return draw.finish(images, outputs)


def graph(num_steps, seed):
    """Branches that part and merge, layers used twice, models in models."""
    draw = Drawing(seed)
    images = keras.Input((3, 4, CHANNELS))
    tensors = [images]
    tensors.append(_new(draw, tensors))
    steps = [_new, _again, _merged, _split, _other, _residual_model, _twice]
    for _ in range(num_steps):
        tensors.append(draw.choice(steps)(draw, tensors))
    return draw.finish(images, keras.layers.Add()(tensors[1:] + tensors[-1:]))


def _new(draw, tensors):
    layer = draw.convolution(padding="same")
    draw.reusable.append(layer)
    return layer(draw.choice(tensors))


def _again(draw, tensors):
    return draw.choice(draw.reusable)(draw.choice(tensors))


def _merged(draw, tensors):
    pair = [draw.choice(tensors), draw.choice(tensors)]
    merge = draw.choice(["add", "maximum", "product", "concatenate"])
    if merge == "add":
        return keras.layers.Add()(pair)
    if merge == "maximum":
        return keras.ops.maximum(*pair)
    if merge == "product":
        return pair[0] * keras.ops.sigmoid(pair[1]) + 0.5
    merged = keras.layers.Concatenate()([*pair, draw.choice(tensors)])
    return draw.convolution(kernel_size=1)(merged)


def _split(draw, tensors):
    parts = keras.ops.split(draw.choice(tensors), CHANNELS, axis=-1)
    return keras.layers.Concatenate()(parts[::-1])


def _other(draw, tensors):
    layer = draw.choice(
        [
            keras.layers.LayerNormalization(),
            keras.layers.DepthwiseConv2D(2, padding="same"),
            keras.layers.BatchNormalization(trainable=False),
            keras.layers.Dropout(0.5),
        ]
    )
    return layer(draw.choice(tensors))


def _residual_model(draw, tensors):
    inner = keras.Input((3, 4, CHANNELS))
    outputs = keras.layers.Add()(
        [inner, draw.convolution(padding="same")(inner)]
    )
    return keras.Model(inner, outputs)(draw.choice(tensors))


def _twice(draw, tensors):
    """A Sequential model with a model inside, called twice."""
    inner = keras.Sequential(
        [
            keras.Input((3, 4, CHANNELS)),
            draw.convolution(padding="same"),
            keras.layers.ReLU(),
        ]
    )
    model = keras.Sequential(
        [
            keras.Input((3, 4, CHANNELS)),
            inner,
            keras.layers.LayerNormalization(),
        ]
    )
    return model(model(draw.choice(tensors)))


def images(shape=(3, 4, CHANNELS), batch=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(batch, *shape)).astype(np.float32)

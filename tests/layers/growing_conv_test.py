import keras
import numpy as np
import pytest
import tensorflow as tf

from lasem_tf.layers.growing_conv import GrowingConv


def stack(num_alive, activation="relu", **geometry):
    """Two convolutions, and what makes a growing one of each."""
    convolutions = [
        keras.layers.Conv2D(
            filters,
            3,
            activation=activation,
            bias_initializer="normal",
            **geometry,
        )
        for filters in (5, 6)
    ]
    for layer, channels in zip(convolutions, (2, 5), strict=True):
        layer.build((None, 9, 9, channels))
    first = GrowingConv(convolutions[0], num_alive[0])
    return convolutions, [
        first,
        GrowingConv(convolutions[1], num_alive[1], first),
    ]


IMAGES = np.random.default_rng(0).normal(size=(3, 9, 9, 2)).astype("float32")


@pytest.mark.parametrize(
    "geometry",
    [
        {},
        {"padding": "same"},
        {"strides": 2},
        {"dilation_rate": 2},
        {"use_bias": False},
        {"activation": "sigmoid"},
    ],
)
def test_it_is_the_convolution_with_silent_units(geometry):
    convolutions, growing = stack((3, 4), **geometry)
    growing[0].alive.assign([1, 0, 1, 0, 0])
    growing[1].alive.assign([0, 1, 1, 0, 1, 0])
    expected = outputs = IMAGES
    for convolution, layer in zip(convolutions, growing, strict=True):
        expected = convolution(expected) * layer.alive.value
        outputs = layer(outputs)
        np.testing.assert_allclose(outputs, expected, atol=1e-5)
    assert np.abs(expected).max() > 0


def test_units_come_into_being_without_a_new_trace():
    convolutions, growing = stack((3, 4))
    model = keras.Sequential([keras.Input((9, 9, 2)), *growing])
    assert model.output_shape == (None, 5, 5, 6)
    compiled = tf.function(model)
    for filters, channels in ((4, 3), (5, 5), (6, 5)):
        growing[0].alive.assign(np.arange(5) < channels)
        growing[1].alive.assign(np.arange(6) < filters)
        hidden = convolutions[0](IMAGES) * (np.arange(5) < channels)
        expected = convolutions[1](hidden) * (np.arange(6) < filters)
        np.testing.assert_allclose(compiled(IMAGES), expected, atol=1e-5)
    assert compiled.experimental_get_tracing_count() == 1


def test_only_places_up_to_the_last_unit_are_worked_on():
    """What does not exist may be anything, even what no sum survives."""
    convolutions, growing = stack((3, 4))
    before = growing[1](growing[0](IMAGES)).numpy()
    for layer, filters, channels in zip(
        convolutions, (3, 4), (2, 3), strict=True
    ):
        kernel, bias = layer.get_weights()
        kernel[..., filters:] = kernel[:, :, channels:] = np.nan
        bias[filters:] = np.nan
        layer.set_weights([kernel, bias])
    np.testing.assert_array_equal(growing[1](growing[0](IMAGES)), before)


def test_gradients_are_those_of_the_silenced_convolution():
    convolutions, growing = stack((3, 4))
    kernels = [layer.kernel.value for layer in convolutions]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(kernels)
        hidden = convolutions[0](IMAGES) * growing[0].alive.value
        expected = convolutions[1](hidden) * growing[1].alive.value
        received = growing[1](growing[0](IMAGES))
        losses = [tf.reduce_sum(x**2) for x in (expected, received)]
    for one, other in zip(
        *(tape.gradient(loss, kernels) for loss in losses), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_masks_are_not_trained():
    _, growing = stack((3, 4))
    model = keras.Sequential([keras.Input((9, 9, 2)), *growing])
    assert len(model.trainable_weights) == 4
    assert len(model.non_trainable_weights) == 2

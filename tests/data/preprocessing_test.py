"""Tests of the preprocessing layers against NumPy."""

import keras
import numpy as np
import pytest

from lasem_tf.checks import InputError
from lasem_tf.data.preprocessing import (
    preprocessing_layer,
    standardisation,
    unit_scaling,
)


def _images(num_images=20, channels=3, seed=0):
    generator = np.random.default_rng(seed)
    shape = [num_images, 6, 5, channels]
    return generator.integers(0, 256, shape, np.uint8)


def test_standardisation_is_mean_and_deviation_of_the_training_images():
    train, other = _images(), _images(seed=1) // 2
    layer = standardisation(train)
    mean, std = train.mean((0, 1, 2)), train.std((0, 1, 2))
    result = layer(other).numpy()
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, (other - mean) / std, atol=1e-6)


def test_each_channel_has_statistics_of_its_own():
    train = _images() // np.array([1, 4, 16], np.uint8)
    result = standardisation(train)(train).numpy()
    np.testing.assert_allclose(result.mean((0, 1, 2)), np.zeros(3), atol=1e-6)
    np.testing.assert_allclose(result.std((0, 1, 2)), np.ones(3), rtol=1e-6)


def test_a_channel_that_never_changes_is_only_centred():
    train, other = _images(), _images(seed=1)
    train[..., 1], other[..., 1] = 7, 9
    result = standardisation(train)(other).numpy()
    np.testing.assert_allclose(result[..., 1], 2.0)


def test_unit_scaling_maps_white_to_one():
    images = np.array([[[[0], [51], [255]]]], np.uint8)
    result = unit_scaling()(images).numpy()
    assert result.dtype == np.float32
    np.testing.assert_allclose(result.ravel(), [0, 0.2, 1], rtol=1e-6)


@pytest.mark.parametrize("scaling", ["standardise", "unit"])
def test_layers_hold_constants_only_and_stay_float32(scaling):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layer = preprocessing_layer(scaling, _images())
        assert layer(_images()).dtype == np.float32
    finally:
        keras.config.set_dtype_policy(before)
    assert not layer.variables


def test_refuses_an_unknown_scaling():
    with pytest.raises(InputError, match="'standardise', 'unit'.*'whiten'"):
        preprocessing_layer("whiten", _images())

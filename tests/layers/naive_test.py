"""The references themselves, against sums done by hand."""

import numpy as np

from tests.layers import naive


def test_convolution_of_a_ramp():
    inputs = np.arange(1.0, 5.0).reshape(1, 1, 4, 1)
    kernel = np.array([1.0, 10.0, 100.0]).reshape(1, 3, 1, 1)
    same = naive.convolution(inputs, kernel, (1, 1), "same")
    np.testing.assert_array_equal(same.ravel(), [210, 321, 432, 43])
    strided = naive.convolution(inputs, kernel, (1, 2), "same")
    np.testing.assert_array_equal(strided.ravel(), [321, 43])
    valid = naive.convolution(inputs, kernel, (1, 1), "valid")
    np.testing.assert_array_equal(valid.ravel(), [321, 432])
    dilated = naive.convolution(inputs, kernel[:, :2], (1, 1), "valid", (1, 2))
    np.testing.assert_array_equal(dilated.ravel(), [31, 42])


def test_transposed_convolution_of_two_pixels():
    """Pixels 1, 2 paint (1, 10, 100) each, two columns apart, from -1 on."""
    inputs = np.array([1.0, 2.0]).reshape(1, 2, 1)
    kernel = np.zeros((3, 3, 1, 1))
    kernel[1, :, 0, 0] = 1, 10, 100
    grown = naive.transposed_convolution(inputs, kernel, (1, 3))
    np.testing.assert_array_equal(grown.ravel(), [10, 102, 20])
    grown = naive.transposed_convolution(inputs, kernel, (1, 4))
    np.testing.assert_array_equal(grown.ravel(), [1, 10, 102, 20])

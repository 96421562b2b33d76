import keras
import numpy as np

from lasem_tf.layers import OwnFilters
from tests.layers import shapes


def test_they_are_the_variables_of_the_convolution():
    layer = shapes.convolution()
    source = OwnFilters(layer)
    assert source.task_mapping == [layer.kernel, layer.bias]
    assert source.knowledge_base == []
    layer.kernel.assign(np.full((3, 3, 3, 4), 2.0))
    layer.bias.assign(np.arange(4.0))
    kernel, bias = source()
    np.testing.assert_array_equal(kernel, np.full((3, 3, 3, 4), 2.0))
    np.testing.assert_array_equal(bias, [0, 1, 2, 3])


def test_the_penalty_is_that_of_the_regularizers_of_the_backbone():
    layer = shapes.convolution(
        kernel_regularizer=keras.regularizers.L2(0.5),
        bias_regularizer=keras.regularizers.L1(2.0),
    )
    layer.bias.assign([1.0, -1.0, 0.0, 3.0])
    expected = 0.5 * np.sum(np.square(layer.kernel)) + 2.0 * 5.0
    np.testing.assert_allclose(
        OwnFilters(layer).regularization(), expected, rtol=1e-6
    )


def test_the_penalty_of_a_layer_without_bias_or_regularizers():
    layer = shapes.convolution(use_bias=False, bias_regularizer="l2")
    assert float(OwnFilters(layer).regularization()) == 0.0

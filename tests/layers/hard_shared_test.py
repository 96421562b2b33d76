import keras
import numpy as np
import pytest

from lasem_tf.layers import HardParameterSharing
from tests.layers import shapes


@pytest.mark.parametrize("kernel_size", shapes.KERNEL_SIZES)
def test_filters_are_the_knowledge_base_itself(kernel_size):
    layer = shapes.convolution(kernel_size)
    source = HardParameterSharing().filter_source(0, layer)
    kernel, bias = source()
    np.testing.assert_array_equal(kernel, source.knowledge_base[0])
    np.testing.assert_array_equal(bias, source.knowledge_base[1])
    assert kernel.shape == layer.kernel.shape
    assert source.task_mapping == []
    assert float(source.regularization()) == 0.0


def test_shared_filters_start_as_the_backbone_wants_its_own_to_start():
    layer = shapes.convolution(
        channels_out=64,
        kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.05),
        bias_initializer=keras.initializers.Constant(0.2),
    )
    kernel, bias = HardParameterSharing().filter_source(0, layer)()
    # Cut off at two deviations, a normal keeps 0.88 of its deviation.
    assert np.abs(kernel).max() <= 0.1
    np.testing.assert_allclose(np.std(kernel), 0.044, rtol=0.05)
    np.testing.assert_array_equal(bias, np.full(64, 0.2, np.float32))


def test_sizes_of_the_network_for_cifar():
    """Per layer h w c_in c_out + c_out, for all tasks together."""
    sizes = [
        shapes.size(
            HardParameterSharing()
            .filter_source(0, shapes.convolution(3, c_in, c_out))
            .knowledge_base
        )
        for c_in, c_out in ((3, 32), (32, 32), (32, 64), (64, 64))
    ]
    assert sizes == [896, 9248, 18496, 36928]

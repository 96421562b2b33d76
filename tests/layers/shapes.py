"""Convolutions of every shape that the filter sources must serve."""

import keras

from lasem_tf.layers import (
    DeconvFactorization,
    HardParameterSharing,
    TensorFactorization,
)

RULES = {
    "hps": HardParameterSharing(),
    "tf": TensorFactorization(),
    "dfcnn": DeconvFactorization(),
}
KERNEL_SIZES = [(1, 1), (3, 3), (5, 5), (11, 11), (2, 2), (3, 5), (4, 1)]


def convolution(kernel_size=(3, 3), channels_in=3, channels_out=4, **kwargs):
    layer = keras.layers.Conv2D(channels_out, kernel_size, **kwargs)
    layer.build((None, 16, 16, channels_in))
    return layer


def size(variables):
    return sum(int(v.value.shape.num_elements()) for v in variables)

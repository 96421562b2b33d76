"""Where filters come from, and the convolution that chooses among them."""

from lasem_tf.layers.deconv_factorized import (
    DeconvFactorization,
    DeconvFactorizedFilters,
)
from lasem_tf.layers.filter_source import FilterSource, SharingRule
from lasem_tf.layers.hard_shared import HardParameterSharing, HardSharedFilters
from lasem_tf.layers.own_filters import OwnFilters
from lasem_tf.layers.selective_conv import SelectiveConv2D
from lasem_tf.layers.tensor_factorized import (
    TensorFactorization,
    TensorFactorizedFilters,
)

__all__ = [
    "DeconvFactorization",
    "DeconvFactorizedFilters",
    "FilterSource",
    "HardParameterSharing",
    "HardSharedFilters",
    "OwnFilters",
    "SelectiveConv2D",
    "SharingRule",
    "TensorFactorization",
    "TensorFactorizedFilters",
]

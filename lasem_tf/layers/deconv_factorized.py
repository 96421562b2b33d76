"""Deconvolutional factorization: a small shared tensor grows into filters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
import tensorflow as tf

from lasem_tf.checks import InputError
from lasem_tf.layers.filter_source import Filters, FilterSource, SharingRule

_STRIDE = 2
_MAPPING_SIZE = 3


class DeconvFactorizedFilters(FilterSource):
    """Filters that a task-specific deconvolution makes of a shared tensor.

    Source: Lee, Stokes & Eaton (2019); no activation between the two maps,
    as in the code of Lee, Behpour & Eaton (2021):

        D = conv2d_transpose(K, V, stride 2, SAME) + b_D
        W = tensordot(D, Q)

    Symbols: K = knowledge base [base_height, base_width, base_channels];
    V [3, 3, deconv_channels, base_channels], b_D [deconv_channels],
    Q [deconv_channels, in_channels, out_channels] = task mapping, followed by
    the bias [out_channels] where the layer has one.

    Args:
        convolution: A built `keras.layers.Conv2D` that gives the shapes.
        knowledge_base: `[K]` of earlier tasks; `None` creates it.
        base_channels: Channels of K. `None`: (in + out) / 3, rounded up.
        deconv_channels: Channels of D. `None`: 2 (in + out) / 3, rounded up.
    """

    def __init__(
        self,
        convolution: keras.layers.Conv2D,
        knowledge_base: list[keras.Variable] | None = None,
        base_channels: int | None = None,
        deconv_channels: int | None = None,
    ):
        super().__init__(name=f"{convolution.name}_shared")
        height, width, channels_in, channels_out = convolution.kernel.shape
        channels = channels_in + channels_out
        base_channels = base_channels or math.ceil(channels / 3)
        deconv_channels = deconv_channels or math.ceil(2 * channels / 3)
        self.kernel_shape = (height, width, channels_in, channels_out)
        base_shape = (
            math.ceil(height / _STRIDE),
            math.ceil(width / _STRIDE),
            base_channels,
        )
        self.knowledge_base = self._take_or_make(
            knowledge_base, base=(base_shape, "glorot_uniform")
        )
        self.deconvolution = self._glorot(
            (_MAPPING_SIZE, _MAPPING_SIZE, deconv_channels, base_channels),
            "deconvolution",
        )
        self.deconvolution_bias = self._glorot(
            (deconv_channels,), "deconvolution_bias"
        )
        self.contraction = self._glorot(
            (deconv_channels, channels_in, channels_out), "contraction"
        )
        self.bias = (
            self._glorot((channels_out,), "bias")
            if convolution.use_bias
            else None
        )

    def filters(self) -> Filters:
        """Deconvolves the shared tensor and contracts the channels."""
        height, width, *_ = self.kernel_shape
        base = tf.convert_to_tensor(self.knowledge_base[0])
        deconvolved = tf.nn.conv2d_transpose(
            base[None],  # [1, base_height, base_width, base_channels]
            tf.convert_to_tensor(self.deconvolution),
            output_shape=[1, height, width, self.deconvolution_bias.shape[0]],
            strides=_STRIDE,
            padding="SAME",
        )
        deconvolved = deconvolved[0] + self.deconvolution_bias
        kernel = tf.tensordot(  # [height, width, in_channels, out_channels]
            deconvolved, tf.convert_to_tensor(self.contraction), axes=1
        )
        bias = None if self.bias is None else tf.convert_to_tensor(self.bias)
        return kernel, bias


class DeconvFactorization(SharingRule):
    """Base learner DF-CNN: filters grow from a small shared tensor.

    Args:
        base_channels: Channels of the shared tensor, one number per layer.
            `None`: a third of in plus out channels, as in the paper.
        deconv_channels: Channels after the deconvolution, one number per
            layer. `None`: twice a third of in plus out channels.

    Raises:
        InputError: If a list holds a number below 1, or (when a network is
            made) does not have one for each of its layers.
    """

    name = "dfcnn"

    def __init__(
        self,
        base_channels: Sequence[int] | None = None,
        deconv_channels: Sequence[int] | None = None,
    ):
        self.base_channels = _channels("base_channels", base_channels)
        self.deconv_channels = _channels("deconv_channels", deconv_channels)

    def check_fits(self, num_layers: int) -> None:
        """See `SharingRule.check_fits`."""
        for name in ("base_channels", "deconv_channels"):
            channels = getattr(self, name)
            if channels is not None and len(channels) != num_layers:
                raise InputError(
                    f"`{name}` must hold one number for each of the network's "
                    f"{num_layers} convolutional layers.",
                    received=f"{name}={channels}",
                    remedy="Give as many numbers, or leave it out.",
                )

    def filter_source(
        self,
        layer_index: int,
        convolution: keras.layers.Conv2D,
        knowledge_base: list[keras.Variable] | None = None,
    ) -> FilterSource:
        """See `SharingRule.filter_source`."""
        return DeconvFactorizedFilters(
            convolution,
            knowledge_base,
            self.base_channels and self.base_channels[layer_index],
            self.deconv_channels and self.deconv_channels[layer_index],
        )


def _channels(
    name: str, channels: Sequence[int] | None
) -> tuple[int, ...] | None:
    if channels is None:
        return None
    listed = isinstance(channels, list | tuple)
    if not listed or not all(isinstance(c, int) and c >= 1 for c in channels):
        raise InputError(
            f"`{name}` must hold one positive whole number per layer.",
            received=f"{name}={channels!r}",
            remedy="Leave it out for the paper's rule.",
        )
    return tuple(channels)

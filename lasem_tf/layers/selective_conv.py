"""A convolution that takes its filters from one of two slots."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import NamedTuple

import keras
import tensorflow as tf

from lasem_tf.layers.filter_source import Filters, FilterSource
from lasem_tf.layers.own_filters import OwnFilters

_RELU = keras.activations.relu
_LINEAR = keras.activations.linear


class SlotFilters(NamedTuple):
    """The filters of both slots of one layer, generated once per step.

    Attributes:
        shared: `(kernel, bias)` of the shared slot.
        task: `(kernel, bias)` of the task-specific slot.
    """

    shared: Filters
    task: Filters


class SelectiveConv2D(keras.layers.Layer):
    """`Conv2D` with a shared and a task-specific slot for its filters.

    Strides, padding, dilation, groups, data format, activation and dtype
    policy are those of the convolution it replaces, whose variables become
    the task-specific slot.

    Args:
        convolution: A built `keras.layers.Conv2D`.
        shared: Filter source of the shared slot.

    Call arguments:
        inputs: float32 [batch, height, width, channels].
        mask: bool []. True takes the shared filters.

    Output shape: As of `convolution`, and in its `compute_dtype`.
    """

    def __init__(self, convolution: keras.layers.Conv2D, shared: FilterSource):
        super().__init__(name=convolution.name, dtype=convolution.dtype_policy)
        self.built = True
        self.shared = shared
        self.task = OwnFilters(convolution)
        self._activation = convolution.activation
        self._geometry = {
            "strides": convolution.strides,
            "padding": convolution.padding,
            "dilation_rate": convolution.dilation_rate,
            "data_format": convolution.data_format,
        }

    def filters(self) -> SlotFilters:
        """Generates the filters of both slots."""
        return SlotFilters(shared=self.shared(), task=self.task())

    def convolve(
        self, inputs: tf.Tensor, filters: Filters, dtype: str | None = None
    ) -> tf.Tensor:
        """Applies given filters the way this layer applies its own.

        Args:
            inputs: float32 [batch, height, width, channels].
            filters: `(kernel, bias)`.
            dtype: What to compute in; `None`: the layer's `compute_dtype`.
        """
        return self._activation(self._linear(inputs, filters, dtype))

    @property
    def backward_needs_no_forward(self) -> bool:
        """Whether `gradients` follow from the outputs, without `convolve`."""
        return self._activation in (_RELU, _LINEAR)

    def gradients(
        self,
        inputs: tf.Tensor,
        filters: Filters,
        outputs: tf.Tensor,
        upstream: tf.Tensor,
    ) -> list[tf.Tensor]:
        """Returns the gradients with respect to inputs, kernel and bias.

        Only where `backward_needs_no_forward`.

        Args:
            inputs: As for `convolve`.
            filters: As for `convolve`.
            outputs: What `convolve` gave for them.
            upstream: Gradient with respect to `outputs`.

        Returns:
            A gradient for each, none for a bias that is `None`.
        """
        if self._activation is _RELU:
            upstream = tf.raw_ops.ReluGrad(gradients=upstream, features=outputs)
        arguments = [t for t in (inputs, *filters) if t is not None]
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            # Of no use to its own gradient; left out once compiled.
            linear = self._linear(inputs, filters)
        return tape.gradient(linear, arguments, upstream)

    def _linear(
        self, inputs: tf.Tensor, filters: Filters, dtype: str | None = None
    ) -> tf.Tensor:
        dtype = dtype or self.compute_dtype
        inputs, kernel, bias = (
            None if tensor is None else tf.cast(tensor, dtype)
            for tensor in (inputs, *filters)
        )
        outputs = keras.ops.conv(inputs, kernel, **self._geometry)
        if bias is None:
            return outputs
        channels_first = self._geometry["data_format"] == "channels_first"
        # Unlike a sum, TensorFlow fuses it with what is before and after.
        return tf.nn.bias_add(
            outputs, bias, "NCHW" if channels_first else "NHWC"
        )

    def call(self, inputs: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Convolves with the filters that the mask picks."""
        return self.convolve(inputs, pick(self.filters(), mask))


def pick(filters: SlotFilters, mask: tf.Tensor) -> Filters:
    """Returns the shared filters where `mask` is true, else the task's own.

    Picking kernels, not activations, costs one plain convolution; the slot
    not picked gets gradients that are exactly zero.

    Args:
        filters: Of both slots.
        mask: bool [].
    """
    (shared_kernel, shared_bias), (own_kernel, own_bias) = filters
    kernel = tf.where(mask, shared_kernel, own_kernel)
    if shared_bias is None:
        return kernel, None
    return kernel, tf.where(mask, shared_bias, own_bias)


# What calls `convolve` for a network; the key stands for the output.
Convolve = Callable[[SelectiveConv2D, tf.Tensor, Filters, Hashable], tf.Tensor]


def plainly(
    layer: SelectiveConv2D, inputs: tf.Tensor, filters: Filters, key: Hashable
) -> tf.Tensor:
    """Convolves."""
    del key
    return layer.convolve(inputs, filters)


def in_bfloat16(
    layer: SelectiveConv2D, inputs: tf.Tensor, filters: Filters, key: Hashable
) -> tf.Tensor:
    """Convolves in bfloat16, and gives bfloat16."""
    del key
    return layer.convolve(inputs, filters, "bfloat16")

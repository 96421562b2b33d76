"""A convolution in which units come into being."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf


class GrowingConv(keras.layers.Layer):
    """A convolution with places for units that do not exist yet.

    What those places give is zero. Work is done up to the last unit that
    exists, so that places behind it cost nothing until they are taken; their
    number may change without a new trace.

    Args:
        convolution: Built. A unit is one of its filters.
        num_alive: The first so many units exist at first.
        below: The layer whose units are this one's channels; `None` for
            channels that all exist.
        **kwargs: See `keras.layers.Layer`.

    Call arguments:
        inputs: float32 [batch, height, width, channels].

    Output shape: That of `convolution`.

    Attributes:
        alive: float32 [filters]. 1 for a unit that exists.
    """

    def __init__(
        self,
        convolution: keras.layers.Conv2D,
        num_alive: int,
        below: GrowingConv | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.convolution = convolution
        self._channels_alive = None if below is None else below.alive
        self.alive = self.add_weight(
            shape=(convolution.filters,), trainable=False, name="alive"
        )
        self.alive.assign(np.arange(convolution.filters) < num_alive)

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """See `keras.layers.Layer.compute_output_shape`."""
        return self.convolution.compute_output_shape(input_shape)

    def call(self, inputs: Any) -> Any:
        """Convolves."""
        layer = self.convolution
        filters = _num_places(self.alive)
        channels = (
            layer.kernel.shape[2]
            if self._channels_alive is None
            else _num_places(self._channels_alive)
        )
        outputs = keras.ops.conv(
            inputs[..., :channels],
            layer.kernel.value[:, :, :channels, :filters],
            strides=layer.strides,
            padding=layer.padding,
            dilation_rate=layer.dilation_rate,
        )
        if layer.use_bias:
            outputs = tf.nn.bias_add(outputs, layer.bias.value[:filters])
        outputs = layer.activation(outputs) * self.alive.value[:filters]
        behind = layer.filters - filters
        return tf.ensure_shape(
            tf.pad(outputs, [[0, 0], [0, 0], [0, 0], [0, behind]]),
            self.compute_output_shape(inputs.shape),
        )


def _num_places(alive: keras.Variable) -> tf.Tensor:
    """Returns how many places there are up to the last unit, int32 []."""
    places = tf.range(1, alive.shape[0] + 1)
    return tf.reduce_max(tf.where(alive.value > 0, places, 0))

"""Filters that belong to one task and one layer."""

from __future__ import annotations

import keras
import tensorflow as tf

from lasem_tf.layers.filter_source import (
    Filters,
    FilterSource,
    PlainPenalty,
)


class OwnFilters(FilterSource):
    """The task-specific slot: plain filters of the task's own.

    It takes over the variables of the backbone's convolution, but not the
    layer: so the variables go when this source goes, and they start as the
    backbone's author wanted them to start.

    Args:
        convolution: A built `keras.layers.Conv2D`.
    """

    def __init__(self, convolution: keras.layers.Conv2D):
        super().__init__(name=f"{convolution.name}_own")
        self.kernel = convolution.kernel
        self.bias = convolution.bias if convolution.use_bias else None
        self._penalty = PlainPenalty(convolution)
        self.task_mapping = [
            v for v in (self.kernel, self.bias) if v is not None
        ]

    def filters(self) -> Filters:
        """Returns the variables themselves."""
        bias = None if self.bias is None else tf.convert_to_tensor(self.bias)
        return tf.convert_to_tensor(self.kernel), bias

    def regularization(self) -> tf.Tensor:
        """Returns what the backbone's own regularizers ask for, float32 []."""
        return self._penalty(self.filters())

"""Hard parameter sharing: all tasks use the same filters."""

from __future__ import annotations

import keras
import tensorflow as tf

from lasem_tf.layers.filter_source import (
    Filters,
    FilterSource,
    PlainPenalty,
    SharingRule,
    fresh,
)


class HardSharedFilters(FilterSource):
    """Filters that are the shared parameters themselves.

    Args:
        convolution: A built `keras.layers.Conv2D` that gives the shapes and
            the initialisers.
        knowledge_base: `[kernel]` or `[kernel, bias]` of earlier tasks;
            `None` creates them.
    """

    def __init__(
        self,
        convolution: keras.layers.Conv2D,
        knowledge_base: list[keras.Variable] | None = None,
    ):
        super().__init__(name=f"{convolution.name}_shared")
        self._penalty = PlainPenalty(convolution)
        parts = {
            "kernel": (
                convolution.kernel.shape,
                fresh(convolution.kernel_initializer),
            )
        }
        if convolution.use_bias:
            parts["bias"] = (
                convolution.bias.shape,
                fresh(convolution.bias_initializer),
            )
        self.knowledge_base = self._take_or_make(knowledge_base, **parts)

    def filters(self) -> Filters:
        """Returns the shared parameters."""
        kernel, *bias = map(tf.convert_to_tensor, self.knowledge_base)
        return kernel, bias[0] if bias else None

    def regularization(self) -> tf.Tensor:
        """Returns what the backbone's own regularizers ask for, float32 []."""
        return self._penalty(self.filters())


class HardParameterSharing(SharingRule):
    """Base learner HPS: shared filters are shared as they are."""

    name = "hps"

    def filter_source(
        self,
        layer_index: int,
        convolution: keras.layers.Conv2D,
        knowledge_base: list[keras.Variable] | None = None,
    ) -> FilterSource:
        """See `SharingRule.filter_source`."""
        return HardSharedFilters(convolution, knowledge_base)

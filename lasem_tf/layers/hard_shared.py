"""Hard parameter sharing: all tasks use the same filters."""

from __future__ import annotations

import keras
import tensorflow as tf

from lasem_tf.layers.filter_source import (
    Filters,
    FilterSource,
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
        if knowledge_base is None:
            knowledge_base = self._new_knowledge_base(convolution)
        self.knowledge_base = knowledge_base

    def _new_knowledge_base(
        self, convolution: keras.layers.Conv2D
    ) -> list[keras.Variable]:
        kernel = self.add_weight(
            shape=convolution.kernel.shape,
            initializer=fresh(convolution.kernel_initializer),
            name="kernel",
        )
        if not convolution.use_bias:
            return [kernel]
        bias = self.add_weight(
            shape=(convolution.filters,),
            initializer=fresh(convolution.bias_initializer),
            name="bias",
        )
        return [kernel, bias]

    def filters(self) -> Filters:
        """Returns the shared parameters."""
        kernel, *bias = map(tf.convert_to_tensor, self.knowledge_base)
        return kernel, bias[0] if bias else None


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

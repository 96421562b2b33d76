"""Back-propagation through convolutions that were computed elsewhere."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf

from lasem_tf.layers.filter_source import Filters
from lasem_tf.layers.selective_conv import SelectiveConv2D


class _Call(NamedTuple):
    """A convolution that was not computed again."""

    layer: SelectiveConv2D
    inputs: tf.Tensor
    filters: Filters
    outputs: tf.Tensor


class ConvolutionTape:
    """A gradient tape that is told what convolutions gave.

    `tf.GradientTape` differentiates only what it has seen computed. Here a
    convolution may be known from an earlier pass over the same images with
    the same filters: its output counts as given on the way forward, and the
    gradient goes through the convolution all the same.

    Args:
        sources: What will be differentiated with respect to.
        known: Outputs of convolutions, by the keys under which `convolve`
            will be asked for them.
    """

    def __init__(
        self,
        sources: Sequence[tf.Tensor],
        known: Mapping[Hashable, tf.Tensor],
    ):
        self._sources = list(sources)
        self._known = known
        self._calls: list[_Call] = []
        self._tape = tf.GradientTape(persistent=True)

    def __enter__(self) -> ConvolutionTape:
        self._tape.__enter__()
        self._tape.watch(self._sources)
        return self

    def __exit__(self, *exception) -> None:
        self._tape.__exit__(*exception)

    def convolve(
        self,
        layer: SelectiveConv2D,
        inputs: tf.Tensor,
        filters: Filters,
        key: Hashable,
    ) -> tf.Tensor:
        """Returns what is known, or else convolves.

        Args:
            layer: The layer.
            inputs: As for `layer.convolve`.
            filters: As for `layer.convolve`.
            key: Under which the output may be known.
        """
        if key not in self._known or not layer.backward_needs_no_forward:
            return layer.convolve(inputs, filters)
        inputs = tf.convert_to_tensor(inputs)
        outputs = tf.identity(self._known[key])
        self._tape.watch(outputs)
        self._calls.append(_Call(layer, inputs, filters, outputs))
        return outputs

    def gradient(self, loss: tf.Tensor) -> list[tf.Tensor]:
        """Returns the gradient with respect to each source.

        Args:
            loss: float32 [].
        """
        leaves = [call.outputs for call in self._calls]
        total = self._differentiate(
            [loss], [tf.ones_like(loss)], [*leaves, *self._sources]
        )
        for position in reversed(range(len(leaves))):
            upstream = total.pop(position)
            before = leaves[:position] + self._sources
            added = self._through_convolution(
                self._calls[position], upstream, before
            )
            total = [
                _add(old, new) for old, new in zip(total, added, strict=True)
            ]
        return [
            tf.zeros_like(source) if g is None else tf.convert_to_tensor(g)
            for g, source in zip(total, self._sources, strict=True)
        ]

    def _through_convolution(
        self,
        call: _Call,
        upstream: tf.Tensor | None,
        before: list[tf.Tensor],
    ) -> list[tf.Tensor | None]:
        """Goes from a convolution's output to what came before it."""
        if upstream is None:
            return [None] * len(before)
        arguments = [t for t in (call.inputs, *call.filters) if t is not None]
        gradients = call.layer.gradients(
            call.inputs, call.filters, call.outputs, upstream
        )
        return self._differentiate(arguments, gradients, before)

    def _differentiate(
        self,
        targets: list[tf.Tensor],
        upstream: list[tf.Tensor],
        sources: list[tf.Tensor],
    ) -> list[tf.Tensor | None]:
        return self._tape.gradient(targets, sources, output_gradients=upstream)


def _add(first: tf.Tensor | None, second: tf.Tensor | None) -> tf.Tensor | None:
    if first is None or second is None:
        return second if first is None else first
    return first + second

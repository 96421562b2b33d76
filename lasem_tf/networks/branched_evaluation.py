"""Every configuration of a candidate set in one pass, shared work done once.

An activation depends only on the choices made in selective layers before it.
So each tensor carries the layers it depends on and holds one row per distinct
restriction of the candidates to those layers. A selective layer extends rows,
a layer that merges branches aligns its inputs, and at the end there is one
row per candidate. In a chain of layers the rows are the prefix tree of the
candidate set: layer l costs one convolution per distinct prefix of length l.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf
from keras import tree

from lasem_tf.checks import InputError
from lasem_tf.layers.selective_conv import SelectiveConv2D, SlotFilters
from lasem_tf.networks.batch_independence import check_batch_independent
from lasem_tf.networks.layer_graph import Value
from lasem_tf.networks.selective_network import SelectiveNetwork, with_training
from lasem_tf.transfer import TransferConfiguration

Restriction = tuple[bool, ...]


@dataclasses.dataclass(frozen=True)
class Branches:
    """A tensor for several partial configurations at once.

    Attributes:
        tensor: float32 [num_rows * batch, ...], rows one after another.
        layers: The selective layers it depends on, ascending.
        rows: For each row the choices in `layers`.
    """

    tensor: tf.Tensor
    layers: tuple[int, ...]
    rows: tuple[Restriction, ...]


class BranchedResult(NamedTuple):
    """Logits of every candidate, and what a second pass may reuse.

    Attributes:
        logits: float32 [num_configurations, batch, num_classes].
        values: Every activation of the pass.
    """

    logits: tf.Tensor
    values: dict[Value, Any]


class BranchedEvaluation:
    """Evaluates a candidate set on a mini-batch without repeating work.

    Args:
        network: The task's network.
        configurations: The candidates, distinct.

    Raises:
        InputError: If a layer would mix configurations, since its output for
            one image depends on the other images of the mini-batch.
    """

    def __init__(
        self,
        network: SelectiveNetwork,
        configurations: Sequence[TransferConfiguration],
    ):
        self._network = network
        self._graph = network.graph
        self._configurations = tuple(configurations)
        self._layer_index = {
            id(layer): index
            for index, layer in enumerate(network.selective_layers)
        }
        self._refuse_batch_statistics()
        if len(self._configurations) > 1:
            check_batch_independent(network)

    def __call__(
        self,
        images: tf.Tensor,
        filters: list[SlotFilters],
        training: bool = False,
        reuse: BranchedResult | None = None,
    ) -> BranchedResult:
        """Returns the logits of every candidate.

        Args:
            images: float32 [batch, height, width, channels].
            filters: Of both slots of every selective layer.
            training: Whether dropout is on. All candidates see the same
                mask of Keras' (spatial) dropout, as they see the same images;
                other random layers draw for each candidate.
            reuse: An evaluation of the same images and filters, whose values
                are kept where `training` makes no difference.
        """
        batch = (
            tf.shape(images)[0] if images.shape[0] is None else images.shape[0]
        )

        def call(layer: Any, args: tuple, kwargs: dict) -> Any:
            if isinstance(layer, SelectiveConv2D):
                index = self._layer_index[id(layer)]
                return self._branch(
                    layer, index, args[0], filters[index], batch
                )
            kwargs = with_training(layer, kwargs, training)
            return self._call_aligned(layer, args, kwargs, batch)

        known = {}
        if reuse is not None:
            random = self._graph.training_dependent
            known = {v: b for v, b in reuse.values.items() if v not in random}
        root = Branches(images, (), ((),))
        values = self._graph.run(root, call, known)
        return BranchedResult(
            self._logits(values[self._graph.output], batch), values
        )

    def _branch(
        self,
        layer: SelectiveConv2D,
        index: int,
        inputs: Branches,
        filters: SlotFilters,
        batch: int | tf.Tensor,
    ) -> Branches:
        """Extends each row by the choices that the candidates make here."""
        layers = tuple(sorted({*inputs.layers, index}))
        position = layers.index(index)
        wanted = self._rows(layers)
        outputs, rows = [], []
        for choice, slot in ((True, filters.shared), (False, filters.task)):
            chosen = [row for row in wanted if row[position] is choice]
            if chosen:
                # In the order of the inputs: most often nothing is copied.
                sources = _row_sources(inputs, layers, chosen)
                ordered = sorted(zip(sources, chosen, strict=True))
                taken = _take_rows(inputs, [s for s, _ in ordered], batch)
                outputs.append(layer.convolve(taken, slot))
                rows += [row for _, row in ordered]
        return Branches(_concatenate(outputs), layers, tuple(rows))

    def _call_aligned(
        self, layer: Any, args: tuple, kwargs: dict, batch: int | tf.Tensor
    ) -> Any:
        """Calls an ordinary layer once for all rows of its inputs."""
        inputs = _branches((args, kwargs))
        layers = tuple(sorted({index for b in inputs for index in b.layers}))
        rows = self._rows(layers) if len(inputs) > 1 else inputs[0].rows

        def align(argument):
            if not isinstance(argument, Branches):
                return argument
            sources = _row_sources(argument, layers, rows)
            return _take_rows(argument, sources, batch)

        args, kwargs = tree.map_structure(align, (args, kwargs))
        if isinstance(layer, keras.layers.Dropout) and len(rows) > 1:
            outputs = _same_dropout(layer, args[0], len(rows), batch, kwargs)
        else:
            outputs = layer(*args, **kwargs)
        return tree.map_structure(lambda t: Branches(t, layers, rows), outputs)

    def _logits(self, output: Branches, batch: int | tf.Tensor) -> tf.Tensor:
        """Orders the rows of the output as the candidates are ordered."""
        rows = [_restrict(c, output.layers) for c in self._configurations]
        sources = [output.rows.index(row) for row in rows]
        tensor = _take_rows(output, sources, batch)
        return tf.reshape(tensor, [len(rows), batch, *output.tensor.shape[1:]])

    def _rows(self, layers: tuple[int, ...]) -> tuple[Restriction, ...]:
        """Returns the distinct restrictions of the candidates to `layers`."""
        restrictions = (_restrict(c, layers) for c in self._configurations)
        return tuple(dict.fromkeys(restrictions))

    def _refuse_batch_statistics(self) -> None:
        """Looks for layers that would see several configurations as one."""

        def call(layer: Any, args: tuple, kwargs: dict) -> Any:
            inputs = tree.flatten((args, kwargs))
            depends = frozenset().union(
                *(s for s in inputs if isinstance(s, frozenset))
            )
            if isinstance(layer, SelectiveConv2D):
                return depends | {self._layer_index[id(layer)]}
            several = len(self._rows(tuple(sorted(depends)))) > 1
            if several and _trains_on_batch_statistics(layer):
                raise InputError(
                    "Several configurations cannot be trained through a layer "
                    "whose output depends on the rest of the mini-batch.",
                    received=f"{type(layer).__name__} '{layer.name}' and "
                    f"{len(self._configurations)} configurations",
                    remedy="Use GroupNormalization or LayerNormalization, or "
                    "freeze it with `trainable=False`.",
                )
            return depends

        self._graph.run(frozenset(), call)


def _trains_on_batch_statistics(layer: Any) -> bool:
    """Whether it is, or holds, a BatchNormalization that is not frozen."""
    if not isinstance(layer, keras.layers.Layer):
        return False
    return any(
        isinstance(part, keras.layers.BatchNormalization) and part.trainable
        for part in layer._flatten_layers()
    )


def _restrict(
    configuration: TransferConfiguration, layers: tuple[int, ...]
) -> Restriction:
    return tuple(configuration.shared[index] for index in layers)


def _row_sources(
    inputs: Branches, layers: tuple[int, ...], rows: Sequence[Restriction]
) -> list[int]:
    """Says from which row of `inputs` each wanted row comes."""
    positions = [layers.index(index) for index in inputs.layers]
    row_of = {row: number for number, row in enumerate(inputs.rows)}
    return [row_of[tuple(row[p] for p in positions)] for row in rows]


def _take_rows(
    inputs: Branches, sources: list[int], batch: int | tf.Tensor
) -> tf.Tensor:
    """Returns the rows named in `sources`, copied only if need be."""
    if sources == list(range(len(inputs.rows))):
        return inputs.tensor
    shape = inputs.tensor.shape[1:]
    by_row = tf.reshape(inputs.tensor, [len(inputs.rows), batch, *shape])
    return tf.reshape(tf.gather(by_row, sources), [-1, *shape])


def _concatenate(tensors: list[tf.Tensor]) -> tf.Tensor:
    return tensors[0] if len(tensors) == 1 else tf.concat(tensors, axis=0)


def _same_dropout(
    layer: keras.layers.Dropout,
    inputs: tf.Tensor,
    num_rows: int,
    batch: int | tf.Tensor,
    kwargs: dict,
) -> tf.Tensor:
    """Drops the same units in every row.

    Candidates are compared on the same images; on the same units they are
    compared without the noise of different draws, and leaving a candidate
    out does not change what the others see.
    """
    shape = inputs.shape[1:]
    kept = layer(tf.ones([batch, *shape], inputs.dtype), **kwargs)
    by_row = tf.reshape(inputs, [num_rows, batch, *shape])
    return tf.reshape(by_row * kept, [-1, *shape])


def _branches(structure: Any) -> list[Branches]:
    return [b for b in tree.flatten(structure) if isinstance(b, Branches)]

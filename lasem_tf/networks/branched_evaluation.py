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
from lasem_tf.networks.layer_graph import Step, Value, takes_training
from lasem_tf.networks.selective_network import (
    Convolve,
    SelectiveNetwork,
    plainly,
    with_training,
)
from lasem_tf.transfer import TransferConfiguration

Restriction = tuple[bool, ...]


@dataclasses.dataclass(frozen=True)
class Branches:
    """A tensor for several partial configurations at once.

    What one slot's filters gave and what the other's did are kept apart for
    as long as every layer takes them one by one: pooling makes them smaller,
    and joining what is small is cheap.

    Attributes:
        parts: float32 [num_rows_of_part * batch, ...] each; rows one after
            another.
        layers: The selective layers it depends on, ascending.
        rows: For each row the choices in `layers`.
    """

    parts: tuple[tf.Tensor, ...]
    layers: tuple[int, ...]
    rows: tuple[Restriction, ...]

    @property
    def tensor(self) -> tf.Tensor:
        """All rows, float32 [num_rows * batch, ...]."""
        if len(self.parts) == 1:
            return self.parts[0]
        return tf.concat(self.parts, axis=0)

    def joined(self) -> Branches:
        """The same in one part."""
        return dataclasses.replace(self, parts=(self.tensor,))

    def row(self, number: tf.Tensor) -> tf.Tensor:
        """Returns one row, float32 [batch, ...], without joining parts."""
        batch = sum(tf.shape(part)[0] for part in self.parts) // len(self.rows)
        row, first = None, 0
        for part in self.parts:
            by_row = tf.reshape(part, [-1, batch, *part.shape[1:]])
            size = tf.shape(by_row)[0]
            taken = by_row[tf.clip_by_value(number - first, 0, size - 1)]
            row = taken if row is None else tf.where(number < first, row, taken)
            first += size
        return row


class BranchedResult(NamedTuple):
    """Logits of every candidate, and what convolutions gave on the way.

    Attributes:
        logits: float32 [num_configurations, batch, num_classes].
        convolved: Only what training and inference have in common.
    """

    logits: tf.Tensor
    convolved: dict[Value, Branches]

    @property
    def known(self) -> dict[tuple[Value, int], tf.Tensor]:
        """By the keys under which another pass asks for them."""
        return {
            (value, number): part
            for value, branches in self.convolved.items()
            for number, part in enumerate(branches.parts)
        }


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
        convolve: Convolve = plainly,
    ) -> BranchedResult:
        """Returns the logits of every candidate.

        Args:
            images: float32 [batch, height, width, channels].
            filters: Of both slots of every selective layer.
            training: Whether dropout is on. All candidates see the same
                mask of Keras' (spatial) dropout, as they see the same images;
                other random layers draw for each candidate.
            convolve: Called in place of `layer.convolve`, with a key besides
                that stands for the output: its value and part.
        """
        batch = (
            tf.shape(images)[0] if images.shape[0] is None else images.shape[0]
        )

        convolved = {}

        def call(step: Step, args: tuple, kwargs: dict) -> Any:
            if isinstance(step.layer, SelectiveConv2D):
                (value,) = step.outputs
                outputs = self._branch(step, args[0], filters, convolve, batch)
                if value not in self._graph.training_dependent:
                    convolved[value] = outputs
                return outputs
            kwargs = with_training(step.layer, kwargs, training)
            return self._call_aligned(step.layer, args, kwargs, batch)

        root = Branches((images,), (), ((),))
        output = self._graph.run(root, call)[self._graph.output]
        return BranchedResult(self._logits(output, batch), convolved)

    def of_candidate(
        self, evaluation: BranchedResult, candidate: tf.Tensor
    ) -> dict[Value, tf.Tensor]:
        """Returns what convolutions gave for one candidate.

        Args:
            evaluation: Of all candidates.
            candidate: int [], its number.

        Returns:
            float32 [batch, ...] each.
        """
        found = {}
        for value, branches in evaluation.convolved.items():
            rows = [
                branches.rows.index(_restrict(c, branches.layers))
                for c in self._configurations
            ]
            found[value] = branches.row(tf.gather(rows, candidate))
        return found

    def _branch(
        self,
        step: Step,
        inputs: Branches,
        filters: list[SlotFilters],
        convolve: Convolve,
        batch: int | tf.Tensor,
    ) -> Branches:
        """Extends each row by the choices that the candidates make here."""
        index = self._layer_index[id(step.layer)]
        layers = tuple(sorted({*inputs.layers, index}))
        position = layers.index(index)
        wanted = self._rows(layers)
        inputs = inputs.joined()
        parts, rows = [], []
        for choice, slot in (
            (True, filters[index].shared),
            (False, filters[index].task),
        ):
            chosen = [row for row in wanted if row[position] is choice]
            if chosen:
                # In the order of the inputs: most often nothing is copied.
                sources = _row_sources(inputs, layers, chosen)
                ordered = sorted(zip(sources, chosen, strict=True))
                taken = _take_rows(inputs, [s for s, _ in ordered], batch)
                key = (step.outputs[0], len(parts))
                parts.append(convolve(step.layer, taken, slot, key))
                rows += [row for _, row in ordered]
        return Branches(tuple(parts), layers, tuple(rows))

    def _call_aligned(
        self, layer: Any, args: tuple, kwargs: dict, batch: int | tf.Tensor
    ) -> Any:
        """Calls an ordinary layer once for all rows of its inputs."""
        inputs = _branches((args, kwargs))
        if len(inputs) == 1 and not takes_training(layer):
            return _call_part_by_part(layer, args, kwargs, inputs[0])
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
        return tree.map_structure(
            lambda tensor: Branches((tensor,), layers, rows), outputs
        )

    def _logits(self, output: Branches, batch: int | tf.Tensor) -> tf.Tensor:
        """Orders the rows of the output as the candidates are ordered."""
        rows = [_restrict(c, output.layers) for c in self._configurations]
        sources = [output.rows.index(row) for row in rows]
        tensor = _take_rows(output, sources, batch)
        return tf.reshape(tensor, [len(rows), batch, *tensor.shape[1:]])

    def _rows(self, layers: tuple[int, ...]) -> tuple[Restriction, ...]:
        """Returns the distinct restrictions of the candidates to `layers`."""
        restrictions = (_restrict(c, layers) for c in self._configurations)
        return tuple(dict.fromkeys(restrictions))

    def _refuse_batch_statistics(self) -> None:
        """Looks for layers that would see several configurations as one."""

        def call(step: Step, args: tuple, kwargs: dict) -> Any:
            layer = step.layer
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
    tensor = inputs.tensor
    if sources == list(range(len(inputs.rows))):
        return tensor
    shape = tensor.shape[1:]
    by_row = tf.reshape(tensor, [len(inputs.rows), batch, *shape])
    return tf.reshape(tf.gather(by_row, sources), [-1, *shape])


def _call_part_by_part(
    layer: Any, args: tuple, kwargs: dict, branches: Branches
) -> Any:
    """Calls a layer that treats every image alike, without joining parts."""

    def call(part: tf.Tensor) -> Any:
        part_args, part_kwargs = tree.map_structure(
            lambda a: part if a is branches else a, (args, kwargs)
        )
        return layer(*part_args, **part_kwargs)

    return tree.map_structure(
        lambda *parts: Branches(parts, branches.layers, branches.rows),
        *map(call, branches.parts),
    )


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

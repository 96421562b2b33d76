"""Every configuration of a candidate set in one pass, shared work done once.

A selective layer extends the rows of its input (see `branches`), a layer that
merges branches aligns its inputs, and at the end there is one row per
candidate. In a chain of layers the rows are the prefix tree of the candidate
set: layer l costs one convolution per distinct prefix of length l.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf
from keras import tree

from lasem_tf.checks import InputError
from lasem_tf.layers.selective_conv import (
    Convolve,
    SelectiveConv2D,
    SlotFilters,
    plainly,
)
from lasem_tf.networks.branches import Branches, Restriction, restrict
from lasem_tf.networks.layer_graph import Step, Value, takes_training
from lasem_tf.networks.ordinary_layers import (
    call,
    call_part_by_part,
    same_dropout,
)
from lasem_tf.networks.selective_network import SelectiveNetwork, with_training
from lasem_tf.networks.trials import check_batch_independent
from lasem_tf.transfer import TransferConfiguration


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

    Attributes:
        relative_cost: Multiplications in the convolutions of all candidates
            at once, in those of one network; at least 1.

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
        self._dtype = network.selective_layers[0].compute_dtype
        self._layer_index = {
            id(layer): index
            for index, layer in enumerate(network.selective_layers)
        }
        depends = self._dependencies()
        self._refuse_batch_statistics(depends)
        self.relative_cost = self._relative_cost(depends)
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

        def call_step(step: Step, args: tuple, kwargs: dict) -> Any:
            if isinstance(step.layer, SelectiveConv2D):
                (value,) = step.outputs
                outputs = self._branch(step, args[0], filters, convolve, batch)
                if value not in self._graph.training_dependent:
                    convolved[value] = outputs
                return outputs
            kwargs = with_training(step.layer, kwargs, training)
            return self._call_aligned(step.layer, args, kwargs, batch)

        root = Branches((images,), (), ((),))
        output = self._graph.run(root, call_step)[self._graph.output]
        return BranchedResult(self._logits(output, batch), convolved)

    def of_candidate(
        self, evaluation: BranchedResult, candidate: tf.Tensor
    ) -> dict[Value, tf.Tensor]:
        """Returns what convolutions gave for one candidate.

        Args:
            evaluation: Of all candidates.
            candidate: int [], its number.

        Returns:
            float [batch, ...] each.
        """
        found = {}
        for value, branches in evaluation.convolved.items():
            layers = branches.layers
            wanted = [restrict(c, layers) for c in self._configurations]
            rows = branches.sources(layers, wanted)
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
                sources = inputs.sources(layers, chosen)
                ordered = sorted(zip(sources, chosen, strict=True))
                taken = inputs.take([s for s, _ in ordered], batch)
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
            return call_part_by_part(
                layer, args, kwargs, inputs[0], self._dtype
            )
        layers = tuple(sorted({index for b in inputs for index in b.layers}))
        rows = self._rows(layers) if len(inputs) > 1 else inputs[0].rows

        def align(argument):
            if not isinstance(argument, Branches):
                return argument
            return argument.take(argument.sources(layers, rows), batch)

        args, kwargs = tree.map_structure(align, (args, kwargs))
        drops = kwargs.get("training") and len(rows) > 1
        if drops and isinstance(layer, keras.layers.Dropout):
            outputs = same_dropout(layer, args[0], len(rows), batch, kwargs)
        else:
            outputs = call(layer, args, kwargs, self._dtype)
        return tree.map_structure(
            lambda tensor: Branches((tensor,), layers, rows), outputs
        )

    def _logits(self, output: Branches, batch: int | tf.Tensor) -> tf.Tensor:
        """Orders the rows of the output as the candidates are ordered."""
        rows = [restrict(c, output.layers) for c in self._configurations]
        tensor = output.take(output.sources(output.layers, rows), batch)
        if tensor.dtype == tf.bfloat16:
            tensor = tf.cast(tensor, self._dtype)
        return tf.reshape(tensor, [len(rows), batch, *tensor.shape[1:]])

    def _rows(self, layers: tuple[int, ...]) -> tuple[Restriction, ...]:
        """Returns the distinct restrictions of the candidates to `layers`."""
        return tuple(
            dict.fromkeys(restrict(c, layers) for c in self._configurations)
        )

    def _dependencies(self) -> dict[Value, frozenset[int]]:
        """Returns the selective layers that each value depends on."""

        def call(step: Step, args: tuple, kwargs: dict) -> frozenset[int]:
            inputs = tree.flatten((args, kwargs))
            depends = frozenset().union(
                *(s for s in inputs if isinstance(s, frozenset))
            )
            if isinstance(step.layer, SelectiveConv2D):
                return depends | {self._layer_index[id(step.layer)]}
            return depends

        return self._graph.run(frozenset(), call)

    def _relative_cost(self, depends: dict[Value, frozenset[int]]) -> float:
        """Counts multiplications of convolutions, those of one network as 1."""
        together = alone = 0
        for step in self._graph.steps:
            if isinstance(step.layer, SelectiveConv2D):
                (value,) = step.outputs
                shape = self._graph.shapes[value][1:]
                own = math.prod(size or 1 for size in shape)
                own *= math.prod(step.layer.task.kernel.shape[:-1])
                alone += own
                together += own * len(self._rows(tuple(sorted(depends[value]))))
        return together / alone

    def _refuse_batch_statistics(
        self, depends: dict[Value, frozenset[int]]
    ) -> None:
        """Looks for layers that would see several configurations as one."""
        for step in self._graph.steps:
            several = len(self._rows(tuple(sorted(depends[step.outputs[0]]))))
            if several > 1 and _trains_on_batch_statistics(step.layer):
                raise InputError(
                    "Several configurations cannot be trained through a layer "
                    "whose output depends on the rest of the mini-batch.",
                    received=f"{type(step.layer).__name__} "
                    f"'{step.layer.name}' and {len(self._configurations)} "
                    "configurations",
                    remedy="Use GroupNormalization or LayerNormalization, or "
                    "freeze it with `trainable=False`.",
                )


def _trains_on_batch_statistics(layer: Any) -> bool:
    """Whether it is, or holds, a BatchNormalization that is not frozen."""
    if not isinstance(layer, keras.layers.Layer):
        return False
    return any(
        isinstance(part, keras.layers.BatchNormalization) and part.trainable
        for part in layer._flatten_layers()
    )


def _branches(structure: Any) -> list[Branches]:
    return [b for b in tree.flatten(structure) if isinstance(b, Branches)]

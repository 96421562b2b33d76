"""A Keras functional model as a list of calls that can be run differently."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import tensorflow as tf
from keras import tree

from lasem_tf.checks import InputError

# Where a backbone takes images of any size, and some must be tried.
SIZE_OF_PROBE = 32


@dataclasses.dataclass(frozen=True)
class Value:
    """Stands for a tensor of the graph in recorded arguments."""

    index: int


class Step(NamedTuple):
    """One call of one layer, as the model makes it.

    Attributes:
        layer: The layer, or what was put in its place.
        args: Positional arguments, with `Value` for tensors. The layer's
            first argument is among them, however the model passes it.
        kwargs: Keyword arguments, likewise.
        outputs: The values this call produces, flat.
    """

    layer: Any
    args: tuple
    kwargs: dict[str, Any]
    outputs: tuple[Value, ...]


CallFn = Callable[[Step, tuple, dict[str, Any]], Any]


class LayerGraph:
    """The calls of a functional model in an order in which they can be run.

    Recorded once, it can be run any number of times with any meaning given to
    "call this layer": with one configuration, with many as branches, or with
    sets in place of tensors to see what depends on what. It keeps layers but
    no Keras node, so a layer that has been replaced can be forgotten.

    Args:
        model: A functional or Sequential model with one input and one output,
            built. Nested models of these kinds are taken apart, others are
            layers like any other.
        replace: Called once per layer; returns what to record in its place,
            usually the layer itself.

    Attributes:
        input: Value of the model's input.
        output: Value of its output.
        steps: The calls.
        shapes: Of each value; `None` where the model leaves a size open.
        training_dependent: Values that differ between training and inference.

    Raises:
        InputError: If the model is of another kind.
    """

    def __init__(
        self,
        model: keras.Model,
        replace: Callable[[keras.Layer], Any] = lambda layer: layer,
    ):
        num_ends = [len(ends) for ends in _ends(model)]
        if num_ends != [1, 1]:
            raise InputError(
                "A backbone must be a functional or Sequential Keras model "
                "with one input and one output.",
                received=f"a {type(model).__name__} with {num_ends[0]} inputs "
                f"and {num_ends[1]} outputs defined",
                remedy="Make it with `keras.Model(inputs, outputs)`, or begin "
                "a Sequential model with a `keras.Input`.",
            )
        recorder = _Recorder(replace)
        (self.input,) = recorder.values_of(model.inputs)
        recorder.record(model)
        (self.output,) = recorder.values_of(model.outputs)
        self.steps: tuple[Step, ...] = tuple(recorder.steps)
        self.shapes = recorder.shapes
        self.training_dependent = frozenset(self._training_dependent())

    def _training_dependent(self) -> Iterator[Value]:
        """Yields the values that differ between training and inference."""
        found: set[Value] = set()
        for step in self.steps:
            arguments = tree.flatten((step.args, step.kwargs))
            depends = any(a in found for a in arguments if type(a) is Value)
            if depends or takes_training(step.layer):
                found.update(step.outputs)
                yield from step.outputs

    def layers(self) -> list[Any]:
        """Returns every layer once, in the order of first use."""
        return list({id(s.layer): s.layer for s in self.steps}.values())

    def run(self, inputs: Any, call: CallFn) -> dict[Value, Any]:
        """Runs every step.

        Args:
            inputs: What the model's input stands for.
            call: `(step, args, kwargs) -> outputs`. A single output of a call
                that makes several values stands for each of them.

        Returns:
            Every value of the graph; `result[graph.output]` is the output.
        """
        values = {self.input: inputs}

        def fill(argument):
            return values[argument] if isinstance(argument, Value) else argument

        for step in self.steps:
            args, kwargs = tree.map_structure(fill, (step.args, step.kwargs))
            outputs = tree.flatten(call(step, args, kwargs))
            if len(outputs) == 1:
                outputs *= len(step.outputs)
            values.update(zip(step.outputs, outputs, strict=True))
        return values

    def model(self, replace: Callable[[Any], Any]) -> keras.Model:
        """Returns a new model that makes the same calls of other layers.

        Args:
            replace: Called once per layer; returns what is called in its
                place, which may be the layer itself.
        """
        stand_in = {id(layer): replace(layer) for layer in self.layers()}

        def call(step: Step, args: tuple, kwargs: dict[str, Any]) -> Any:
            return stand_in[id(step.layer)](*args, **kwargs)

        images = keras.Input(self.shapes[self.input][1:])
        return keras.Model(images, self.run(images, call)[self.output])


class _Recorder:
    """Records calls while Keras makes them on symbolic tensors."""

    def __init__(self, replace: Callable[[keras.Layer], Any]):
        self.steps: list[Step] = []
        self._replace = replace
        self._replaced: dict[int, Any] = {}
        self._value_of: dict[int, Value] = {}
        self.shapes: dict[Value, tuple[int | None, ...]] = {}
        # A tensor that is collected would leave its id to another one.
        self._keep_alive: list[Any] = []

    def values_of(self, tensors: list) -> tuple[Value, ...]:
        """Returns the values of tensors, new ones for tensors not met yet."""
        for tensor in tensors:
            if id(tensor) not in self._value_of:
                value = Value(len(self._keep_alive))
                self._value_of[id(tensor)] = value
                self.shapes[value] = tuple(tensor.shape)
                self._keep_alive.append(tensor)
        return tuple(self._value_of[id(tensor)] for tensor in tensors)

    def record(self, model: keras.Model) -> None:
        """Records one model, its nested models included."""
        functional = keras.Model(model.inputs, model.outputs)
        clone = keras.models.clone_model(
            functional,
            input_tensors=list(model.inputs),
            clone_function=lambda layer: layer,
            call_function=self._call,
        )
        # Cloning called every layer once more, on tensors of its own.
        self._link(model.outputs, clone.outputs)

    def _link(self, tensors: list, to: list) -> None:
        for tensor, value in zip(tensors, self.values_of(to), strict=True):
            self._value_of[id(tensor)] = value
            self._keep_alive.append(tensor)

    def _call(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        outputs = layer(*args, **kwargs)
        if _is_graph(layer):
            self._link(layer.inputs, _tensors((args, kwargs)))
            self.record(layer)
            self._link(tree.flatten(outputs), layer.outputs)
            return outputs
        if id(layer) not in self._replaced:
            self._replaced[id(layer)] = self._replace(layer)
            self._keep_alive.append(layer)

        def as_value(argument):
            if keras.backend.is_keras_tensor(argument):
                return self.values_of([argument])[0]
            return argument

        args, kwargs = tree.map_structure(as_value, (args, kwargs))
        first = next(iter(inspect.signature(layer.call).parameters), None)
        if not args and first in kwargs:
            args = (kwargs.pop(first),)
        self.steps.append(
            Step(
                layer=self._replaced[id(layer)],
                args=args,
                kwargs=kwargs,
                outputs=self.values_of(tree.flatten(outputs)),
            )
        )
        return outputs


def added_losses(layer: Any) -> list[tf.Tensor]:
    """Returns what the last call of a layer added to the loss.

    Args:
        layer: Any layer or operation.

    Returns:
        float32 [] each, from activity regularizers and `add_loss`.
    """
    if not isinstance(layer, keras.Layer):
        return []
    # Keras puts the regularizers of weights behind them.
    num_regularized = sum(
        weight.regularizer is not None for weight in layer.trainable_weights
    )
    losses = layer.losses
    return losses[: len(losses) - num_regularized]


def seed_states(model: keras.Model) -> list[keras.Variable]:
    """Returns the states of random number generators, of dropout for example.

    Args:
        model: Any Keras model.
    """
    weights = {id(weight) for weight in model.weights}
    return [v for v in model.variables if id(v) not in weights]


def takes_training(layer: Any) -> bool:
    """Whether the layer may behave differently while training.

    Args:
        layer: A Keras layer or operation.
    """
    call = getattr(layer, "call", None)
    return call is not None and "training" in inspect.signature(call).parameters


def _is_graph(layer: Any) -> bool:
    """Whether it is a model whose calls are known, not one with its own."""
    return isinstance(layer, keras.Model) and bool(_ends(layer)[0])


def _ends(model: Any) -> tuple[list, list]:
    """Returns inputs and outputs, none if it is not functional or unbuilt."""
    return getattr(model, "inputs", []), getattr(model, "outputs", [])


def _tensors(structure: Any) -> list:
    return [
        leaf
        for leaf in tree.flatten(structure)
        if keras.backend.is_keras_tensor(leaf)
    ]

"""Chains of convolutions whose numbers of filters can be changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from lasem_tf.checks import InputError
from lasem_tf.networks.convolutions import is_selective
from lasem_tf.networks.layer_graph import (
    SIZE_OF_PROBE,
    LayerGraph,
    Step,
    Value,
)


class ConvolutionChain:
    """A network that is one convolution after another, then dense layers.

    Between convolutions only layers without weights may stand, which treat
    channels alike, such as pooling. So a filter can be added or taken away
    without anything but the next layer noticing.

    Args:
        model: Functional or Sequential, images -> logits.

    Attributes:
        model: The same.
        convolutions: Input side first.
        dense: The first layer with weights behind them.

    Raises:
        InputError: If it is of another kind; names the layer.
    """

    def __init__(self, model: keras.Model):
        self.model = model
        self.graph = LayerGraph(model)
        self.convolutions: list[keras.layers.Conv2D] = []
        self.dense: keras.layers.Dense | None = None
        for step in self.graph.steps:
            self._admit(step)
        if not self.convolutions or self.dense is None:
            raise _refusal(model.name, "no convolution before a dense layer")

    @property
    def widths(self) -> tuple[int, ...]:
        """Filters of each convolution."""
        return tuple(layer.filters for layer in self.convolutions)

    @property
    def own_layers(self) -> list[keras.layers.Layer]:
        """Layers with weights that are no convolutions, input side first."""
        return [
            layer
            for layer in self.graph.layers()
            if getattr(layer, "weights", []) and layer not in self.convolutions
        ]

    def take_filters(self, other: ConvolutionChain) -> None:
        """Copies filters, as many as both have, into the first places.

        Args:
            other: Of the same layers, with other widths.
        """
        for layer, source in zip(
            self.convolutions, other.convolutions, strict=True
        ):
            for weight, value in zip(
                layer.weights, source.weights, strict=True
            ):
                both = tuple(
                    slice(min(sizes))
                    for sizes in zip(weight.shape, value.shape, strict=True)
                )
                values = weight.numpy()
                values[both] = value.numpy()[both]
                weight.assign(values)

    def _admit(self, step: Step) -> None:
        """Takes note of the next step, or refuses it."""
        if self.dense is not None:  # What follows belongs to the task.
            return
        layer = step.layer
        arguments = tree.flatten((step.args, step.kwargs))
        if sum(isinstance(argument, Value) for argument in arguments) > 1:
            raise _refusal(layer.name, "which merges branches")
        if isinstance(layer, keras.layers.Dense) and self.convolutions:
            self.dense = layer
        elif is_selective(layer):
            if layer.groups > 1 or layer.data_format != "channels_last":
                raise _refusal(layer.name, "with groups or channels first")
            if layer in self.convolutions:
                raise _refusal(layer.name, "which is called twice")
            self.convolutions.append(layer)
        elif getattr(layer, "weights", []):
            raise _refusal(layer.name, f"a {type(layer).__name__} with weights")

    def resized(self, widths: Sequence[int]) -> ConvolutionChain:
        """Returns a new network with other numbers of filters.

        Args:
            widths: Filters of each convolution.
        """
        width_of = dict(zip(map(id, self.convolutions), widths, strict=True))
        names: set[str] = set()

        def copy(layer: Any) -> Any:
            if not isinstance(layer, keras.layers.Layer):
                return layer  # An operation, which holds nothing.
            config = layer.get_config()
            if layer.name in names:
                del config["name"]  # Only nested models may use one twice.
            names.add(layer.name)
            if id(layer) in width_of:
                config["filters"] = width_of[id(layer)]
            return type(layer).from_config(config)

        return ConvolutionChain(self.graph.model(copy))

    def channels_of_features(self) -> np.ndarray:
        """Returns from which filter each input of the first dense layer is.

        Found out by letting one filter after another answer, and looking
        which features notice, so it holds for any activation, pooling and way
        of flattening.

        Returns:
            int [num_features]. Number of the last convolution's filter.

        Raises:
            InputError: If some feature is not of one filter.
        """
        found = {}
        last = self.convolutions[-1]

        def call(step: Step, args: tuple, kwargs: dict) -> Any:
            if step.layer is self.dense:
                found["features"] = args[0]
            outputs = step.layer(*args, **kwargs)
            if step.layer is last:
                answers = tf.eye(last.filters + 1, last.filters)  # Last: none.
                answers = tf.cast(answers[:, None, None], outputs.dtype)
                shape = [last.filters + 1, *outputs.shape[1:]]
                return tf.broadcast_to(answers, shape)
            return outputs

        shape = [size or SIZE_OF_PROBE for size in self.model.input_shape[1:]]
        self.graph.run(tf.zeros([1, *shape]), call)
        features = tf.cast(found["features"], tf.float32).numpy()
        noticed = features[:-1] != features[-1]  # [filters, ...]
        if features.ndim != 2 or np.any(noticed.sum(axis=0) != 1):
            raise _refusal(
                self.dense.name, "fed by features of more than one filter"
            )
        return np.argmax(noticed, axis=0)


def _refusal(name: str, what: str) -> InputError:
    return InputError(
        "Networks that grow must be a chain of Conv2D layers, pooling, "
        "activations and dropout between them, and dense layers behind.",
        received=f"'{name}', {what}",
        remedy="Take a backbone such as `backbones.cifar`.",
    )

"""What is kept of a task: one filter source per layer, and the rest."""

from __future__ import annotations

import dataclasses

import keras

from lasem_tf.layers.filter_source import FilterSource
from lasem_tf.networks.selective_network import convolutions


@dataclasses.dataclass(frozen=True)
class TaskParameters:
    """All that is kept of a task: one filter source per layer, and the rest.

    Attributes:
        sources: The selected filter source of each selective layer.
        others: Weights of the layers that never share, head included, in the
            order of the plain network's weights.
        image_shape: Height, width and channels.
        num_classes: Number of logits.
    """

    sources: tuple[FilterSource, ...]
    others: tuple[keras.Variable, ...]
    image_shape: tuple[int, int, int]
    num_classes: int

    @property
    def own_weights(self) -> list[keras.Variable]:
        """Weights that belong to this task alone."""
        mappings = [v for s in self.sources for v in s.task_mapping]
        return [*mappings, *self.others]

    @property
    def all_weights(self) -> list[keras.Variable]:
        """Own weights and the parts of the knowledge base that it uses."""
        shared = [v for s in self.sources for v in s.knowledge_base]
        return [*shared, *self.own_weights]


def put_in_place(parameters: TaskParameters, model: keras.Model) -> None:
    """Puts a task's kernels and other weights in place in a plain network.

    Args:
        parameters: Of the task, as they are now.
        model: A network of the same backbone and head, whose weights are
            overwritten.
    """
    layers = convolutions(model)
    for layer, source in zip(layers, parameters.sources, strict=True):
        kernel, bias = source()
        layer.kernel.assign(kernel)
        if bias is not None:
            layer.bias.assign(bias)
    of_layers = {id(w) for layer in layers for w in layer.weights}
    others = [w for w in model.weights if id(w) not in of_layers]
    for weight, value in zip(others, parameters.others, strict=True):
        weight.assign(value)

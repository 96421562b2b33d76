"""What is kept of a task: one filter source per layer, and the rest."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import keras
import tensorflow as tf

from lasem_tf.layers.filter_source import FilterSource


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


class Variables(tf.Module):
    """A list of variables that a checkpoint can hold."""

    def __init__(self, variables: Sequence[keras.Variable | tf.Variable]):
        super().__init__()
        # `value` of a tf.Variable is a method, of a Keras one the tf.Variable.
        self.items = [
            v.value if isinstance(v, keras.Variable) else v for v in variables
        ]

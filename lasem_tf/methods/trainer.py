"""What tasks of one architecture are trained with, one after another."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from lasem_tf.checks import InputError
from lasem_tf.networks.selective_network import SelectiveNetwork
from lasem_tf.transfer import TransferConfiguration


class Trainer:
    """Network and optimizer in which tasks of one architecture take turns.

    A compiled function belongs to its variables. To make one takes seconds,
    and TensorFlow never frees it. So a task that begins puts its initial
    weights here, and takes the trained ones with it when it ends.

    Args:
        network: Of that architecture, over the method's knowledge base.
        configurations: What is trained.
        optimizer: New.

    Attributes:
        weights: The weights that are trained.
        base_learning_rate: The optimizer's own.

    Raises:
        InputError: If the optimizer has a schedule.
    """

    def __init__(
        self,
        network: SelectiveNetwork,
        configurations: Sequence[TransferConfiguration],
        optimizer: keras.optimizers.Optimizer,
    ):
        _check_constant_rate(optimizer)
        self.network = network
        self.configurations = tuple(configurations)
        self.optimizer = optimizer
        self.base_learning_rate = float(optimizer.learning_rate)
        self.weights = network.trainable_weights_of(configurations)
        optimizer.build(self.weights)
        self._rollback = [
            tf.Variable(variable.value, trainable=False)
            for variables in network.knowledge_base
            for variable in variables
        ]
        self._new_optimizer = [v.numpy() for v in optimizer.variables]

    @property
    def training_state(self) -> Sequence[tf.Variable]:
        """What training changes besides; a task finds it at zero."""
        return ()

    @property
    def state(self) -> dict[str, Sequence[keras.Variable | tf.Variable]]:
        """Everything that training changes, by name."""
        return {
            "current_weights": self.network.weights,
            "optimizer": self.optimizer.variables,
            "rollback": self._rollback,
            "training": self.training_state,
        }

    def begin(self, initial: SelectiveNetwork) -> None:
        """Starts afresh.

        Args:
            initial: Gives the initial weights.
        """
        self.network.take_over(initial)
        for variable, value in zip(
            self.optimizer.variables, self._new_optimizer, strict=True
        ):
            variable.assign(value)
        for variable in self.training_state:
            variable.assign(tf.zeros_like(variable))
        now = (v for vs in self.network.knowledge_base for v in vs)
        for before, variable in zip(self._rollback, now, strict=True):
            before.assign(variable)

    def roll_back(self, selected: TransferConfiguration) -> None:
        """Gives unshared layers the knowledge base of before the task back.

        Args:
            selected: Says which layers are shared.
        """
        before = iter(self._rollback)
        for shared, variables in zip(
            selected.shared, self.network.knowledge_base, strict=True
        ):
            for variable in variables:
                value = next(before)
                if not shared:
                    variable.assign(value)


def _check_constant_rate(optimizer: keras.optimizers.Optimizer) -> None:
    """Refuses a schedule: it would count steps, tasks start anew."""
    if not isinstance(optimizer.learning_rate, keras.Variable):
        raise InputError(
            "An optimizer must have a constant learning rate.",
            received=f"{type(optimizer).__name__} with a schedule",
            remedy="Use `learning_rate_decay`, which counts global epochs.",
        )

"""What tasks of one architecture are trained with, one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from lasem_tf.layers.selective_conv import Convolve, plainly
from lasem_tf.methods.compiled_epoch import StepResult
from lasem_tf.methods.trainer import Trainer, total_loss
from lasem_tf.networks.selective_network import SelectiveNetwork
from lasem_tf.transfer import TransferConfiguration


class SelectiveTrainer(Trainer):
    """Network and optimizer in which tasks of one architecture take turns.

    A compiled function belongs to its variables. To make one takes seconds,
    and TensorFlow never frees it. So a task that begins puts its initial
    weights here, and takes the trained ones with it when it ends.

    Args:
        network: Of that architecture, over the method's knowledge base.
        configurations: What is trained.
        optimizer: New.
        train_step: `(images, labels) -> StepResult`.
        further_weights: What is trained besides the network.
    """

    def __init__(
        self,
        network: SelectiveNetwork,
        configurations: Sequence[TransferConfiguration],
        optimizer: keras.optimizers.Optimizer,
        train_step: Callable[[tf.Tensor, tf.Tensor], StepResult],
        further_weights: Sequence[keras.Variable] = (),
    ):
        self.network = network
        self.configurations = tuple(configurations)
        weights = network.trainable_weights_of(configurations)
        super().__init__(
            [*weights, *further_weights],
            optimizer,
            train_step,
            network.seed_states,
            len(self.configurations),
        )
        self._rollback = [
            tf.Variable(variable.value, trainable=False)
            for variables in network.knowledge_base
            for variable in variables
        ]
        # What an optimizer remembers, with the values of a new one.
        self._at_first = [(v, v.numpy()) for v in optimizer.variables]

    @property
    def state(self) -> dict[str, Sequence[keras.Variable | tf.Variable]]:
        """Everything that training changes, by name."""
        return {
            "current_weights": self.network.weights,
            "rollback": self._rollback,
            **super().state,
        }

    def begin(self, initial: SelectiveNetwork) -> None:
        """Starts afresh.

        Args:
            initial: Gives the initial weights.
        """
        self.network.take_over(initial)
        for variable, value in self._at_first:
            variable.assign(value)
        self.clear_scratch()
        for variable in self.training_state:
            variable.assign(tf.zeros_like(variable))
        now = (v for vs in self.network.knowledge_base for v in vs)
        for before, variable in zip(self._rollback, now, strict=True):
            before.assign(variable)

    def loss_of(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        training: bool,
        filters: Sequence[Any],
        shares: tf.Tensor,
        convolve: Convolve = plainly,
    ) -> tf.Tensor:
        """Returns the loss of one network, float []: nats and penalties.

        Args:
            images: float [batch, height, width, channels].
            labels: int32 [batch].
            training: Whether dropout is on.
            filters: Per layer what `convolve` takes for filters.
            shares: float [num_layers, 2]. How much of the shared and of the
                task-specific slot each layer uses, so pays penalties for.
            convolve: As in `SelectiveNetwork.activations`.
        """
        network = self.network
        added: list[tf.Tensor] = []
        logits = network.logits(images, filters, training, convolve, added)
        of_slots = tf.transpose(network.regularization())  # [L, 2]
        penalties = [
            tf.reduce_sum(shares * tf.cast(of_slots, shares.dtype)),
            network.other_regularization(),
            *added,
        ]
        return total_loss(labels, logits, penalties)

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

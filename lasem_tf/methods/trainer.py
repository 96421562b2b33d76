"""What trains a set of weights: an optimizer, and one compiled epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from lasem_tf.checks import InputError
from lasem_tf.methods.compiled_epoch import CompiledEpoch, StepResult


def total_loss(
    labels: tf.Tensor, logits: tf.Tensor, penalties: Sequence[tf.Tensor]
) -> tf.Tensor:
    """Returns mean cross-entropy plus penalties, float []; nats.

    Args:
        labels: int32 [batch].
        logits: float [batch, num_classes].
        penalties: float [] each, in whatever layers compute in.
    """
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    added = [tf.cast(penalty, losses.dtype) for penalty in penalties]
    return tf.add_n([tf.reduce_mean(losses), *added])


class Trainer:
    """An optimizer for a set of weights, and the compiled epoch that uses it.

    One for each set of weights: a Keras optimizer refuses variables that it
    was not built with, and a compiled function belongs to its variables.

    Args:
        weights: What is trained.
        optimizer: New.
        train_step: `(images, labels) -> StepResult`.
        seed_states: Of the random layers that a step calls.
        num_configurations: Length of the posterior that a step gives.

    Attributes:
        weights: The weights that are trained.
        base_learning_rate: The optimizer's own.
        compiled_epoch: One epoch of it.

    Raises:
        InputError: If the optimizer has a schedule.
    """

    def __init__(
        self,
        weights: Sequence[keras.Variable],
        optimizer: keras.optimizers.Optimizer,
        train_step: Callable[[tf.Tensor, tf.Tensor], StepResult],
        seed_states: Sequence[keras.Variable] = (),
        num_configurations: int = 0,
    ):
        _check_constant_rate(optimizer)
        self.weights = list(weights)
        self.optimizer = optimizer
        self.base_learning_rate = float(optimizer.learning_rate)
        self.seed_states = list(seed_states)
        self.compiled_epoch = CompiledEpoch(train_step, num_configurations)
        optimizer.build(self.weights)

    def clear_scratch(self) -> None:
        """Lets nothing of other weights reach those that are trained now.

        See `RMSprop.scratch`; other optimizers keep no such variables.
        """
        for variable in getattr(self.optimizer, "scratch", ()):
            variable.assign(tf.zeros_like(variable))

    @property
    def training_state(self) -> Sequence[tf.Variable]:
        """What training changes besides weights; a task finds it at zero."""
        return ()

    @property
    def state(self) -> dict[str, Sequence[keras.Variable | tf.Variable]]:
        """Everything that training changes but the weights, by name."""
        return {
            "optimizer": self.optimizer.variables,
            "training": self.training_state,
        }

    def descend(self, gradients: Sequence[tf.Tensor]) -> None:
        """Moves the weights against the gradients, one for each weight.

        Args:
            gradients: In the order of `weights`.
        """
        self.optimizer.apply_gradients(
            zip(gradients, self.weights, strict=True)
        )

    def minimize(self, loss: Callable[[], tf.Tensor]) -> tf.Tensor:
        """Goes one step down a loss; returns it as it was before.

        Args:
            loss: `() -> float []`, computed from the weights.
        """
        values = [weight.value for weight in self.weights]
        with tf.GradientTape() as tape:
            before = loss()
        self.descend(
            tape.gradient(
                before,
                values,
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
        )
        return before


def _check_constant_rate(optimizer: keras.optimizers.Optimizer) -> None:
    """Refuses a schedule: it would count steps, tasks start anew."""
    if not isinstance(optimizer.learning_rate, keras.Variable):
        raise InputError(
            "An optimizer must have a constant learning rate.",
            received=f"{type(optimizer).__name__} with a schedule",
            remedy="Use `learning_rate_decay`, which counts global epochs.",
        )

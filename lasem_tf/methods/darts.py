"""DARTS: which layers to share as a relaxation that gradients can follow."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from lasem_tf.checks import check_at_least, check_one_of
from lasem_tf.layers.filter_source import SharingRule
from lasem_tf.methods.architecture_gradient import (
    first_order_gradient,
    second_order_gradient,
)
from lasem_tf.methods.compiled_epoch import StepResult
from lasem_tf.methods.darts_trainer import DartsTrainer
from lasem_tf.methods.lifelong_method import EpochResult
from lasem_tf.methods.selective_method import SelectiveMethod
from lasem_tf.networks.backbones import Backbone
from lasem_tf.networks.selective_network import SelectiveNetwork
from lasem_tf.seeding import derive_seed
from lasem_tf.tasks import Task
from lasem_tf.transfer import TransferConfiguration, all_configurations

# Beyond it the configurations are not told one by one: they double per layer.
_MOST_LAYERS_TOLD = 9
_SHARED, _OWN = 0, 1


class Darts(SelectiveMethod):
    """Learns how much of each layer to share, then keeps the larger part.

    While a task is learned each layer gives a mixture of what its shared and
    its task-specific filters give, activation included. Each mini-batch moves
    the mixture's parameters alpha with Adam, then the weights. What a task
    would keep, and what is evaluated, is one branch per layer: the one with
    the larger alpha (of equal ones the shared one), without further training;
    what it does not share is rolled back as in LASEM.

    Source: Liu, Simonyan & Yang (2019), "DARTS", Algorithm 1 and Eq. 2 to 7,
    applied to sharing as in Lee, Behpour & Eaton (2021), Section 4. The
    latter's code pairs second-order terms with the wrong gradients; here they
    are exact. alpha starts at zero, no preference, in place of small random
    numbers. With w for the weights, h_l for what layer l is fed with, and

        h_(l+1) = sum over both slots s of softmax(alpha_l)_s f(W_ls * h_l)

    a step is

        alpha <- alpha - Adam of d L_val(w - xi dL_train/dw, alpha) / d alpha
        w     <- w - optimizer's step of dL_train(w, alpha) / dw

    L_train is cross-entropy and the penalties of weights, each slot's by its
    share; L_val is cross-entropy alone.

    Args:
        backbone: See `NetworkMethod`.
        sharing: See `SelectiveMethod`.
        second_order: Whether alpha looks one step of the weights ahead
            (Eq. 7), at about twice the cost.
        architecture_data: What alpha is learned from: `"validation"`, random
            mini-batches of the validation examples, as in DARTS, or
            `"training"`, the mini-batch of the weights, as in the code of Lee
            et al.
        architecture_learning_rate: Of Adam, with beta_1 = 0.5.
        architecture_weight_decay: L2 penalty on alpha: this times alpha is
            added to its gradient.
        unrolled_learning_rate: xi of Eq. 6. `None`: the weights' learning
            rate, as in DARTS.
        **network_method: See `NetworkMethod`.

    Raises:
        InputError: If a value is not one of those named; when a task begins
            without the validation examples that it would need.
    """

    name = "darts"
    compiles_with_xla = False

    def __init__(
        self,
        backbone: Backbone,
        sharing: SharingRule,
        second_order: bool = True,
        architecture_data: str = "validation",
        architecture_learning_rate: float = 3e-4,
        architecture_weight_decay: float = 1e-3,
        unrolled_learning_rate: float | None = None,
        **network_method,
    ):
        super().__init__(backbone, sharing, **network_method)
        check_one_of(
            "architecture_data", architecture_data, ("validation", "training")
        )
        check_at_least(
            "architecture_learning_rate", architecture_learning_rate, 0
        )
        check_at_least(
            "architecture_weight_decay", architecture_weight_decay, 0
        )
        if unrolled_learning_rate is not None:
            check_at_least("unrolled_learning_rate", unrolled_learning_rate, 0)
        self.second_order = second_order
        self.architecture_data = architecture_data
        self.architecture_learning_rate = architecture_learning_rate
        self.architecture_weight_decay = architecture_weight_decay
        self.unrolled_learning_rate = unrolled_learning_rate

    def begin_task(self, task: Task) -> None:
        """See `LifelongMethod.begin_task`."""
        super().begin_task(task)
        if self.architecture_data == "validation":
            self._trainer.held_out.put(task)

    def train_epoch(
        self, batches: tf.data.Dataset, global_epoch: int
    ) -> EpochResult:
        """Tells of configurations what softmax(alpha) makes of them."""
        result = super().train_epoch(batches, global_epoch)
        configurations = self._trainer.configurations
        if self._network.num_layers > _MOST_LAYERS_TOLD:
            return result
        beliefs = configuration_probabilities(
            self._trainer.architecture.numpy(), configurations
        )
        return dataclasses.replace(
            result,
            configurations=configurations,
            prior=beliefs,
            posterior=beliefs,
        )

    def _candidates(self, num_layers: int) -> tuple[TransferConfiguration, ...]:
        if num_layers <= _MOST_LAYERS_TOLD:
            return all_configurations(num_layers)
        return tuple(
            TransferConfiguration((shared,) * num_layers)
            for shared in (True, False)
        )

    def _new_trainer(
        self,
        network: SelectiveNetwork,
        configurations: tuple[TransferConfiguration, ...],
    ) -> DartsTrainer:
        adam = keras.optimizers.Adam(
            self.architecture_learning_rate, beta_1=0.5, beta_2=0.999
        )
        return DartsTrainer(
            network, configurations, self.optimizer(), adam, self._train_step
        )

    def _selected_configuration(self) -> TransferConfiguration:
        chosen = np.argmax(self._trainer.architecture.numpy(), axis=1)
        return TransferConfiguration(tuple(bool(c == _SHARED) for c in chosen))

    def _train_step(self, images: tf.Tensor, labels: tf.Tensor) -> StepResult:
        """Moves alpha, then the weights."""
        trainer = self._trainer
        gradient = self._architecture_gradient(images, labels)
        gradient += self.architecture_weight_decay * trainer.architecture
        trainer.architecture_optimizer.apply_gradients(
            [(gradient, trainer.architecture)]
        )
        trainer.num_steps.assign_add(1)
        loss = trainer.minimize(
            lambda: trainer.mixed_loss(images, labels, training=True)
        )
        return StepResult(loss)

    def _architecture_gradient(
        self, images: tf.Tensor, labels: tf.Tensor
    ) -> tf.Tensor:
        trainer = self._trainer
        judged_on = images, labels
        if self.architecture_data == "validation":
            seed = derive_seed(self.seed, "validation_batches")
            judged_on = trainer.held_out.draw(
                tf.shape(labels)[0], tf.stack([seed, trainer.num_steps])
            )
        validation_loss = functools.partial(trainer.validation_loss, *judged_on)
        architecture = trainer.architecture.value
        if not self.second_order:
            return first_order_gradient(validation_loss, architecture)
        step_size = self.unrolled_learning_rate
        if step_size is None:
            step_size = trainer.optimizer.learning_rate
        return second_order_gradient(
            functools.partial(trainer.mixed_loss, images, labels, True),
            validation_loss,
            architecture,
            trainer.weights,
            step_size,
        )


def configuration_probabilities(
    architecture: np.ndarray, configurations: Sequence[TransferConfiguration]
) -> np.ndarray:
    """Returns how probable configurations are if layers choose alone.

        p(c) = prod_l softmax(alpha_l)_(c_l)

    Args:
        architecture: float [num_layers, 2]: shared, task-specific.
        configurations: The configurations.

    Returns:
        float32 [num_configurations].
    """
    log_shares = architecture - np.logaddexp.reduce(
        architecture, axis=1, keepdims=True
    )
    masks = np.array([c.shared for c in configurations])  # [C, L]
    logs = np.where(masks, log_shares[:, _SHARED], log_shares[:, _OWN])
    return np.exp(logs.sum(axis=1)).astype(np.float32)

"""Brute force: every configuration is trained, and the best one kept."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from lasem_tf.layers.filter_source import SharingRule
from lasem_tf.layers.selective_conv import pick
from lasem_tf.methods.compiled_epoch import StepResult
from lasem_tf.methods.held_out import HeldOut
from lasem_tf.methods.lifelong_method import EpochResult
from lasem_tf.methods.selective_method import SelectiveMethod
from lasem_tf.methods.selective_trainer import SelectiveTrainer
from lasem_tf.networks.backbones import Backbone
from lasem_tf.networks.selective_network import SelectiveNetwork
from lasem_tf.tasks import Task
from lasem_tf.transfer import TransferConfiguration, candidate_configurations


class BruteForceTrainer(SelectiveTrainer):
    """Trains one candidate after another with one network and optimizer.

    Args:
        network: See `SelectiveTrainer`.
        configurations: The candidates.
        optimizer: See `SelectiveTrainer`.

    Attributes:
        candidate: int64 []. The one whose weights are in the network.
        num_correct: int32 [num_configurations]. Of the validation examples,
            when each candidate was last trained.
        held_out: The validation examples.
    """

    def __init__(
        self,
        network: SelectiveNetwork,
        configurations: Sequence[TransferConfiguration],
        optimizer: keras.optimizers.Optimizer,
    ):
        super().__init__(network, configurations, optimizer, self._train_step)
        self._masks = tf.constant([c.shared for c in self.configurations])
        num = len(self.configurations)
        # On a GPU it may be read there, unlike int32.
        self.candidate = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.num_correct = tf.Variable(tf.zeros([num], tf.int32))
        self.held_out = HeldOut(network.image_shape)
        # Everything that training changes, and, while a task lasts, one copy
        # for each candidate. No compiled function may know the copies: it
        # would hold them for good.
        self._current = [v.value for v in network.weights] + [
            v.value for v in optimizer.variables
        ]
        self._copies: list[tf.Variable] = []
        self._correct = tf.function(
            self._count_correct, reduce_retracing=True, autograph=False
        )

    @property
    def training_state(self) -> Sequence[tf.Variable]:
        """See `Trainer.training_state`."""
        return self.candidate, self.num_correct, *self._copies

    def begin(self, initial: SelectiveNetwork) -> None:
        """See `SelectiveTrainer.begin`: every candidate starts alike."""
        super().begin(initial)
        num = len(self.configurations)
        self._copies = [
            tf.Variable(tf.repeat(v[None], num, axis=0), trainable=False)
            for v in self._current
        ]

    def forget(self) -> None:
        """Lets go of the candidates, when one has been chosen."""
        self._copies = []

    def take_up(self, number: int) -> None:
        """Puts a candidate's weights and optimizer in place.

        Args:
            number: Of the candidate.
        """
        self.candidate.assign(number)
        # An index would read, so copy, all candidates' weights.
        for variable, copies in zip(self._current, self._copies, strict=True):
            variable.assign(copies.sparse_read(number))
        self.clear_scratch()

    def lay_down(self) -> None:
        """Keeps what the candidate has become, and how well it does."""
        number = int(self.candidate)
        for variable, copies in zip(self._current, self._copies, strict=True):
            copies.scatter_update(tf.IndexedSlices(variable[None], [number]))
        correct = [self._correct(*b) for b in self.held_out.batches()]
        self.num_correct[number].assign(sum(correct))

    def _count_correct(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        logits = self.network(images, self._masks[self.candidate])
        answers = tf.argmax(logits, axis=-1, output_type=labels.dtype)
        return tf.math.count_nonzero(
            tf.equal(answers, labels), dtype=self.num_correct.dtype
        )

    def _train_step(self, images: tf.Tensor, labels: tf.Tensor) -> StepResult:
        """One descent of the candidate's loss; the mask costs no retrace."""
        return StepResult(self.minimize(lambda: self._loss(images, labels)))

    def _loss(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        # Not an index, which XLA would take for a constant.
        mask = tf.gather(self._masks, self.candidate)
        filters = [
            pick(slots, mask[number])
            for number, slots in enumerate(self.network.filters())
        ]
        shares = tf.cast(tf.stack([mask, ~mask], axis=1), tf.float32)
        return self.loss_of(images, labels, True, filters, shares)


class BruteForce(SelectiveMethod):
    """Trains every candidate for every task, and keeps the best.

    Candidates start from the same weights, see the same mini-batches in the
    same order and the same dropout, and know nothing of each other; the one
    that answers most validation examples correctly is selected, the one that
    shares more if several do. An epoch trains each candidate for one epoch,
    so a run takes as many times longer as there are candidates, and the time
    it reports says so. Memory holds weights and optimizer once per candidate
    while a task lasts.

    Source: Lee, Behpour & Eaton (2021), Appendix C:

        theta_i = what training with configuration c_i alone makes of theta_0
        selected = argmax over i of accuracy(theta_i, c_i; validation)

    Args:
        backbone: See `NetworkMethod`.
        sharing: See `SelectiveMethod`.
        candidates: As in `Lasem`.
        layer_groups: As in `Lasem`.
        **network_method: See `NetworkMethod`.

    Raises:
        InputError: When a task begins that has no validation examples.
    """

    name = "brute_force"

    def __init__(
        self,
        backbone: Backbone,
        sharing: SharingRule,
        candidates: str | Sequence[str] = "full",
        layer_groups: Sequence[Sequence[int]] | None = None,
        **network_method,
    ):
        super().__init__(backbone, sharing, **network_method)
        self.candidates = candidates
        self.layer_groups = layer_groups

    def begin_task(self, task: Task) -> None:
        """See `LifelongMethod.begin_task`."""
        super().begin_task(task)
        self._trainer.held_out.put(task)

    def train_epoch(
        self, batches: tf.data.Dataset, global_epoch: int
    ) -> EpochResult:
        """Trains every candidate for an epoch; tells of the best one."""
        losses = []
        for number in range(len(self._trainer.configurations)):
            self._trainer.take_up(number)
            learning_rate = self._start_epoch(global_epoch)
            mean = self._trainer.compiled_epoch(batches, self._with_xla)
            losses.append(float(mean.loss))
            self._trainer.lay_down()
        best = self._best()
        self._trainer.take_up(best)
        chosen = np.eye(len(losses), dtype=np.float32)[best]
        return EpochResult(
            loss=losses[best],
            learning_rate=learning_rate,
            configurations=self._trainer.configurations,
            prior=chosen,
            posterior=chosen,
        )

    def end_task(self) -> None:
        """See `LifelongMethod.end_task`."""
        trainer = self._trainer
        super().end_task()
        trainer.forget()

    def _best(self) -> int:
        # Candidates come in the order of how much they share; of equal ones
        # the first is taken.
        return int(tf.argmax(self._trainer.num_correct))

    def _candidates(self, num_layers: int) -> tuple[TransferConfiguration, ...]:
        return candidate_configurations(
            self.candidates, num_layers, self.layer_groups
        )

    def _new_trainer(
        self,
        network: SelectiveNetwork,
        configurations: tuple[TransferConfiguration, ...],
    ) -> BruteForceTrainer:
        return BruteForceTrainer(network, configurations, self.optimizer())

    def _selected_configuration(self) -> TransferConfiguration:
        return self._trainer.configurations[self._best()]

"""LASEM: which layers to share is a latent variable, learned with EM."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from lasem_tf.checks import (
    InputError,
    check_at_least,
    check_fraction,
    check_one_of,
    check_whole_number,
)
from lasem_tf.layers.filter_source import SharingRule
from lasem_tf.methods import em
from lasem_tf.methods.lifelong_method import EpochResult
from lasem_tf.methods.m_step import ForwardPass, MStep
from lasem_tf.methods.selective_method import SelectiveMethod
from lasem_tf.methods.trainer import Trainer
from lasem_tf.networks.backbones import Backbone
from lasem_tf.networks.selective_network import SelectiveNetwork
from lasem_tf.tf_data import untuned
from lasem_tf.transfer import TransferConfiguration, candidate_configurations


class StepResult(NamedTuple):
    """What one mini-batch gave.

    Attributes:
        loss: float32 []. Expected loss of the last M-step.
        posterior: float32 [num_configurations].
    """

    loss: tf.Tensor
    posterior: tf.Tensor


class LasemTrainer(Trainer):
    """Trains the tasks of one architecture with LASEM.

    Args:
        network: See `Trainer`.
        configurations: The candidates.
        optimizer: See `Trainer`.
        pruning_floor: See `Lasem`.
        train_step: `(images, labels) -> StepResult`.

    Attributes:
        m_step: Of this network and these candidates.
        evidence: float32 [num_configurations]. What the prior is made of: the
            sum over mini-batches of one-hot vectors (counts) or of posteriors
            (average).
        num_batches: float32 []. How many mini-batches that were.
        compiled_epoch: See `make_epoch`.
    """

    def __init__(
        self,
        network: SelectiveNetwork,
        configurations: Sequence[TransferConfiguration],
        optimizer: keras.optimizers.Optimizer,
        pruning_floor: float | None,
        train_step: Callable[[tf.Tensor, tf.Tensor], StepResult],
    ):
        super().__init__(network, configurations, optimizer)
        self.m_step = MStep(
            network, self.configurations, self.weights, pruning_floor
        )
        num = len(self.configurations)
        self.evidence = tf.Variable(tf.zeros([num]), trainable=False)
        self.num_batches = tf.Variable(0.0, trainable=False)
        self.compiled_epoch = make_epoch(train_step, num)

    @property
    def training_state(self) -> Sequence[tf.Variable]:
        """See `Trainer.training_state`."""
        return self.evidence, self.num_batches


class Lasem(SelectiveMethod):
    """Learns each task's transfer configuration while it learns the task.

    All candidates share one set of shared parameters, one set of
    task-specific parameters and one head. Each mini-batch gives a posterior
    over the candidates (E-step, dropout off), then one descent of the loss
    expected under it (M-step, dropout on). One pass through the convolutions
    serves both steps, and what candidates have in common is computed once.

    Source: Lee, Behpour & Eaton (2021), Algorithm 1, Eq. 1 to 3; grouped
    candidates: Appendix E.

    Args:
        candidates: `"full"` for all configurations, or a list such as
            `["SSTT", "TTSS"]`.
        layer_groups: With `"full"`: a partition of the layers, numbered from
            1, inside whose groups layers are shared or not together.
        likelihood: `"joint"`, Eq. 2, or `"mean"`, as the authors' code has
            it: the mean probability of the true class.
        prior: `"counts"`, Eq. 1, or `"average"`, the mean of the posteriors.
        num_m_steps: M-steps per mini-batch under the same posterior.
        pruning_floor: How much posterior mass the M-step may neglect. When
            few enough candidates hold all but that for it to pay, it costs
            one plain network for each of them, and weights that none of them
            uses rest. The default lies below the rounding of the loss;
            `None` neglects nothing, at full cost. Random layers other than
            dropout draw once for all candidates then, else for each.
        **selective_method: See `SelectiveMethod`.

    Raises:
        InputError: If a value is not one of those named.
    """

    name = "lasem"

    def __init__(
        self,
        backbone: Backbone,
        sharing: SharingRule,
        candidates: str | Sequence[str] = "full",
        layer_groups: Sequence[Sequence[int]] | None = None,
        likelihood: str = "joint",
        prior: str = "counts",
        num_m_steps: int = 1,
        pruning_floor: float | None = 1e-8,
        **selective_method,
    ):
        super().__init__(backbone, sharing, **selective_method)
        check_one_of("likelihood", likelihood, tuple(em.LIKELIHOODS))
        check_one_of("prior", prior, ("counts", "average"))
        check_whole_number("num_m_steps", num_m_steps)
        check_at_least("num_m_steps", num_m_steps, 1)
        if pruning_floor is not None:
            check_fraction("pruning_floor", pruning_floor)
        self.candidates = candidates
        self.layer_groups = layer_groups
        self.likelihood = likelihood
        self.prior = prior
        self.num_m_steps = num_m_steps
        self.pruning_floor = pruning_floor

    def _candidates(self, num_layers: int) -> tuple[TransferConfiguration, ...]:
        return candidate_configurations(
            self.candidates, num_layers, self.layer_groups
        )

    def train_epoch(
        self, batches: tf.data.Dataset, global_epoch: int
    ) -> EpochResult:
        """See `LifelongMethod.train_epoch`."""
        num_batches = batches.cardinality()
        if num_batches < 1:
            raise InputError(
                "`batches` must know how many they are, at least one.",
                received=f"a data set of cardinality {int(num_batches)}",
                remedy="Use `tf.data.experimental.assert_cardinality`.",
            )
        learning_rate = self._start_epoch(global_epoch)
        loss, posterior = self._trainer.compiled_epoch(
            iter(untuned(batches)), num_batches
        )
        return EpochResult(
            loss=float(loss),
            learning_rate=learning_rate,
            configurations=self._trainer.configurations,
            prior=tf.exp(self._log_prior()).numpy(),
            posterior=posterior.numpy(),
        )

    def _new_trainer(
        self,
        network: SelectiveNetwork,
        configurations: tuple[TransferConfiguration, ...],
    ) -> LasemTrainer:
        return LasemTrainer(
            network,
            configurations,
            self.optimizer(),
            self.pruning_floor,
            self._train_step,
        )

    def _selected_configuration(self) -> TransferConfiguration:
        best = int(tf.argmax(self._log_prior()))
        return self._trainer.configurations[best]

    def _train_step(self, images: tf.Tensor, labels: tf.Tensor) -> StepResult:
        """One E-step and its M-steps on one mini-batch."""
        posterior, forward = self._e_step(images, labels)
        loss = self._descend(images, labels, posterior, forward)
        for _ in range(self.num_m_steps - 1):
            loss = self._descend(images, labels, posterior)
        return StepResult(loss, posterior)

    def _e_step(
        self, images: tf.Tensor, labels: tf.Tensor
    ) -> tuple[tf.Tensor, ForwardPass | None]:
        """Returns the posterior, and what the M-step may reuse."""
        forward = self._trainer.m_step.forward(images)
        losses = em.cross_entropies(labels, forward.evaluation.logits)
        log_likelihood = em.LIKELIHOODS[self.likelihood](losses)
        posterior = em.e_step(log_likelihood, self._log_prior())
        self._observe(posterior)
        return posterior, forward

    def _descend(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        posterior: tf.Tensor,
        forward: ForwardPass | None = None,
    ) -> tf.Tensor:
        """One M-step; returns the loss before it."""
        loss, gradients = self._trainer.m_step.gradients(
            images, labels, posterior, forward
        )
        self._trainer.optimizer.apply_gradients(
            zip(gradients, self._trainer.weights, strict=True)
        )
        return loss

    def _log_prior(self) -> tf.Tensor:
        if self.prior == "average":
            return em.average_log_prior(
                self._trainer.evidence, self._trainer.num_batches
            )
        return em.count_log_prior(self._trainer.evidence)

    def _observe(self, posterior: tf.Tensor) -> None:
        """Lets the prior of the next mini-batch know of this one."""
        counted = self.prior == "counts"
        self._trainer.evidence.assign_add(
            em.most_probable(posterior) if counted else posterior
        )
        self._trainer.num_batches.assign_add(1.0)


def make_epoch(
    train_step: Callable[[tf.Tensor, tf.Tensor], StepResult],
    num_configurations: int,
) -> Callable[[Iterator, tf.Tensor], StepResult]:
    """Compiles one pass over all mini-batches of an epoch into one call.

    A loop over a data set would become a function of that data set, which
    TensorFlow optimises anew in every epoch, for as long as ten steps take.
    Drawing from an iterator keeps the step in the one compiled graph. Python
    is taken as it stands, as Keras does when it trains: AutoGraph would spend
    seconds on rewriting code that has nothing to rewrite.

    Args:
        train_step: `(images, labels) -> StepResult`.
        num_configurations: Length of the posterior.

    Returns:
        Function from an iterator over mini-batches, and how many to draw, to
        the means over the epoch.
    """
    step = tf.autograph.experimental.do_not_convert(train_step)
    # Not a function defined here: TensorFlow takes all that share their code
    # for one, and would warn that every task traces its own.
    return tf.function(
        functools.partial(_train_epoch, step, num_configurations),
        reduce_retracing=True,
    )


def _train_epoch(
    train_step: Callable[[tf.Tensor, tf.Tensor], StepResult],
    num_configurations: int,
    batches: Iterator,
    num_batches: tf.Tensor,
) -> StepResult:
    loss = tf.zeros([])
    posterior = tf.zeros([num_configurations])
    for _ in tf.range(num_batches):
        images, labels = next(batches)
        result = train_step(images, labels)
        loss += result.loss
        posterior += result.posterior
    count = tf.cast(num_batches, tf.float32)
    return StepResult(loss / count, posterior / count)

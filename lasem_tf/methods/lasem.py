"""LASEM: which layers to share is a latent variable, learned with EM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from lasem_tf.checks import check_count, check_fraction, check_one_of
from lasem_tf.layers.filter_source import SharingRule
from lasem_tf.methods import em
from lasem_tf.methods.compiled_epoch import StepResult
from lasem_tf.methods.lasem_trainer import LasemTrainer
from lasem_tf.methods.lifelong_method import EpochResult
from lasem_tf.methods.m_step import ForwardPass
from lasem_tf.methods.network_method import on_gpu
from lasem_tf.methods.relatedness import answers, relatedness
from lasem_tf.methods.selective_method import SelectiveMethod
from lasem_tf.methods.task_parameters import Variables
from lasem_tf.networks.backbones import Backbone
from lasem_tf.networks.selective_network import SelectiveNetwork
from lasem_tf.seeding import derive_seed
from lasem_tf.tasks import Task
from lasem_tf.transfer import TransferConfiguration, candidate_configurations

PRIORS = ("counts", "average", "historic", "related")
_ROUNDING = 2.0**-24  # Of float32 beside 1.


class Lasem(SelectiveMethod):
    """Learns each task's transfer configuration while it learns the task.

    All candidates share one set of shared parameters, one set of
    task-specific parameters and one head. Each mini-batch gives a posterior
    over the candidates (E-step, dropout off), then one descent of the loss
    expected under it (M-step, dropout on). One pass through the convolutions
    serves both steps (where their activation is ReLU or none), and what
    candidates have in common is computed once.

    Source: Lee, Behpour & Eaton (2021), Algorithm 1, Eq. 1 to 3, see `em`;
    grouped candidates: Appendix E:

        p_i ~ pi(c_i) product over the mini-batch of p(y_n | x_n, c_i)
        theta <- theta - optimizer's step of d/d theta sum_i p_i loss(c_i)
        pi(c_i) ~ 1 + how many mini-batches had c_i as most probable

    Args:
        candidates: `"full"` for all configurations, or a list such as
            `["SSTT", "TTSS"]`.
        layer_groups: With `"full"`: a partition of the layers, numbered from
            1, inside whose groups layers are shared or not together.
        likelihood: `"joint"`, Eq. 2, or `"mean"`, as the authors' code has
            it: the mean probability of the true class.
        prior: `"counts"`, Eq. 1: what this task's mini-batches found most
            probable, uniform at first; `"average"`: the mean of this task's
            posteriors; `"historic"`: Eq. 1 with the counts of all earlier
            tasks added; `"related"`: Eq. 1 with each earlier task's counts
            n_ji times its relatedness r_j to this one,

                pi(c_i) ~ 1 + n_i + sum_j r_j n_ji / sum_i n_ji

            The authors leave the last to future work. Here
            relatedness is measured, without descriptors of tasks, by how much
            of the new task's labels the earlier task's network explains on up
            to 250 training images (LEEP, see `relatedness`), because that needs
            no training, no data of earlier tasks, and lies between 0, chance,
            and 1 for any number of classes. Counts are taken as shares, so
            that a task as related as can be weighs as much as one mini-batch
            of the new one: posteriors of the first mini-batches are nearly
            even, so any lead decides whom they count for. With C such weights
            for C candidates, as much as the uniform start has, the first
            task's choice was repeated for good.
        num_m_steps: M-steps per mini-batch under the same posterior.
        pruning_floor: How much posterior mass the M-step may neglect. When
            few enough candidates hold all but that for it to pay, it costs
            one plain network for each of them, and weights that none of them
            uses rest. The default lies below the rounding of the loss. What
            it changes: in n steps a weight at rest stays within
            `n * learning_rate * pruning_floor * G / sqrt(epsilon)` of where it
            would be, G the largest gradient of a candidate, epsilon and
            learning rate RMSProp's: 1e-7 G per step with the paper's values,
            on steps that neglect as much as the floor allows. `None`
            neglects nothing, at full cost, and so it is on a GPU and with
            XLA. Random layers other than dropout then draw for each
            candidate, one by one once for all.
        e_step_tolerance: `None` gives every mini-batch an E-step, as in the
            paper. Else how much posterior mass may be neglected on mini-batches
            without one, which cost little more than one plain network; see
            `RareESteps`.
        e_step_dtype: What the E-step's convolutions are computed in:
            `"float32"` or, faster where the processor knows it, `"bfloat16"`;
            the M-step then computes its own.
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
        e_step_tolerance: float | None = None,
        e_step_dtype: str = "float32",
        **selective_method,
    ):
        super().__init__(backbone, sharing, **selective_method)
        check_one_of("likelihood", likelihood, tuple(em.LIKELIHOODS))
        check_one_of("prior", prior, PRIORS)
        check_count("num_m_steps", num_m_steps, 1)
        if pruning_floor is not None:
            check_fraction("pruning_floor", pruning_floor)
        if e_step_tolerance is not None:
            check_fraction("e_step_tolerance", e_step_tolerance)
        check_one_of("e_step_dtype", e_step_dtype, ("float32", "bfloat16"))
        self.candidates = candidates
        self.layer_groups = layer_groups
        self.likelihood = likelihood
        self.prior = prior
        self.num_m_steps = num_m_steps
        self.pruning_floor = pruning_floor
        self.e_step_tolerance = e_step_tolerance
        self.e_step_dtype = e_step_dtype
        # Of each finished task, where the prior heeds it.
        self._evidence: list[tf.Variable] = []

    @property
    def approximations(self) -> tuple[str, ...]:
        """See `LifelongMethod.approximations`."""
        found = []
        if self.e_step_tolerance is not None:
            found.append(f"e_step_tolerance={self.e_step_tolerance}")
        if self.e_step_dtype != "float32":
            found.append(f"e_step_dtype={self.e_step_dtype}")
        if (self._floor or 0.0) > _ROUNDING:
            found.append(f"pruning_floor={self.pruning_floor}")
        return tuple(found)

    @property
    def _floor(self) -> float | None:
        # Which candidates count is known only when a step is made: XLA wants
        # it before, and a GPU is done with all before it could be told.
        return None if self._with_xla or on_gpu() else self.pruning_floor

    def _candidates(self, num_layers: int) -> tuple[TransferConfiguration, ...]:
        return candidate_configurations(
            self.candidates, num_layers, self.layer_groups
        )

    @property
    def _heeds_earlier_tasks(self) -> bool:
        return self.prior in ("historic", "related")

    def begin_task(self, task: Task) -> None:
        """See `LifelongMethod.begin_task`."""
        super().begin_task(task)
        for index, evidence in enumerate(self._evidence):
            weight = self._weight_of_earlier(index, task)
            self._trainer.earlier_evidence.assign_add(weight * evidence)

    def _weight_of_earlier(self, task_index: int, task: Task) -> tf.Tensor:
        """Returns what an earlier task's counts are multiplied by, float []."""
        if self.prior == "historic":
            return tf.ones([])
        evidence = self._evidence[task_index]
        related = relatedness(*self._asked(task_index, task))
        # A task that is rebuilt has no counts before it is restored.
        return tf.math.divide_no_nan(related, tf.reduce_sum(evidence))

    def _asked(
        self, task_index: int, task: Task
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns what an earlier network answers to a new task's images."""
        seed = derive_seed(self.seed, "asked", len(self._finished))
        size = self.parameters(task_index).image_shape[:2]
        return answers(self.predictor(task_index), task, size, seed)

    def end_task(self) -> None:
        """See `LifelongMethod.end_task`."""
        self._keep_evidence(self._trainer.evidence)
        super().end_task()

    def rebuild_task(self, task: Task, selection: Any) -> None:
        """See `LifelongMethod.rebuild_task`."""
        super().rebuild_task(task, selection)
        num = len(self._candidates(len(self._selected[-1])))
        self._keep_evidence(tf.zeros([num]))

    def _keep_evidence(self, evidence: tf.Tensor | tf.Variable) -> None:
        if self._heeds_earlier_tasks:
            self._evidence.append(tf.Variable(evidence, trainable=False))

    @property
    def state(self) -> dict[str, tf.Module]:
        """See `LifelongMethod.state`."""
        if not self._evidence:
            return super().state
        return {**super().state, "evidence": Variables(self._evidence)}

    def train_epoch(
        self, batches: tf.data.Dataset, global_epoch: int
    ) -> EpochResult:
        """See `LifelongMethod.train_epoch`."""
        learning_rate = self._start_epoch(global_epoch)
        loss, posterior = self._trainer.compiled_epoch(batches, self._with_xla)
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
            self._train_step,
            self._floor,
            self.e_step_tolerance,
            self.e_step_dtype,
        )

    def _selected_configuration(self) -> TransferConfiguration:
        best = int(tf.argmax(self._log_prior()))
        return self._trainer.configurations[best]

    def _train_step(self, images: tf.Tensor, labels: tf.Tensor) -> StepResult:
        """Learns from one mini-batch."""
        rare = self._trainer.rare_e_steps
        if rare is None:
            return self._em_step(images, labels)
        return tf.cond(
            rare.is_due,
            lambda: self._em_step(images, labels),
            lambda: self._m_step_alone(images, labels),
        )

    def _em_step(self, images: tf.Tensor, labels: tf.Tensor) -> StepResult:
        """One E-step and its M-steps."""
        posterior, forward = self._e_step(images, labels)
        if self._trainer.rare_e_steps is not None:
            self._trainer.rare_e_steps.observe(
                posterior, self._trainer.all_evidence
            )
        loss = self._descend(images, labels, posterior, forward)
        for _ in range(self.num_m_steps - 1):
            loss = self._descend(images, labels, posterior)
        return StepResult(loss, posterior)

    def _m_step_alone(self, images: tf.Tensor, labels: tf.Tensor) -> StepResult:
        """M-steps of the candidate that the last E-step found."""
        candidate = self._trainer.rare_e_steps.go_without()
        posterior = tf.one_hot(candidate, len(self._trainer.configurations))
        for _ in range(self.num_m_steps):
            loss = self._apply(
                *self._trainer.m_step.gradients_of_one(
                    images, labels, candidate
                )
            )
        return StepResult(loss, posterior)

    def _e_step(
        self, images: tf.Tensor, labels: tf.Tensor
    ) -> tuple[tf.Tensor, ForwardPass | None]:
        """Returns the posterior, and what the M-step may reuse."""
        logits, forward = self._trainer.m_step.forward(images)
        losses = em.cross_entropies(labels, logits)
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
        return self._apply(
            *self._trainer.m_step.gradients(images, labels, posterior, forward)
        )

    def _apply(self, loss: tf.Tensor, gradients: list[tf.Tensor]) -> tf.Tensor:
        self._trainer.descend(gradients)
        return loss

    def _log_prior(self) -> tf.Tensor:
        if self.prior == "average":
            return em.average_log_prior(
                self._trainer.evidence, self._trainer.num_batches
            )
        return em.count_log_prior(self._trainer.all_evidence)

    def _observe(self, posterior: tf.Tensor) -> None:
        """Lets the prior of the next mini-batch know of this one."""
        counted = self.prior != "average"
        self._trainer.evidence.assign_add(
            em.most_probable(posterior) if counted else posterior
        )
        self._trainer.num_batches.assign_add(1.0)

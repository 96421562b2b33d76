"""The M-step: the loss expected under the posterior, and its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from lasem_tf.layers.selective_conv import SlotFilters, in_bfloat16, pick
from lasem_tf.methods import em
from lasem_tf.networks.branched_evaluation import (
    BranchedEvaluation,
    BranchedResult,
)
from lasem_tf.networks.convolution_tape import ConvolutionTape
from lasem_tf.networks.selective_network import SelectiveNetwork
from lasem_tf.networks.trials import adds_losses
from lasem_tf.transfer import TransferConfiguration

Gradients = tuple[tf.Tensor, list[tf.Tensor]]  # With the loss before them.


class ForwardPass(NamedTuple):
    """What the two steps have in common on one mini-batch; used up by one.

    Attributes:
        filters: Of both slots of every selective layer.
        tape: Has seen them generated.
        evaluation: What they gave with dropout off, if that is of use.
    """

    filters: list[SlotFilters]
    tape: tf.GradientTape
    evaluation: BranchedResult | None = None

    @property
    def tensors(self) -> list[tf.Tensor]:
        """Kernels and biases of all filters."""
        return [t for t in tf.nest.flatten(self.filters) if t is not None]


class MStep:
    """Differentiates the expected loss with respect to the trained weights.

    Filters are generated once. The gradients with respect to them are taken
    through the branches of all candidates at once or, when few hold nearly
    all of the posterior, through these one by one: each is a plain network
    whose convolutions the E-step has computed. Where layers add losses of
    their own, which differ between candidates, it is always one by one.

    Source: Lee, Behpour & Eaton (2021), M-step of Algorithm 1, Eq. 3.

    Args:
        network: The task's network.
        configurations: The candidates.
        weights: The weights to be trained.
        pruning_floor: How much posterior may be neglected, in [0, 1]; `None`
            neglects nothing and leaves no candidate out.
        e_step_dtype: What the E-step's convolutions are computed in; if it is
            not `"float32"`, the M-step computes its own.

    Attributes:
        max_one_by_one: How many candidates count as few.
    """

    def __init__(
        self,
        network: SelectiveNetwork,
        configurations: Sequence[TransferConfiguration],
        weights: Sequence[keras.Variable],
        pruning_floor: float | None,
        e_step_dtype: str = "float32",
    ):
        self._network = network
        self._masks = tf.constant([c.shared for c in configurations])
        self._weights = list(weights)
        other = {id(weight) for weight in network.other_weights}
        self._others = [w for w in self._weights if id(w) in other]
        # What a layer writes while it is called: candidates must not see what
        # another one left there, and the step is to leave it once.
        trained = {id(weight) for weight in self._weights}
        self._untrained = [
            *network.seed_states,
            *[w for w in network.other_weights if id(w) not in trained],
        ]
        self._branched = BranchedEvaluation(network, configurations)
        self._exact_e_step = e_step_dtype == "float32"
        self._adds_losses = adds_losses(network)
        self._floor = pruning_floor
        # All at once cost about half as much as their convolutions say.
        few = int(self._branched.relative_cost / 2)
        self.max_one_by_one = 0 if pruning_floor is None else few

    def forward(self, images: tf.Tensor) -> tuple[tf.Tensor, ForwardPass]:
        """Evaluates all candidates with dropout off.

        Args:
            images: float32 [batch, height, width, channels].

        Returns:
            Logits, float32 [num_configurations, batch, num_classes], and what
            the M-step on these images can start from.
        """
        forward = self._generate()
        if not self._exact_e_step:
            evaluation = self._branched(
                images, forward.filters, convolve=in_bfloat16
            )
            return evaluation.logits, forward
        evaluation = self._branched(images, forward.filters)
        return evaluation.logits, forward._replace(evaluation=evaluation)

    def gradients(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        posterior: tf.Tensor,
        forward: ForwardPass | None = None,
    ) -> Gradients:
        """Returns the expected loss with dropout on, and its gradients.

        Args:
            images: float32 [batch, height, width, channels].
            labels: int32 [batch].
            posterior: float32 [num_configurations].
            forward: Of these images, if the weights are still the same.

        Returns:
            float32 [] and one gradient per weight.
        """
        forward = self._generate() if forward is None else forward
        batch = images, labels, posterior, forward
        if self._floor is None:
            kept = tf.range(self._masks.shape[0], dtype=tf.int64)
        else:
            kept = tf.where(em.not_negligible(posterior, self._floor))[:, 0]
        if self._adds_losses:
            loss, gradients = self._one_by_one(*batch, kept)
        elif self.max_one_by_one:
            loss, gradients = tf.cond(
                tf.size(kept) <= self.max_one_by_one,
                lambda: self._one_by_one(*batch, kept),
                lambda: self._at_once(*batch),
            )
        else:
            loss, gradients = self._at_once(*batch)
        return self._of_weights(posterior, forward, loss, gradients)

    def gradients_of_one(
        self, images: tf.Tensor, labels: tf.Tensor, candidate: tf.Tensor
    ) -> Gradients:
        """Returns the same where one candidate holds all of the posterior.

        Args:
            images: As for `gradients`.
            labels: As for `gradients`.
            candidate: int [], its number.
        """
        posterior = tf.one_hot(candidate, self._masks.shape[0])
        forward = self._generate()
        loss, gradients = self._of_one(
            images, labels, posterior, forward, candidate
        )
        return self._of_weights(posterior, forward, loss, gradients)

    def _generate(self) -> ForwardPass:
        with tf.GradientTape() as tape:
            return ForwardPass(self._network.filters(), tape)

    def _at_once(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        posterior: tf.Tensor,
        forward: ForwardPass,
    ) -> Gradients:
        """Differentiates with respect to filters and other weights."""
        known = forward.evaluation.known if forward.evaluation else {}
        with ConvolutionTape(self._sources(forward), known) as tape:
            evaluation = self._branched(
                images, forward.filters, True, tape.convolve
            )
            losses = em.cross_entropies(labels, evaluation.logits)
            loss = em.expected_loss(posterior, losses)
        return loss, tape.gradient(loss)

    def _one_by_one(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        posterior: tf.Tensor,
        forward: ForwardPass,
        kept: tf.Tensor,
    ) -> Gradients:
        """Does the same for the candidates whose numbers are given."""
        before = [tf.identity(variable.value) for variable in self._untrained]

        def add_one(number, loss, gradients):
            for variable, value in zip(self._untrained, before, strict=True):
                variable.assign(value)
            own_loss, own = self._of_one(
                images, labels, posterior, forward, kept[number]
            )
            total = [g + o for g, o in zip(gradients, own, strict=True)]
            return number + 1, loss + own_loss, total

        first = self._of_one(images, labels, posterior, forward, kept[0])
        _, loss, gradients = tf.while_loop(
            lambda number, *_: number < tf.size(kept),
            add_one,
            (1, *first),
            parallel_iterations=1,
        )
        return loss, gradients

    def _of_one(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        posterior: tf.Tensor,
        forward: ForwardPass,
        candidate: tf.Tensor,
    ) -> Gradients:
        """Differentiates one candidate's part of the expected loss."""
        known = {}
        if forward.evaluation:
            known = self._branched.of_candidate(forward.evaluation, candidate)
        # Not an index, which XLA would take for a constant.
        mask = tf.gather(self._masks, candidate)
        with ConvolutionTape(self._sources(forward), known) as tape:
            picked = [pick(f, mask[i]) for i, f in enumerate(forward.filters)]
            added = [] if self._adds_losses else None
            logits = self._network.logits(
                images, picked, True, tape.convolve, added
            )
            losses = em.cross_entropies(labels, logits[None])
            if added:
                losses += tf.add_n(added)
            share = tf.gather(posterior, candidate)
            loss = em.expected_loss(share[None], losses)
        return loss, tape.gradient(loss)

    def _sources(self, forward: ForwardPass) -> list[tf.Tensor]:
        return [*forward.tensors, *[w.value for w in self._others]]

    def _of_weights(
        self,
        posterior: tf.Tensor,
        forward: ForwardPass,
        loss: tf.Tensor,
        gradients: list[tf.Tensor],
    ) -> Gradients:
        """Adds the penalties, and goes from filters to what made them."""
        with forward.tape as tape:
            penalty = em.expected_penalty(
                posterior,
                tf.cast(self._masks, tf.float32),
                self._network.regularization(),
            )
            penalty += self._network.other_regularization()
        num = len(forward.tensors)
        of_weights = tape.gradient(
            [*forward.tensors, penalty],
            [w.value for w in self._weights],
            [*gradients[:num], tf.ones([])],
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        of_others = dict(
            zip(map(id, self._others), gradients[num:], strict=True)
        )
        total = [
            g + of_others[id(w)] if id(w) in of_others else g
            for g, w in zip(of_weights, self._weights, strict=True)
        ]
        return loss + penalty, total

"""Mini-batches without an E-step, once the posterior tells nothing new."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

_MOST_DOUBLINGS = 8  # The longest gap: 255 mini-batches.


class RareESteps:
    """Says which mini-batches can go without an E-step.

    Not in the paper. After an E-step that leaves the most probable candidate
    all but `tolerance` of the posterior, some mini-batches train this one
    alone: none after the first such E-step, then 1, 3, 7, up to 255, for as
    long as E-steps go on finding this candidate, and finding it ahead of all
    others in evidence. After one that finds anything else, the next
    mini-batch has an E-step too, and the gaps grow from nothing again.
    Mini-batches without an E-step count for no candidate, so that a lead
    rests on what E-steps found and cannot feed itself.

    So what is assumed differs from what the last E-step found by a total
    variation of at most `tolerance`; and a posterior that moves is noticed
    after no longer than it had rested, and at most 255 mini-batches. Nothing
    bounds what an E-step on a mini-batch without one would have found.

    Args:
        tolerance: How much of the posterior may be neglected, in [0, 1].

    Attributes:
        variables: What it remembers, to be zero at the beginning of a task.
    """

    def __init__(self, tolerance: float):
        self._tolerance = tolerance
        # On a GPU they are kept there, unlike int32.
        self._num_left, self._most_probable, self._num_agreed = (
            tf.Variable(0, dtype=tf.int64, trainable=False) for _ in range(3)
        )
        self.variables: Sequence[tf.Variable] = (
            self._num_left,
            self._most_probable,
            self._num_agreed,
        )

    @property
    def is_due(self) -> tf.Tensor:
        """Whether the next mini-batch needs an E-step, bool []."""
        return tf.equal(self._num_left, 0)

    def observe(self, posterior: tf.Tensor, evidence: tf.Tensor) -> None:
        """Learns what an E-step found.

        Args:
            posterior: float32 [num_configurations].
            evidence: float32 [num_configurations]. How many E-steps speak
                for each candidate, this one included, and those of earlier
                tasks if the prior counts them.
        """
        best = tf.argmax(posterior)
        others = tf.one_hot(best, tf.size(evidence), -float("inf"), 0.0)
        # `tf.gather` and not an index, which XLA would take for a constant,
        # and compile anew whenever it differs.
        lead = tf.gather(evidence, best)
        is_ahead = lead > tf.reduce_max(evidence + others)
        settled = is_ahead & (tf.gather(posterior, best) >= 1 - self._tolerance)
        agrees = tf.equal(best, self._most_probable) & (self._num_agreed > 0)
        num_agreed = tf.where(agrees, self._num_agreed, 0) + 1
        num_agreed = tf.where(settled, num_agreed, 0)
        doublings = tf.clip_by_value(num_agreed - 1, 0, _MOST_DOUBLINGS)
        self._most_probable.assign(best)
        self._num_agreed.assign(num_agreed)
        self._num_left.assign(
            tf.bitwise.left_shift(tf.ones_like(doublings), doublings) - 1
        )

    def go_without(self) -> tf.Tensor:
        """Returns the candidate to train on the next mini-batch, int64 []."""
        self._num_left.assign_sub(1)
        return tf.identity(self._most_probable)

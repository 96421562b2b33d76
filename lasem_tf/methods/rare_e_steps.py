"""Mini-batches without an E-step, once the posterior tells nothing new."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

_LONGEST_GAP = 256


class RareESteps:
    """Says which mini-batches can go without an E-step.

    Not in the paper. After an E-step that leaves the most probable candidate
    all but `tolerance` of the posterior, some mini-batches train this one
    alone: half as many as it leads by, so that they could not overturn the
    lead had they gone to another one, and at most 256. They count for none,
    so that a lead rests on what E-steps found and cannot feed itself. After
    an E-step that finds less, the next mini-batch has an E-step too.

    So what is assumed differs from what the last E-step found by a total
    variation of at most `tolerance`; a posterior that moves is noticed at the
    end of the gap.

    Args:
        tolerance: How much of the posterior may be neglected, in [0, 1].

    Attributes:
        variables: What it remembers, to be zero at the beginning of a task.
    """

    def __init__(self, tolerance: float):
        self._tolerance = tolerance
        self._num_left = tf.Variable(0, trainable=False)
        self._most_probable = tf.Variable(0, trainable=False)
        self.variables: Sequence[tf.Variable] = (
            self._num_left,
            self._most_probable,
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
                for each candidate, this one included.
        """
        best = tf.argmax(posterior, output_type=tf.int32)
        others = tf.one_hot(best, tf.size(evidence), -float("inf"), 0.0)
        lead = evidence[best] - tf.reduce_max(evidence + others)
        gap = tf.clip_by_value(lead // 2, 0, _LONGEST_GAP)
        settled = posterior[best] >= 1 - self._tolerance
        self._most_probable.assign(best)
        self._num_left.assign(tf.where(settled, tf.cast(gap, tf.int32), 0))

    def go_without(self) -> tf.Tensor:
        """Returns the candidate to train on the next mini-batch, int32 []."""
        self._num_left.assign_sub(1)
        return tf.identity(self._most_probable)

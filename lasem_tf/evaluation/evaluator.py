"""Counts what a network gets right."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from lasem_tf.checks import InputError


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What one pass over the examples of one split showed.

    Attributes:
        num_correct: Examples whose largest logit is that of the true class.
        num_examples: Examples seen, at least 1.
        loss: Cross-entropy in nats, mean over the examples.
    """

    num_correct: int
    num_examples: int
    loss: float

    @property
    def accuracy(self) -> float:
        """Fraction of correct answers, in [0, 1]; higher is better."""
        return self.num_correct / self.num_examples


def evaluate(
    predict: Callable[[tf.Tensor], tf.Tensor],
    batches: Iterable[tuple[tf.Tensor, tf.Tensor]],
) -> Evaluation:
    """Returns how well `predict` answers.

    Counts over all examples instead of averaging batch averages, because the
    last batch is usually smaller. So the batch size does not matter, but for
    what it changes in the rounding of the logits.

    Args:
        predict: float32 images [batch, height, width, channels] -> float32
            logits [batch, num_classes].
        batches: Pairs of such images and int32 labels [batch].

    Raises:
        InputError: If `batches` holds no example.
    """
    correct, losses = [], []
    for images, labels in batches:
        logits = predict(images)
        answers = tf.argmax(logits, axis=-1, output_type=labels.dtype)
        correct.append(tf.equal(answers, labels))
        losses.append(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        )
    num_examples = sum(int(batch.shape[0]) for batch in correct)
    if not num_examples:
        raise InputError(
            "An evaluation needs at least one example.",
            received="0 examples",
            remedy="Give the split some images, or leave it out.",
        )
    return Evaluation(
        num_correct=int(np.sum(np.concatenate(correct))),
        num_examples=num_examples,
        loss=float(np.mean(np.concatenate(losses), dtype=np.float64)),
    )

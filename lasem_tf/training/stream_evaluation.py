"""Evaluates the tasks of a stream, again and again, on the same images."""

from __future__ import annotations

from collections.abc import Iterator

import tensorflow as tf

from lasem_tf.data.pipeline import evaluation_batches
from lasem_tf.evaluation.evaluator import Evaluation, evaluate
from lasem_tf.methods.lifelong_method import LifelongMethod
from lasem_tf.tasks import TaskStream

SPLITS = ("validation", "test")


class StreamEvaluation:
    """Holds the evaluation images of every task that was met.

    Args:
        stream: The tasks.
        batch_size: Images per batch; changes memory and speed only.
    """

    def __init__(self, stream: TaskStream, batch_size: int):
        self._stream = stream
        self._batch_size = batch_size
        self._batches = {}

    def evaluate(
        self, method: LifelongMethod, task_index: int
    ) -> Iterator[tuple[str, Evaluation]]:
        """Yields each of `SPLITS` with what the method achieves on it.

        Args:
            method: A method that has met the task.
            task_index: The task, counted from 0.
        """
        predict = method.predictor(task_index)
        for split in SPLITS:
            yield split, evaluate(predict, self._of(task_index, split))

    def _of(self, task_index: int, split: str) -> tf.data.Dataset:
        """Returns a split; made once, since it carries its images' cache."""
        key = (task_index, split)
        if key not in self._batches:
            task = self._stream[task_index]
            self._batches[key] = evaluation_batches(
                getattr(task, split), task.preprocess, self._batch_size
            )
        return self._batches[key]

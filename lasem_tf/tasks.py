"""What arrives: a stream of image classification tasks, one after another."""

from __future__ import annotations

import collections.abc
import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lasem_tf.checks import InputError
from lasem_tf.tf_data import untuned


@dataclasses.dataclass(frozen=True)
class Task:
    """One classification problem with its own classes and its own images.

    Attributes:
        name: Short and unique within the stream, such as `"cifar100_03"`.
        class_names: One name per class; label `k` means `class_names[k]`.
        train: Examples `(image, label)`, uint8 [height, width, channels] and
            int32 []: unbatched, in memory, of known length.
        validation: As `train`; shares no image with it.
        test: As `train`; shares no image with either.
        preprocess: Turns raw uint8 [batch, height, width, channels] into the
            float32 images of the same shape that the network sees. It goes
            into the exported model, so it may hold nothing but constants.
        details: How the task was made, for the run's record: names and
            values that JSON can hold. Learning does not depend on it.
    """

    name: str
    class_names: tuple[str, ...]
    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset
    preprocess: keras.layers.Layer
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def num_classes(self) -> int:
        """How many classes, hence logits, this task has."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every image of this task."""
        return tuple(self.train.element_spec[0].shape)

    @property
    def num_train(self) -> int:
        """How many training images this task has."""
        return int(self.train.cardinality())


@dataclasses.dataclass(frozen=True)
class TaskStream(collections.abc.Sequence):
    """Tasks in the order in which they are met.

    Attributes:
        name: Name of the data set, as reports show it.
        tasks: The tasks, first one first.
        seed: The seed that drew them.
        num_left_out: Files and folders that could not be used and were left
            out, where the user asked for that.

    Raises:
        InputError: If there is no task, or two tasks share a name.
    """

    name: str
    tasks: tuple[Task, ...]
    seed: int = 0
    num_left_out: int = 0

    def __post_init__(self):
        names = [task.name for task in self.tasks]
        if not names:
            raise InputError(
                "A task stream needs at least one task.",
                received="0 tasks",
                remedy="Ask for `num_tasks=1` or more.",
            )
        if len(set(names)) != len(names):
            raise InputError(
                "The tasks of a stream must have different names.",
                received=f"names={names}",
                remedy="Number them, for example 'birds_0', 'birds_1'.",
            )

    def __len__(self) -> int:
        return len(self.tasks)

    def __getitem__(self, index: int) -> Task:
        return self.tasks[index]

    def __iter__(self) -> Iterator[Task]:
        return iter(self.tasks)

    def first(self, num_tasks: int | None) -> TaskStream:
        """Returns the stream cut after its first `num_tasks` tasks.

        Args:
            num_tasks: How many to keep; `None` keeps all.

        Raises:
            InputError: If the stream does not have that many, or none is
                asked for.
        """
        if num_tasks is None:
            return self
        if num_tasks not in range(1, len(self) + 1):
            raise InputError(
                f"`num_tasks` must lie between 1 and {len(self)}, the number "
                f"of tasks of '{self.name}'.",
                received=f"num_tasks={num_tasks!r}",
                remedy="Leave it out to learn every task.",
            )
        return dataclasses.replace(self, tasks=self.tasks[:num_tasks])


def content_digest(stream: TaskStream) -> str:
    """Returns a short text that differs if anything in the stream does.

    Args:
        stream: Its class names, images and labels are read, and what
            preprocessing makes of an all black and an all white image.
    """
    digest = hashlib.sha256()
    for task in stream:
        digest.update(repr((task.name, task.class_names)).encode())
        for split in (task.train, task.validation, task.test):
            for images, labels in untuned(split.batch(1000)):
                digest.update(images.numpy().tobytes())
                digest.update(labels.numpy().tobytes())
        constants = np.zeros((2, *task.image_shape), np.uint8)
        constants[1] = 255
        # The same bits wherever the run is continued, with a GPU or without.
        with tf.device("CPU:0"):
            digest.update(task.preprocess(constants).numpy().tobytes())
    return digest.hexdigest()[:16]

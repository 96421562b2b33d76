"""Whether a stream of tasks, whoever made it, is one that can be learned."""

from __future__ import annotations

import tensorflow as tf

from lasem_tf.checks import InputError
from lasem_tf.data.array_checks import check_disjoint
from lasem_tf.data.in_memory import tensors_of
from lasem_tf.tasks import Task, TaskStream

_SPLITS = ("train", "validation", "test")


def check_stream(stream: TaskStream) -> None:
    """Raises an `InputError` if a task is not what `Task` says it is.

    Args:
        stream: All of it is read.

    Raises:
        InputError: If images or labels have another dtype or shape than those
            of `Task`, or images other channels than the first task's; if a
            split is empty or of unknown length; if a label is not the number
            of a class; if a class name does not fit on one line; or if two
            splits of a task share an image, by content.
    """
    for task in stream:
        check_names_fit_on_a_line(task)
        for split in _SPLITS:
            _check_examples(task, split)
        expected, received = stream[0].image_shape[-1], task.image_shape[-1]
        if received != expected:
            raise InputError(
                "All tasks must have images of as many channels as "
                f"'{stream[0].name}' has, {expected}: they share filters.",
                received=f"{received} channels in '{task.name}'",
                remedy="Give all images the same channels.",
            )
        splits = {split: getattr(task, split) for split in _SPLITS}
        check_disjoint(
            {name: tensors_of(s)[0].numpy() for name, s in splits.items()},
            task.name,
        )


def check_names_fit_on_a_line(task: Task) -> None:
    """Raises an `InputError` if a name takes more than one line.

    Args:
        task: Any task.
    """
    for name in task.class_names:
        if "\n" in name or "\r" in name:
            raise InputError(
                f"The class names of task '{task.name}' must fit on one line.",
                received=repr(name),
                remedy="Rename the class without line breaks.",
            )


def _check_examples(task: Task, split: str) -> None:
    examples: tf.data.Dataset = getattr(task, split)
    expected = (
        tf.TensorSpec(task.train.element_spec[0].shape, tf.uint8),
        tf.TensorSpec([], tf.int32),
    )
    image_shape = expected[0].shape
    fits = image_shape.rank == 3 and image_shape.is_fully_defined()
    if not fits or examples.element_spec != expected:
        raise InputError(
            f"The {split} examples of task '{task.name}' must be single pairs "
            "of an image, uint8 [height, width, channels] as to train on, and "
            "a label, int32 [].",
            received=str(examples.element_spec),
            remedy="`lasem_tf.data.from_arrays` makes tasks of any arrays.",
        )
    if int(examples.cardinality()) < 1:
        raise InputError(
            f"The {split} examples of task '{task.name}' must be of known "
            "number, at least one.",
            received=f"a data set of cardinality {int(examples.cardinality())}",
            remedy="Use `tf.data.experimental.assert_cardinality`.",
        )
    _check_labels(task, split)


def _check_labels(task: Task, split: str) -> None:
    labels = tensors_of(getattr(task, split))[1].numpy()
    outside = (labels < 0) | (labels >= task.num_classes)
    if outside.any():
        raise InputError(
            f"The {split} labels of task '{task.name}' must lie between 0 and "
            f"{task.num_classes - 1}, the numbers of its classes.",
            received=f"label {labels[outside][0]}",
            remedy="Number the classes of each task from 0.",
        )

"""Anyone's NumPy arrays as a stream of tasks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import numpy as np

from lasem_tf.checks import InputError
from lasem_tf.data.array_checks import (
    check_class_names,
    check_disjoint,
    check_every_class_trains,
    check_labels,
    checked_examples,
)
from lasem_tf.data.array_task import ArrayTask, read_array_task
from lasem_tf.data.in_memory import Examples, in_memory_task
from lasem_tf.data.preprocessing import preprocessing_layer
from lasem_tf.data.resizing import checked_size, resized_array
from lasem_tf.data.splits import content_digests, first_copies, split_by_class
from lasem_tf.seeding import derive_seed
from lasem_tf.tasks import Task, TaskStream


def from_arrays(
    tasks: Iterable[ArrayTask | Examples | str | os.PathLike[str]],
    *,
    name: str = "arrays",
    seed: int = 0,
    validation_fraction: float = 1 / 6,
    test_fraction: float = 1 / 6,
    scaling: str = "standardise",
    image_size: int | Sequence[int] | None = None,
) -> TaskStream:
    """Returns a stream of tasks made of arrays in memory.

    Tasks may differ in their classes, in how many classes and images they
    have, and in which splits they bring; all images have one shape, or are
    resized to it. Images in floating point become uint8 by rounding
    `255 * image`. Where a split is drawn here, it is balanced by class, and
    copies of one image stay together in one split.

    Args:
        tasks: Per task an `ArrayTask`, a pair `(images, labels)`, or the path
            of a NumPy file with such arrays, as `read_array_task` takes it.
        name: Name of the stream, as reports show it.
        seed: Draws the splits that are not given.
        validation_fraction: Share of a task's training images, per class,
            for validation if `ArrayTask.validation` is not given.
        test_fraction: The same for `ArrayTask.test`.
        scaling: `"standardise"`: each channel to mean 0 and deviation 1 over
            the training images of its task; `"unit"`: pixels to [0, 1];
            `"centred"`: to [-0.5, 0.5].
        image_size: Height and width to bring all images to, or one number for
            both. `None`: they stay as they are.

    Raises:
        InputError: If there is no task; if a file cannot be read; if images
            or labels have a wrong shape or dtype, are missing, hold values out
            of range or what is not a number; if labels do not fit the class
            names; if a class has no training image or too few to be split; if
            tasks differ in image shape; or if two given splits share an image.

    Example:

    >>> images = np.random.default_rng(0).random([60, 8, 8, 3])
    >>> stream = from_arrays([(images, np.arange(60) % 3)], name="noise")
    >>> stream[0].num_train, stream[0].image_shape, stream[0].class_names
    (42, (8, 8, 3), ('0', '1', '2'))
    """
    if isinstance(tasks, (str, os.PathLike, ArrayTask)):
        raise InputError(
            "`tasks` must be a list of tasks.",
            received=f"one task, {tasks!r}"
            if isinstance(tasks, str)
            else f"one {type(tasks).__name__}",
            remedy="Write brackets around it: `[...]`, in a recipe `(...,)`.",
        )
    size = checked_size(image_size, (), "images")
    made = []
    for index, arrays in enumerate(tasks):
        if isinstance(arrays, (str, os.PathLike)):
            arrays = read_array_task(arrays)
        elif not isinstance(arrays, ArrayTask):
            arrays = ArrayTask(train=arrays)
        splits, class_names = _checked_splits(
            arrays, arrays.name or f"task {index}", size
        )
        splits = _with_missing_splits(
            splits,
            derive_seed(seed, name, index),
            validation_fraction,
            test_fraction,
        )
        made.append(
            in_memory_task(
                arrays.name or f"{name}_{index:02d}",
                class_names,
                preprocess=preprocessing_layer(scaling, splits["train"][0]),
                **splits,
            )
        )
    _check_stream(made)
    return TaskStream(name=name, tasks=tuple(made), seed=seed)


def _checked_splits(
    arrays: ArrayTask, where: str, size: tuple[int, int] | None
) -> tuple[dict[str, Examples], tuple[str, ...]]:
    """Returns the splits that were given, by name, and the class names."""
    splits = {
        split: checked_examples(examples, f"'{where}' ({split})")
        for split in ("train", "validation", "test")
        if (examples := getattr(arrays, split)) is not None or split == "train"
    }
    splits = {
        split: (resized_array(images, size), labels)
        for split, (images, labels) in splits.items()
    }
    train_labels = splits["train"][1]
    class_names = arrays.class_names
    if class_names is None:
        # One more than there are is enough to see that one is missing.
        num_classes = min(int(train_labels.max()), len(train_labels)) + 1
        class_names = range(num_classes)
    class_names = tuple(map(str, class_names))
    for split, (_, labels) in splits.items():
        check_labels(labels, class_names, f"'{where}' ({split})")
    _check_one_shape(splits, where)
    check_class_names(class_names, f"'{where}'")
    check_every_class_trains(train_labels, class_names, f"'{where}'")
    check_disjoint(
        {split: images for split, (images, _) in splits.items()}, where
    )
    return splits, class_names


def _with_missing_splits(
    splits: dict[str, Examples],
    seed: int,
    validation_fraction: float,
    test_fraction: float,
) -> dict[str, Examples]:
    """Returns the splits with validation and test drawn where not given."""
    fractions = {"validation": validation_fraction, "test": test_fraction}
    missing = [split for split in fractions if split not in splits]
    if not missing:
        return splits
    images, labels = splits["train"]
    digests = content_digests(images)
    first = np.flatnonzero(first_copies(digests))
    # The first missing split takes the place that is always drawn.
    drawn = split_by_class(
        labels[first],
        seed=seed,
        validation_fraction=fractions[missing[0]],
        test_fraction=fractions["test"] if len(missing) == 2 else 0.0,
    )
    indices = {
        "train": drawn.train,
        missing[0]: drawn.validation,
        missing[-1]: drawn.test if len(missing) == 2 else drawn.validation,
    }
    members = {
        split: np.isin(digests, digests[first[chosen]])
        for split, chosen in indices.items()
    }
    return splits | {
        split: (images[member], labels[member])
        for split, member in members.items()
    }


def _check_one_shape(splits: dict[str, Examples], where: str) -> None:
    expected = splits["train"][0].shape[1:]
    for split, (images, _) in splits.items():
        if images.shape[1:] != expected:
            raise InputError(
                f"All images of '{where}' must have the shape of those to "
                f"train on, {expected}.",
                received=f"shape {images.shape[1:]} in {split}",
                remedy="Resize the images, and give all of them the same "
                "number of channels.",
            )


def _check_stream(tasks: Sequence[Task]) -> None:
    if not tasks:
        raise InputError(
            "`tasks` must hold at least one task.",
            received="0 tasks",
            remedy="Pass for example `from_arrays([(images, labels)])`.",
        )
    for task in tasks:
        if task.image_shape != tasks[0].image_shape:
            raise InputError(
                "All tasks must have images of one shape, here "
                f"{tasks[0].image_shape} as in '{tasks[0].name}'.",
                received=f"shape {task.image_shape} in '{task.name}'",
                remedy="Pass `image_size`, and give all images the same "
                "number of channels.",
            )

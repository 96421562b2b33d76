"""Anyone's image files as a stream of tasks."""

from __future__ import annotations

import collections
import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lasem_tf.checks import InputError
from lasem_tf.data.arrays import ArrayTask, from_arrays
from lasem_tf.data.folder_checks import usable_images
from lasem_tf.data.folder_layout import FoundImage, find_images
from lasem_tf.data.labelled_images import deal_every_class
from lasem_tf.data.prepared_images import prepare_images
from lasem_tf.data.problems import Problems
from lasem_tf.data.resizing import checked_size
from lasem_tf.tasks import TaskStream

# What is drawn must not depend on where the folder lies.
_NAME = "image_folder"


def image_folder(
    path: str | os.PathLike[str],
    image_size: int | Sequence[int] = 96,
    classes_per_task: int | None = None,
    seed: int = 0,
    *,
    channels: int = 3,
    validation_fraction: float = 1 / 6,
    test_fraction: float = 1 / 6,
    scaling: str = "standardise",
    on_bad_image: str = "raise",
    cache_dir: str | os.PathLike[str] | None = None,
) -> TaskStream:
    """Returns a folder of images as lifelong learning tasks.

    Three layouts are told apart by how deep the images lie and what their
    folders are called:

    - `class/image`: the seed deals classes to tasks;
    - `task/class/image`: tasks are the folders, in the order of their names;
    - `split/class/image`, with splits called train, val (or valid, or
      validation) and test: the seed deals classes to tasks, and a split that
      is missing is drawn from those to train on.

    Images may have any size and mode (grey, palette, transparent, CMYK,
    turned by EXIF). They are resized with antialiasing, whatever their aspect
    ratio, and kept so on disk: the next start takes seconds. Hidden files and
    what desktops leave behind (`Thumbs.db`, `desktop.ini`) do not count.

    Args:
        path: The folder.
        image_size: Height and width, or one number for both.
        classes_per_task: At least 2. If it does not divide the number of
            classes, the last task has fewer, or one more. `None`: all classes
            make one task. Not with folders for tasks.
        seed: Deals classes and draws splits.
        channels: 3 for colours, 1 for grey.
        validation_fraction: Share of a class's images to validate, where no
            split says it.
        test_fraction: The same to test.
        scaling: See `preprocessing_layer`.
        on_bad_image: `"raise"` stops at the first image, folder or class
            that cannot be used. `"skip"` warns, leaves it out, and counts it
            in `TaskStream.num_left_out`.
        cache_dir: Where resized images are kept; see `prepare_images`.

    Raises:
        InputError: If there is no such folder, it is not laid out so, a value
            is out of range, fewer than two classes are left, or, unless they
            are skipped: a file is no image, cut short, of less than 2x2 or
            more than 89 million pixels, or lies at another depth; a folder
            is empty, cannot be read or contains itself; two classes of a
            task have one name; one image is in two classes of a task, or in
            two splits; or a class has too few images to be split.
    """
    size = checked_size(image_size, (None, None), "images")
    name = pathlib.Path(path).resolve().name
    problems = Problems(on_bad_image)
    fractions = {
        "validation_fraction": validation_fraction,
        "test_fraction": test_fraction,
    }
    found = find_images(path, problems)
    images, readable = prepare_images(
        [image.path for image in found],
        (*size, channels),
        problems,
        cache_dir,
    )
    usable = usable_images(found, images, readable, fractions, problems)
    tasks = _deal(found, usable, classes_per_task, seed)
    stream = from_arrays(
        (
            _array_task(task, f"{name}_{index:02d}", found, images)
            for index, task in enumerate(tasks)
        ),
        name=_NAME,
        seed=seed,
        scaling=scaling,
        **fractions,
    )
    return dataclasses.replace(
        stream, name=name, num_left_out=problems.num_left_out
    )


class _TaskImages(NamedTuple):
    """A task: its folder's name, its classes, the numbers of its images."""

    name: str | None
    classes: tuple[str, ...]
    numbers: list[int]


def _deal(
    found: Sequence[FoundImage],
    usable: Sequence[int],
    classes_per_task: int | None,
    seed: int,
) -> list[_TaskImages]:
    """Returns what each task is made of."""
    by_task = collections.defaultdict(list)
    for number in usable:
        by_task[found[number].task].append(number)
    if any(by_task):  # Folders name the tasks.
        _check_not_dealt(classes_per_task)
        return [
            _TaskImages(task, _classes_of(numbers, found), numbers)
            for task, numbers in sorted(by_task.items())
        ]
    names = _classes_of(usable, found)
    hands = deal_every_class(len(names), classes_per_task, seed, _NAME)
    tasks = []
    for hand in hands:
        classes = tuple(names[label] for label in hand)
        numbers = [n for n in usable if found[n].class_name in classes]
        tasks.append(_TaskImages(None, classes, numbers))
    return tasks


def _classes_of(
    numbers: Sequence[int], found: Sequence[FoundImage]
) -> tuple[str, ...]:
    """Returns the classes of some images, at least two, sorted."""
    names = sorted({found[number].class_name for number in numbers})
    if len(names) < 2:
        raise InputError(
            "A task needs at least two classes with usable images.",
            received=f"{len(names)} ({', '.join(names)})",
            remedy="Add a folder of images for each class.",
        )
    return tuple(names)


def _check_not_dealt(classes_per_task: int | None) -> None:
    if classes_per_task is not None:
        raise InputError(
            "`classes_per_task` has no meaning where folders name the tasks.",
            received=f"classes_per_task={classes_per_task}",
            remedy="Leave it out, or lay the images out as class/image.",
        )


def _array_task(
    task: _TaskImages,
    name: str,
    found: Sequence[FoundImage],
    images: np.ndarray,
) -> ArrayTask:
    """Returns the arrays of a task; only now its images are in memory."""
    of_split = collections.defaultdict(list)
    for number in task.numbers:
        of_split[found[number].split or "train"].append(number)
    place = {name: label for label, name in enumerate(task.classes)}
    arrays = {
        split: (
            images[numbers],
            np.array([place[found[number].class_name] for number in numbers]),
        )
        for split, numbers in of_split.items()
    }
    return ArrayTask(class_names=task.classes, name=task.name or name, **arrays)

"""Anyone's image files as a stream of tasks."""

from __future__ import annotations

import collections
import dataclasses
import numbers
import os
from collections.abc import Mapping, Sequence

import numpy as np

from lasem_tf.checks import InputError, check_count
from lasem_tf.data.arrays import ArrayTask, from_arrays
from lasem_tf.data.folder_checks import usable_images
from lasem_tf.data.folder_layout import FoundImage, find_images, name_as_text
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
            split says it; above 0, and less than 1 with `test_fraction`.
        test_fraction: The same to test.
        scaling: See `preprocessing_layer`.
        on_bad_image: `"raise"` stops at the first image, folder or class
            that cannot be used. `"skip"` warns, leaves it out, and counts it
            in `TaskStream.num_left_out`.
        cache_dir: Where resized images are kept; see `prepare_images`.

    Raises:
        InputError: If there is no such folder, it is not laid out so, a value
            is out of range, no task is left, all images do not fit into
            memory, or, unless they are skipped: a file is no image, cut
            short, of less than 2x2 or more than 89 million pixels, or lies at
            another depth; a folder is empty, cannot be read or contains
            itself; two classes of a task have one name; one image is in two
            classes of a task, or in two splits; a class has too few images to
            be split; or a task fewer than two classes.
    """
    size = checked_size(image_size, (None, None), "images")
    fractions = {
        "validation_fraction": validation_fraction,
        "test_fraction": test_fraction,
    }
    _check_fractions(fractions)
    _check_channels(channels)
    problems = Problems(on_bad_image)
    found = find_images(path, problems)
    _check_classes_per_task(classes_per_task, found)
    paths = [image.path for image in found]
    images, readable = prepare_images(
        paths, (*size, channels), problems, cache_dir
    )
    usable = usable_images(found, images, readable, fractions, problems)
    name = name_as_text(os.path.basename(os.path.abspath(path)))
    tasks = _deal(found, usable, name, classes_per_task, seed)
    stream = from_arrays(
        (_array_task(*task, found, images) for task in tasks),
        name=_NAME,
        seed=seed,
        scaling=scaling,
        **fractions,
    )
    return dataclasses.replace(
        stream, name=name, num_left_out=problems.num_left_out
    )


def _deal(
    found: Sequence[FoundImage],
    usable: Sequence[int],
    name: str,
    classes_per_task: int | None,
    seed: int,
) -> list[tuple[str, dict[str, list[int]]]]:
    """Returns of each task its name, and the numbers of its images by class."""
    tasks = collections.defaultdict(lambda: collections.defaultdict(list))
    for number in usable:
        tasks[found[number].task][found[number].class_name].append(number)
    if "" not in tasks:  # Folders name the tasks.
        return [
            (task, dict(sorted(classes.items())))
            for task, classes in sorted(tasks.items())
        ]
    classes = sorted(tasks[""].items())
    hands = deal_every_class(len(classes), classes_per_task, seed, _NAME)
    return [
        (f"{name}_{index:02d}", dict(classes[label] for label in hand))
        for index, hand in enumerate(hands)
    ]


def _array_task(
    name: str,
    classes: Mapping[str, Sequence[int]],
    found: Sequence[FoundImage],
    images: np.ndarray,
) -> ArrayTask:
    """Returns the arrays of a task; only now its images are in memory."""
    of_split = collections.defaultdict(list)
    for label, members in enumerate(classes.values()):
        for number in members:
            split = found[number].split or "train"
            of_split[split].append((number, label))
    arrays = {}
    for split, pairs in of_split.items():
        chosen, labels = np.transpose(pairs)
        arrays[split] = images[chosen], labels
    return ArrayTask(class_names=tuple(classes), name=name, **arrays)


def _check_channels(channels: int) -> None:
    if type(channels) is not int or channels not in (1, 3):
        raise InputError(
            "`channels` must be 1 for grey or 3 for colours.",
            received=f"channels={channels!r}",
            remedy="Pass `channels=3`.",
        )


def _check_fractions(fractions: Mapping[str, float]) -> None:
    shares = fractions.values()
    if (
        not all(isinstance(s, numbers.Real) and s > 0 for s in shares)
        or not sum(shares) < 1
    ):
        raise InputError(
            "`validation_fraction` and `test_fraction` must be above 0 and "
            "leave images to train on.",
            received=", ".join(f"{k}={v!r}" for k, v in fractions.items()),
            remedy="Pass for example 1/6 each.",
        )


def _check_classes_per_task(
    classes_per_task: int | None, found: Sequence[FoundImage]
) -> None:
    """Complains early: all images are to be read next."""
    if classes_per_task is None:
        return
    check_count("classes_per_task", classes_per_task, 2)
    if any(image.task for image in found):
        raise InputError(
            "`classes_per_task` has no meaning where folders name the tasks.",
            received=f"classes_per_task={classes_per_task}",
            remedy="Leave it out, or lay the images out as class/image.",
        )

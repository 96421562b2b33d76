"""CIFAR-100 as a stream of tasks with classes of their own."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from lasem_tf.checks import InputError, check_count
from lasem_tf.data.labelled_images import ImagePool, deal_classes
from lasem_tf.data.preprocessing import standardisation
from lasem_tf.data.tfds_images import (
    decode_images,
    prepared_builder,
    read_encoded,
)
from lasem_tf.seeding import derive_seed, numpy_generator
from lasem_tf.tasks import TaskStream

_NUM_CLASSES = 100
_CLASSES_PER_TASK = 10

# Fine labels of each task in the authors' code; a label's position in its
# list is its number within the task.
_AUTHORS_CLASSES = (
    (4, 1, 54, 9, 0, 5, 6, 3, 12, 8),
    (30, 32, 62, 10, 51, 20, 7, 42, 17, 13),
    (55, 67, 70, 16, 53, 25, 14, 43, 37, 48),
    (72, 73, 82, 28, 57, 84, 18, 88, 68, 58),
    (95, 91, 92, 61, 83, 94, 24, 97, 76, 90),
    (22, 23, 15, 34, 26, 2, 27, 36, 47, 41),
    (39, 33, 19, 63, 45, 11, 29, 50, 52, 69),
    (40, 49, 21, 64, 77, 35, 44, 65, 56, 81),
    (86, 60, 31, 66, 79, 46, 78, 74, 59, 85),
    (87, 71, 38, 75, 99, 98, 93, 80, 96, 89),
)


def cifar100(
    seed: int = 0,
    data_dir: str | None = None,
    num_tasks: int | None = None,
    classes_per_task: int = _CLASSES_PER_TASK,
    train_fraction: float = 0.04,
    validation_fraction: float = 1 / 6,
) -> TaskStream:
    """Returns CIFAR-100 as lifelong learning tasks.

    With ten classes per task and up to ten tasks the classes are those of the
    authors of LASEM, whatever the seed; otherwise the seed deals them. The
    seed draws which training images are used. Each task has all test images
    of its classes, standardised with the statistics of its training images.

    A few training images of CIFAR-100 are copies of another training or test
    image, bit for bit. They are never drawn, and do not count as images of
    their classes.

    Args:
        seed: Draws images, and classes where they are not the authors'.
        data_dir: Where TensorFlow Datasets keeps its data. `None`: where it
            does by default, which `TFDS_DATA_DIR` sets.
        num_tasks: Number of tasks. `None`: as many as there are classes for.
            With more, classes come back in other combinations.
        classes_per_task: Classes of each task, 2 to 100.
        train_fraction: Share of each class's 500 training images to draw, for
            training and validation together.
        validation_fraction: Share of the drawn images that validate.

    Raises:
        InputError: If a value is out of range, if the data set is not there
            and the network does not answer, or if it is there in another file
            format than TFDS's usual one.
    """
    class_lists = _deal_classes(seed, num_tasks, classes_per_task)
    builder = prepared_builder("cifar100", data_dir)
    pool = ImagePool(
        class_names=builder.info.features["label"].names,
        train=read_encoded(builder, "train"),
        test=read_encoded(builder, "test"),
    )
    tasks = [
        pool.task(
            f"cifar100_{index:02d}",
            classes,
            derive_seed(seed, "cifar100", index),
            decode=functools.partial(decode_images, channels=3),
            preprocessing=standardisation,
            validation_fraction=validation_fraction,
            fraction=train_fraction,
        )
        for index, classes in enumerate(class_lists)
    ]
    return TaskStream(name="cifar100", tasks=tuple(tasks), seed=seed)


def _deal_classes(
    seed: int, num_tasks: int | None, classes_per_task: int
) -> list[Sequence[int]]:
    """Returns the fine labels of each task."""
    check_count("classes_per_task", classes_per_task, 2)
    if classes_per_task > _NUM_CLASSES:
        raise InputError(
            f"`classes_per_task` must lie between 2 and {_NUM_CLASSES}.",
            received=f"classes_per_task={classes_per_task}",
            remedy=f"Pass for example `classes_per_task={_CLASSES_PER_TASK}`.",
        )
    tasks_per_deal = _NUM_CLASSES // classes_per_task
    if num_tasks is None:
        num_tasks = tasks_per_deal
    check_count("num_tasks", num_tasks, 1)
    if classes_per_task == _CLASSES_PER_TASK and num_tasks <= tasks_per_deal:
        return list(_AUTHORS_CLASSES[:num_tasks])
    return deal_classes(
        _NUM_CLASSES,
        classes_per_task,
        num_tasks,
        numpy_generator(seed, "cifar100", "classes"),
    )

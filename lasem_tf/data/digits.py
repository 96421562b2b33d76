"""Handwritten digits as a stream of small tasks, with nothing to download."""

from __future__ import annotations

import numpy as np

from lasem_tf.checks import InputError, check_count
from lasem_tf.data.in_memory import in_memory_task
from lasem_tf.data.preprocessing import standardisation
from lasem_tf.data.splits import split_by_class
from lasem_tf.seeding import derive_seed, numpy_generator
from lasem_tf.tasks import TaskStream

_NUM_CLASSES = 10
_MAX_INK = 16
_TEST_FRACTION = 1 / 3


def digits(
    seed: int = 0,
    num_tasks: int | None = None,
    classes_per_task: int = 2,
    train_fraction: float = 0.3,
    validation_fraction: float = 1 / 6,
) -> TaskStream:
    """Returns scikit-learn's handwritten digits as lifelong learning tasks.

    1797 genuine grey images of 8 x 8 pixels, about 180 per digit, come with
    scikit-learn. The seed deals the digits to tasks, so each digit appears in
    one task only; a third of a digit's images test, and of the rest the seed
    draws a small share, so that what earlier tasks taught is of use.

    Args:
        seed: Deals the digits and draws the images.
        num_tasks: Number of tasks. `None`: as many as there are digits for.
        classes_per_task: Digits of each task, 2 to 10.
        train_fraction: Share of the images that do not test to draw, for
            training and validation together.
        validation_fraction: Share of the drawn images that validate.

    Raises:
        InputError: If a value is out of range or there are not enough digits
            for the tasks.
    """
    num_tasks = _check_tasks(num_tasks, classes_per_task)
    images, labels = _read()
    classes = numpy_generator(seed, "digits", "classes").permutation(
        _NUM_CLASSES
    )
    tasks = []
    for index in range(num_tasks):
        start = index * classes_per_task
        own = np.sort(classes[start : start + classes_per_task])
        position = np.full(_NUM_CLASSES, -1)
        position[own] = np.arange(classes_per_task)
        splits = {
            split: (images[chosen], position[labels[chosen]])
            for split, chosen in _draw(
                np.flatnonzero(np.isin(labels, own)),
                labels,
                derive_seed(seed, "digits", index),
                train_fraction,
                validation_fraction,
            ).items()
        }
        tasks.append(
            in_memory_task(
                f"digits_{index:02d}",
                tuple(map(str, own)),
                preprocess=standardisation(splits["train"][0]),
                **splits,
            )
        )
    return TaskStream(name="digits", tasks=tuple(tasks), seed=seed)


def _check_tasks(num_tasks: int | None, classes_per_task: int) -> int:
    """Returns the number of tasks."""
    check_count("classes_per_task", classes_per_task, 2)
    most = _NUM_CLASSES // classes_per_task
    if num_tasks is None:
        num_tasks = max(most, 1)
    check_count("num_tasks", num_tasks, 1)
    if num_tasks > most:
        raise InputError(
            f"There are {_NUM_CLASSES} digits for `num_tasks` times "
            "`classes_per_task`.",
            received=f"num_tasks={num_tasks}, "
            f"classes_per_task={classes_per_task}",
            remedy="Pass for example `num_tasks=5, classes_per_task=2`.",
        )
    return num_tasks


def _read() -> tuple[np.ndarray, np.ndarray]:
    """Returns uint8 [1797, 8, 8, 1], 255 for most ink, and int64 [1797]."""
    # Imported here: it takes a second that no other stream needs.
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / _MAX_INK)).astype(np.uint8)
    return images[..., np.newaxis], bunch.target


def _draw(
    members: np.ndarray,
    labels: np.ndarray,
    seed: int,
    train_fraction: float,
    validation_fraction: float,
) -> dict[str, np.ndarray]:
    """Returns the indices of a task's images by the name of their split."""
    apart = split_by_class(
        labels[members],
        seed=derive_seed(seed, "test"),
        validation_fraction=_TEST_FRACTION,
    )
    rest, test = members[apart.train], members[apart.validation]
    drawn = split_by_class(
        labels[rest],
        seed=seed,
        fraction=train_fraction,
        validation_fraction=validation_fraction,
    )
    return {
        "train": rest[drawn.train],
        "validation": rest[drawn.validation],
        "test": test,
    }

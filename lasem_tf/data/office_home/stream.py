"""Office-Home as a stream of tasks."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from lasem_tf.data.labelled_images import ImagePool
from lasem_tf.data.preprocessing import unit_scaling
from lasem_tf.data.tfds_images import (
    decode_images,
    prepared_builder,
    read_encoded,
)
from lasem_tf.seeding import derive_seed
from lasem_tf.tasks import Task, TaskStream

# Classes of each task in the authors' code, as numbers of folders in the order
# of their names; a class's position in its list is its number within the task.
_AUTHORS_CLASSES = (
    (63, 54, 55, 59, 47, 8, 5, 56, 18, 50, 3, 57, 13),
    (62, 19, 21, 35, 64, 46, 27, 10, 39, 17, 22, 34, 30),
    (48, 15, 51, 6, 40, 31, 4, 36, 45, 41, 16, 14, 11),
    (9, 29, 1, 44, 33, 26, 25, 32, 53, 12, 43, 38, 60),
    (28, 2, 49, 37, 20, 23, 58, 24, 52, 61, 7, 0, 42),
)
_DOMAINS = ("product", "real_world")
_FIRST_CLASSES = ("Couch", "Table", "Paper_Clip")
_ADDED_CLASSES = ("Clipboards", "Bucket", "Notebook", "Bed", "Trash_Can")
_VALIDATION_FRACTION = 0.1
_TEST_FRACTION = 0.3


def office_home(seed: int = 0, data_dir: str | None = None) -> TaskStream:
    """Returns Office-Home as ten tasks of 13 classes each.

    The 65 classes are dealt as the authors of LASEM did, whatever the seed:
    five tasks on product photographs, then five with the same classes on
    photographs from the real world. Of every class the seed draws 60 % of the
    images to train, 10 % to validate and 30 % to test. Images are 128x128,
    pixels in [0, 1].

    Source: Lee, Behpour & Eaton (2021), Section 4; classes of each task from
    their code.

    Args:
        seed: Draws the images.
        data_dir: Where TensorFlow Datasets keeps its data. `None`: where it
            does by default, which `TFDS_DATA_DIR` sets.

    Raises:
        InputError: If the data set is neither prepared nor downloaded by hand.
    """
    builder = _builder(data_dir)
    tasks = []
    for domain in _DOMAINS:
        pool = _pool(builder, domain)
        for classes in _AUTHORS_CLASSES:
            index = len(tasks)
            tasks.append(
                _task(
                    pool,
                    f"office_home_{index:02d}",
                    classes,
                    derive_seed(seed, "office_home", index),
                    domain,
                )
            )
    return TaskStream(name="office_home", tasks=tuple(tasks), seed=seed)


def office_home_incremental(
    seed: int = 0, data_dir: str | None = None
) -> TaskStream:
    """Returns six tasks of Office-Home, each with one class more.

    On product photographs: first Couch, Table and Paper_Clip; then each task
    has the classes of the one before it and one more. An image trains,
    validates or tests, the same in every task.

    Source: the authors' code.

    Args:
        seed: Draws the images.
        data_dir: As in `office_home`.

    Raises:
        InputError: As `office_home`.
    """
    pool = _pool(_builder(data_dir), "product")
    names = _FIRST_CLASSES + _ADDED_CLASSES
    tasks = [
        _task(
            pool,
            f"office_home_incremental_{index:02d}",
            [pool.class_names.index(n) for n in names[: index + 3]],
            derive_seed(seed, "office_home_incremental"),
            "product",
        )
        for index in range(len(_ADDED_CLASSES) + 1)
    ]
    return TaskStream(
        name="office_home_incremental", tasks=tuple(tasks), seed=seed
    )


def _builder(data_dir: str | None) -> Any:
    # Imported here: it takes a second that other streams need not wait.
    from lasem_tf.data.office_home import office_home_dataset_builder

    return prepared_builder(
        "office_home", data_dir, office_home_dataset_builder.Builder
    )


def _pool(builder: Any, domain: str) -> ImagePool:
    return ImagePool(
        class_names=builder.info.features["label"].names,
        train=read_encoded(builder, domain),
    )


def _task(
    pool: ImagePool, name: str, classes: Sequence[int], seed: int, domain: str
) -> Task:
    return pool.task(
        name,
        classes,
        seed,
        decode=functools.partial(decode_images, channels=3),
        preprocessing=lambda _: unit_scaling(),
        details={"domain": domain},
        validation_fraction=_VALIDATION_FRACTION,
        test_fraction=_TEST_FRACTION,
    )

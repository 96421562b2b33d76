"""CIFAR-100 as a stream of tasks with classes of their own.

TensorFlow Datasets brings the data set. All images are read as they are
encoded on disk, and only those that the tasks draw are decoded.
"""

from __future__ import annotations

import contextlib
import urllib.request
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import absl.logging
import numpy as np
import tensorflow as tf

from lasem_tf.checks import InputError, check_count
from lasem_tf.data.in_memory import in_memory_task
from lasem_tf.data.preprocessing import standardisation
from lasem_tf.data.splits import content_digests, first_copies, split_by_class
from lasem_tf.seeding import derive_seed, numpy_generator
from lasem_tf.tasks import Task, TaskStream
from lasem_tf.tf_data import untuned

_HOME_PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
_NETWORK_TIMEOUT_SECONDS = 5
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


class _EncodedImages(NamedTuple):
    """A split as it lies on disk: PNG `bytes` and labels, [num_images]."""

    pngs: np.ndarray
    labels: np.ndarray


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
    image, bit for bit. They are never drawn. At 4 % none is missed; if all
    images are drawn, they are missing from the validation images of their
    classes.

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
    builder = _prepared_builder(data_dir)
    train = _read_encoded(builder, "train")
    test = _read_encoded(builder, "test")
    usable = _usable_for_training(train, test)
    all_names = builder.info.features["label"].names
    tasks = []
    for index, classes in enumerate(class_lists):
        members = np.flatnonzero(np.isin(train.labels, classes))
        split = split_by_class(
            train.labels[members],
            seed=derive_seed(seed, "cifar100", index),
            validation_fraction=validation_fraction,
            fraction=train_fraction,
            usable=usable[members],
        )
        tasks.append(
            _make_task(
                f"cifar100_{index:02d}",
                classes,
                tuple(all_names[label] for label in classes),
                train=_take(train, members[split.train]),
                validation=_take(train, members[split.validation]),
                test=_take(test, np.isin(test.labels, classes)),
            )
        )
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
    generator = numpy_generator(seed, "cifar100", "classes")
    dealt = []
    while len(dealt) < num_tasks:
        deck = generator.permutation(_NUM_CLASSES)
        deck = deck[: tasks_per_deal * classes_per_task]
        dealt.extend(deck.reshape(tasks_per_deal, classes_per_task))
    return dealt[:num_tasks]


def _prepared_builder(data_dir: str | None):
    """Returns TFDS's builder of the data set, which is then on disk."""
    # Imported here: it takes a second that no other stream needs.
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import (
        download_manager,
        extractor,
        util,
    )

    # It warns of a folder that is not there; our error says more.
    with _quiet_logs():
        builder = tfds.builder("cifar100", data_dir=data_dir)
        is_prepared = builder.is_prepared()
    if not is_prepared:
        try:
            # A quick question first: without a network TFDS tries for long.
            urllib.request.urlopen(
                urllib.request.Request(_HOME_PAGE, method="HEAD"),
                timeout=_NETWORK_TIMEOUT_SECONDS,
            ).close()
            builder.download_and_prepare()
        except (
            OSError,
            download_manager.NonMatchingChecksumError,
            extractor.ExtractError,
            util.DownloadError,
        ) as error:
            raise _not_there(builder.data_dir, error) from error
    file_format = builder.info.file_format.value
    if file_format != "tfrecord":
        raise InputError(
            f"CIFAR-100 in {builder.data_dir} must be stored as 'tfrecord'.",
            received=repr(file_format),
            remedy="Run `tfds build cifar100 --file_format=tfrecord`.",
        )
    return builder


@contextlib.contextmanager
def _quiet_logs() -> Iterator[None]:
    verbosity = absl.logging.get_verbosity()
    absl.logging.set_verbosity(absl.logging.ERROR)
    try:
        yield
    finally:
        absl.logging.set_verbosity(verbosity)


def _not_there(data_path: str, error: Exception) -> InputError:
    return InputError(
        f"CIFAR-100 must lie prepared in {data_path}, or the network must "
        "answer to download it.",
        received=f"no such data, and {error}",
        remedy="On a machine with network run `tfds build cifar100`, copy "
        "its folder cifar100 here, and name the folder that holds it with "
        "`--data_dir` or `TFDS_DATA_DIR`.",
    )


def _read_encoded(builder, split: str) -> _EncodedImages:
    # Parsing many records at once is ten times cheaper than TFDS's way of
    # one by one, which would take most of the time until training starts.
    features = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
    }
    records = tf.data.TFRecordDataset(builder.info.splits[split].filepaths)
    parsed = records.batch(5000).map(
        lambda batch: tf.io.parse_example(batch, features)
    )
    chunks = [
        (chunk["image"], chunk["label"])
        for chunk in untuned(parsed).as_numpy_iterator()
    ]
    return _EncodedImages(*map(np.concatenate, zip(*chunks, strict=True)))


def _usable_for_training(
    train: _EncodedImages, test: _EncodedImages
) -> np.ndarray:
    """Returns bool [num_train]: no copy of a test or an earlier image.

    One encoder wrote all files, so equal images have equal PNG bytes.
    """
    digests = content_digests(train.pngs)
    return first_copies(digests) & ~np.isin(digests, content_digests(test.pngs))


def _take(images: _EncodedImages, indices: np.ndarray) -> _EncodedImages:
    return _EncodedImages(images.pngs[indices], images.labels[indices])


def _make_task(
    name: str,
    classes: Sequence[int],
    class_names: tuple[str, ...],
    **splits: _EncodedImages,
) -> Task:
    position = np.full(_NUM_CLASSES, -1)
    position[list(classes)] = np.arange(len(classes))
    decoded = {
        split: (_decode(images.pngs), position[images.labels])
        for split, images in splits.items()
    }
    preprocess = standardisation(decoded["train"][0])
    return in_memory_task(name, class_names, preprocess=preprocess, **decoded)


def _decode(pngs: np.ndarray) -> np.ndarray:
    """Returns uint8 [num_images, 32, 32, 3]."""
    dataset = tf.data.Dataset.from_tensor_slices(pngs).map(
        lambda png: tf.ensure_shape(tf.io.decode_png(png), [32, 32, 3]),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    return dataset.batch(len(pngs)).get_single_element().numpy()

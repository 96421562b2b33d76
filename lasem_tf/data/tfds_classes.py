"""Any classification data set of TensorFlow Datasets as a stream of tasks."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from lasem_tf.checks import InputError
from lasem_tf.data.labelled_images import ImagePool, deal_every_class
from lasem_tf.data.preprocessing import preprocessing_layer
from lasem_tf.data.problems import BadImageWarning
from lasem_tf.data.resizing import checked_size
from lasem_tf.data.tfds_images import (
    decode_images,
    prepared_builder,
    read_encoded,
)
from lasem_tf.seeding import derive_seed
from lasem_tf.tasks import TaskStream

_TEST_SPLITS = ("test", "validation")


def tfds_classes(
    name: str,
    classes_per_task: int | None = None,
    *,
    image_size: int | Sequence[int] | None = None,
    seed: int = 0,
    data_dir: str | None = None,
    train_fraction: float = 1.0,
    validation_fraction: float = 1 / 6,
    test_fraction: float = 1 / 6,
    scaling: str = "standardise",
) -> TaskStream:
    """Returns a data set of TensorFlow Datasets as lifelong learning tasks.

    Every class belongs to one task, by the seed. A task trains and validates
    on images of the split "train"; it has all test images of its classes,
    from the split "test" or, where it has none, "validation", or else drawn
    from "train" too. Training images that are copies of a test image or of
    each other are left out; `Task.details` counts them. A class of which the
    data set has no image at all is left out with a `BadImageWarning`.

    Args:
        name: Such as `"cifar10"`, with a configuration such as
            `"emnist/letters"`.
        classes_per_task: At least 2. If it does not divide the number of
            classes, the last task has fewer, or one more. `None`: one task
            with all classes.
        image_size: Height and width, or one number for both; another size is
            resized with antialiasing. `None`: as the images are, if the data
            set says that all have one size.
        seed: Deals classes and draws images.
        data_dir: Where TensorFlow Datasets keeps its data. `None`: where it
            does by default, which `TFDS_DATA_DIR` sets.
        train_fraction: Share of each class's training images to draw, for
            training and validation together.
        validation_fraction: Share of the drawn images that validate.
        test_fraction: Share of the drawn images that test, where the data set
            has neither of the two splits.
        scaling: See `preprocessing_layer`.

    Raises:
        InputError: If there is no such data set, it holds something else than
            images with one class each, its images differ in size and
            `image_size` does not say which to give them, it is not there and
            cannot be prepared, or a value is out of range.
    """
    builder = prepared_builder(name, data_dir)
    image_key, label_key = _keys(builder)
    shape = builder.info.features[image_key].shape
    size = checked_size(image_size, shape[:2], f"images of '{name}'")
    splits = builder.info.splits
    keys = image_key, label_key
    tested = (
        read_encoded(builder, s, *keys) for s in _TEST_SPLITS if s in splits
    )
    pool = ImagePool(
        builder.info.features[label_key].names,
        train=read_encoded(builder, "train", *keys),
        test=next((test for test in tested if len(test.labels)), None),
    )
    present = _classes_with_images(pool, name)
    hands = deal_every_class(len(present), classes_per_task, seed, name)
    tasks = [
        pool.task(
            f"{builder.name}_{index:02d}",
            present[hand],
            derive_seed(seed, name, index),
            decode=functools.partial(
                decode_images, channels=shape[-1], image_size=size
            ),
            preprocessing=functools.partial(preprocessing_layer, scaling),
            fraction=train_fraction,
            validation_fraction=validation_fraction,
            test_fraction=test_fraction if pool.test is None else 0.0,
        )
        for index, hand in enumerate(hands)
    ]
    return TaskStream(name=builder.name, tasks=tuple(tasks), seed=seed)


def _classes_with_images(pool: ImagePool, name: str) -> np.ndarray:
    """Returns the labels that some image has; tells of the others."""
    labels = [pool.train.labels, *([pool.test.labels] if pool.test else [])]
    present = np.unique(np.concatenate(labels))
    absent = sorted(set(range(len(pool.class_names))) - set(present.tolist()))
    if absent:
        names = ", ".join(pool.class_names[label] for label in absent)
        warnings.warn(
            f"'{name}' has no image of its classes {names}; no task has them.",
            BadImageWarning,
            stacklevel=3,
        )
    return present


def _keys(builder: Any) -> tuple[str, str]:
    """Returns the names of the features that hold images and classes."""
    import tensorflow_datasets as tfds

    keys = builder.info.supervised_keys
    features = dict(builder.info.features.items())
    expected = tfds.features.Image, tfds.features.ClassLabel
    fits = (
        isinstance(keys, tuple)
        and len(keys) == 2
        and all(
            isinstance(features.get(key), kind)
            for key, kind in zip(keys, expected, strict=True)
        )
        and "train" in builder.info.splits
    )
    if not fits:
        raise InputError(
            "The data set must hold images, each of one class, in a split "
            "'train'.",
            received=f"'{builder.name}' with {keys or list(features)} in "
            f"{sorted(builder.info.splits)}",
            remedy="Pass an image classification data set, such as 'cifar10'.",
        )
    return keys

"""Any classification data set of TensorFlow Datasets as a stream of tasks."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from lasem_tf.checks import InputError
from lasem_tf.data.labelled_images import ImagePool, deal_every_class
from lasem_tf.data.preprocessing import preprocessing_layer
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
    from the split "test" or, where there is none, "validation", or else drawn
    from "train" too. Training images that are copies of a test image or of
    each other are left out; `Task.details` counts them.

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
    class_names = builder.info.features[label_key].names
    classes = deal_every_class(len(class_names), classes_per_task, seed, name)
    splits = builder.info.splits
    tested = next((s for s in _TEST_SPLITS if s in splits), None)
    keys = image_key, label_key
    pool = ImagePool(
        class_names,
        train=read_encoded(builder, "train", *keys),
        test=read_encoded(builder, tested, *keys) if tested else None,
    )
    tasks = [
        pool.task(
            f"{builder.name}_{index:02d}",
            of_task,
            derive_seed(seed, name, index),
            decode=functools.partial(
                decode_images, channels=shape[-1], image_size=size
            ),
            preprocessing=functools.partial(preprocessing_layer, scaling),
            fraction=train_fraction,
            validation_fraction=validation_fraction,
            test_fraction=0.0 if tested else test_fraction,
        )
        for index, of_task in enumerate(classes)
    ]
    return TaskStream(name=builder.name, tasks=tuple(tasks), seed=seed)


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

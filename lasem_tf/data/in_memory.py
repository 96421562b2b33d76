"""Makes a `Task` of arrays that have already been checked and split."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lasem_tf.tasks import Task

Examples = tuple[np.ndarray, np.ndarray]

# From a split of a task to its tensors, for as long as the task is there.
_tensors = weakref.WeakKeyDictionary()


def in_memory_task(
    name: str,
    class_names: tuple[str, ...],
    *,
    train: Examples,
    validation: Examples,
    test: Examples,
    preprocess: keras.layers.Layer,
    details: Mapping[str, Any] | None = None,
) -> Task:
    """Returns a task whose images stay in memory as uint8.

    Args:
        name: As in `Task`.
        class_names: As in `Task`.
        train: Images uint8 [num_train, height, width, channels] and labels
            [num_train], integers below `len(class_names)`.
        validation: As `train`.
        test: As `train`.
        preprocess: As in `Task`.
        details: As in `Task`.
    """
    return Task(
        name=name,
        class_names=class_names,
        train=_dataset(*train),
        validation=_dataset(*validation),
        test=_dataset(*test),
        preprocess=preprocess,
        details=dict(details or {}),
    )


def tensors_of(examples: tf.data.Dataset) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns all images and labels of a split, in CPU memory.

    What `in_memory_task` made is not copied: the images are held once,
    whoever looks at them. Another data set is read once.

    Args:
        examples: A split of a task, as in `Task`.

    Returns:
        uint8 [num_images, height, width, channels] and int32 [num_images].
    """
    if examples not in _tensors:
        with tf.device("CPU:0"):
            whole = examples.batch(int(examples.cardinality()))
            _tensors[examples] = whole.get_single_element()
    return _tensors[examples]


def _dataset(images: np.ndarray, labels: np.ndarray) -> tf.data.Dataset:
    # tf.data runs on the CPU; on a GPU machine an eager tensor would
    # otherwise be put on the GPU first and be copied back.
    with tf.device("CPU:0"):
        # `tf.constant` would hold a large array twice for as long as it lives.
        tensors = tf.identity(images), tf.identity(labels.astype(np.int32))
        dataset = tf.data.Dataset.from_tensor_slices(tensors)
    _tensors[dataset] = tensors
    return dataset

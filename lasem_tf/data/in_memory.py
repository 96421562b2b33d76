"""Makes a `Task` of arrays that have already been checked and split."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from lasem_tf.tasks import Task

Examples = tuple[np.ndarray, np.ndarray]


def in_memory_task(
    name: str,
    class_names: tuple[str, ...],
    *,
    train: Examples,
    validation: Examples,
    test: Examples,
    preprocess: keras.layers.Layer,
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
    """
    return Task(
        name=name,
        class_names=class_names,
        train=_dataset(*train),
        validation=_dataset(*validation),
        test=_dataset(*test),
        preprocess=preprocess,
    )


def _dataset(images: np.ndarray, labels: np.ndarray) -> tf.data.Dataset:
    # tf.data runs on the CPU; on a GPU machine an eager tensor would
    # otherwise be put on the GPU first and be copied back.
    with tf.device("CPU:0"):
        return tf.data.Dataset.from_tensor_slices(
            (images, labels.astype(np.int32))
        )

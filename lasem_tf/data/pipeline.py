"""From the images of a task to mini-batches for training and evaluation."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from lasem_tf.checks import InputError, check_count
from lasem_tf.seeding import numpy_generator
from lasem_tf.tasks import Task
from lasem_tf.tf_data import untuned

# From the training images of a task to what `_make_epoch_function` was given
# and made of them. One task trains at a time, so one entry is enough; it saves
# copying the images out of the data set and tracing the pipeline in every
# epoch, and more entries would hold more copies. It goes when the task does.
_epoch_functions = weakref.WeakKeyDictionary()


def training_batches(
    task: Task, batch_size: int, seed: int, epoch: int
) -> tf.data.Dataset:
    """Returns one epoch of mini-batches in an order of its own.

    The order is a function of `seed` and `epoch` and of nothing else: no
    iterator state needs saving, and TensorFlow's global seed, which
    `Dataset.shuffle` would mix in, does not matter. Every epoch of a task has
    the same element specification, so a compiled function that takes the
    batches is traced once.

    Args:
        task: The task to train on.
        batch_size: Images per mini-batch; the last incomplete one is dropped.
        seed: Seed of this task's data order.
        epoch: Number of the epoch within the task.

    Returns:
        Elements `(images, labels)`: float32 [batch_size, height, width,
        channels], preprocessed, and int32 [batch_size].

    Raises:
        InputError: As `check_batch_size`.
    """
    check_batch_size(batch_size, task)
    order = numpy_generator(seed, "epoch", epoch).permutation(task.num_train)
    num_batches = task.num_train // batch_size
    order = order[: num_batches * batch_size]
    with tf.device("CPU:0"):
        epoch_of = _epoch_function(task.train, task.preprocess)
        return epoch_of(order.reshape(num_batches, batch_size))


def check_batch_size(batch_size: int, task: Task) -> None:
    """Raises an `InputError` if no mini-batch of that size can be drawn.

    Args:
        batch_size: Images per mini-batch.
        task: The task to train on.

    Raises:
        InputError: If it is no whole number, is below 1, or is above the
            number of training images.
    """
    check_count("batch_size", batch_size, 1)
    if batch_size > task.num_train:
        raise InputError(
            "`batch_size` must not exceed the number of training images of "
            f"a task, which is {task.num_train} for '{task.name}'.",
            received=f"batch_size={batch_size}",
            remedy=f"Pass `batch_size={task.num_train}` or less.",
        )


def evaluation_batches(
    examples: tf.data.Dataset,
    preprocess: keras.layers.Layer,
    batch_size: int = 250,
) -> tf.data.Dataset:
    """Returns every example once, in the order in which it is stored.

    Keep the result and iterate over it again: what it caches are the batched
    uint8 images, at a quarter of the memory of preprocessed ones.

    Args:
        examples: A split of a task, as in `Task`.
        preprocess: The task's preprocessing.
        batch_size: Images per batch; the last one may hold fewer.

    Returns:
        Elements `(images, labels)`: float32 [batch, height, width, channels],
        preprocessed, and int32 [batch].

    Raises:
        InputError: If `batch_size` is no whole number or is below 1.
    """
    check_count("batch_size", batch_size, 1)

    def preprocessed(images, labels):
        return preprocess(images), labels

    cached = examples.batch(batch_size).cache()
    return untuned(cached.map(preprocessed).prefetch(2))


def _epoch_function(
    train: tf.data.Dataset, preprocess: keras.layers.Layer
) -> Callable[[np.ndarray], tf.data.Dataset]:
    """Returns the function from indices to preprocessed mini-batches."""
    made_with, epoch_of = _epoch_functions.get(train, (None, None))
    if made_with is not preprocess:
        _epoch_functions.clear()
        epoch_of = _make_epoch_function(train, preprocess)
        _epoch_functions[train] = preprocess, epoch_of
    return epoch_of


def _make_epoch_function(
    train: tf.data.Dataset, preprocess: keras.layers.Layer
) -> Callable[[np.ndarray], tf.data.Dataset]:
    whole = train.batch(int(train.cardinality()))
    all_images, all_labels = whole.get_single_element()

    def fetch(indices):
        images = tf.gather(all_images, indices)
        return preprocess(images), tf.gather(all_labels, indices)

    # Not a function defined here: see `compiled_epoch`.
    return tf.function(functools.partial(_epoch, fetch), autograph=False)


def _epoch(fetch: Callable, order: tf.Tensor) -> tf.data.Dataset:
    """Makes the data set; in a function it is traced once per shape."""
    batches = tf.data.Dataset.from_tensor_slices(order)
    return batches.map(fetch).prefetch(2)

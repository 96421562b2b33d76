"""From the images of a task to mini-batches for training and evaluation."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from lasem_tf.checks import InputError, check_count
from lasem_tf.data.augmentation import Augmentation
from lasem_tf.data.in_memory import tensors_of
from lasem_tf.seeding import derive_seed, numpy_generator
from lasem_tf.tasks import Task
from lasem_tf.tf_data import untuned

# Preprocessed images up to this size are made for a whole epoch at once.
_AT_ONCE_BYTES = 2**25

# From the training images of a task to what `_make_epoch_function` was given
# and made of them. One task trains at a time, so one entry is enough; it saves
# tracing the pipeline in every epoch. It goes when the task does.
_epoch_functions = weakref.WeakKeyDictionary()


def training_batches(
    task: Task,
    batch_size: int,
    seed: int,
    epoch: int,
    augmentation: Augmentation | None = None,
) -> tf.data.Dataset:
    """Returns one epoch of mini-batches in an order of its own.

    The order is a function of `seed` and `epoch` and of nothing else, and so
    is augmentation: no iterator state needs saving, and TensorFlow's global
    seed, which `Dataset.shuffle` would mix in, does not matter. Every epoch
    of a task has the same element specification, so a compiled function that
    takes the batches is traced once.

    Args:
        task: The task to train on.
        batch_size: Images per mini-batch; the last incomplete one is dropped.
        seed: Seed of this task's data order.
        epoch: Number of the epoch within the task.
        augmentation: Changes images at random. `None`: they stay as they are.

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
    changes = np.int32([derive_seed(seed, "augmentation", epoch), 0])
    with tf.device("CPU:0"):
        epoch_of = _epoch_function(task.train, task.preprocess, augmentation)
        return epoch_of(order.reshape(num_batches, batch_size), changes)


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

    all_images, all_labels = tensors_of(examples)

    def fetch(start):
        part = slice(start, start + batch_size)
        return preprocess(all_images[part]), all_labels[part]

    with tf.device("CPU:0"):
        starts = tf.data.Dataset.range(0, all_images.shape[0], batch_size)
        return untuned(starts.map(fetch).prefetch(2))


def _epoch_function(
    train: tf.data.Dataset,
    preprocess: keras.layers.Layer,
    augmentation: Augmentation | None,
) -> Callable[[np.ndarray, np.ndarray], tf.data.Dataset]:
    """Returns the function from indices and a seed to mini-batches."""
    made_with, epoch_of = _epoch_functions.get(train, (None, None))
    wanted = preprocess, augmentation
    if made_with != wanted:
        _epoch_functions.clear()
        epoch_of = _make_epoch_function(train, *wanted)
        _epoch_functions[train] = wanted, epoch_of
    return epoch_of


def _make_epoch_function(
    train: tf.data.Dataset,
    preprocess: keras.layers.Layer,
    augmentation: Augmentation | None,
) -> Callable[[np.ndarray, np.ndarray], tf.data.Dataset]:
    all_images, all_labels = tensors_of(train)
    num_images = all_images.shape[0]

    def fetch(seed, examples):
        images = tf.gather(all_images, examples)
        if augmentation is not None:
            images = augmentation(images, examples, num_images, seed)
        return preprocess(images), tf.gather(all_labels, examples)

    # Of an epoch: float32, or as many uint8 as augmentation chooses from.
    per_pixel = 4 if augmentation is None else 4 + augmentation.num_versions
    num_bytes = per_pixel * all_images.shape.num_elements()
    # Not a function defined here: see `compiled_epoch`.
    return tf.function(
        functools.partial(
            _epoch_at_once if num_bytes <= _AT_ONCE_BYTES else _epoch, fetch
        ),
        autograph=False,
    )


def _epoch_at_once(
    fetch: Callable, order: tf.Tensor, seed: tf.Tensor
) -> tf.data.Dataset:
    """Makes the data set; in a function it is traced once per shape.

    To set up a function of tf.data takes longer than so few images do.
    """
    whole = fetch(seed, tf.reshape(order, [-1]))
    batches = [
        tf.reshape(part, [*order.shape, *part.shape[1:]]) for part in whole
    ]
    return untuned(tf.data.Dataset.from_tensor_slices(tuple(batches)))


def _epoch(
    fetch: Callable, order: tf.Tensor, seed: tf.Tensor
) -> tf.data.Dataset:
    """Does the same, fetching one mini-batch after another."""
    batches = tf.data.Dataset.from_tensor_slices(order)
    return untuned(batches.map(functools.partial(fetch, seed)).prefetch(2))

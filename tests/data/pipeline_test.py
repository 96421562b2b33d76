"""Tests of mini-batches: order, form, cache."""

import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf

from lasem_tf.checks import InputError
from lasem_tf.data import pipeline
from lasem_tf.data.augmentation import Augmentation
from lasem_tf.data.in_memory import in_memory_task
from lasem_tf.data.pipeline import evaluation_batches, training_batches
from lasem_tf.data.preprocessing import standardisation


def _task(num_train=23):
    generator = np.random.default_rng(0)

    def examples(num_images):
        images = generator.integers(0, 256, [num_images, 4, 4, 3], np.uint8)
        return images, np.arange(num_images)

    train = examples(num_train)
    return in_memory_task(
        "task",
        tuple(map(str, range(num_train))),
        train=train,
        validation=examples(4),
        test=examples(7),
        preprocess=standardisation(train[0]),
    )


def _order(task, seed, epoch, batch_size=5):
    """Labels in the order met; in `_task` the label is the image's number."""
    batches = training_batches(task, batch_size, seed, epoch)
    return [int(label) for _, labels in batches for label in labels]


def test_order_is_a_function_of_seed_and_epoch():
    task = _task()
    assert _order(task, seed=1, epoch=2) == _order(task, seed=1, epoch=2)
    orders = {
        tuple(_order(task, seed, epoch))
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(orders) == 9


def test_order_does_not_depend_on_tensorflows_global_seed_or_the_task_object():
    tf.random.set_seed(1)
    first = _order(_task(), seed=1, epoch=2)
    tf.random.set_seed(2)
    assert _order(_task(), seed=1, epoch=2) == first


def test_an_epoch_meets_every_image_once_but_the_incomplete_batch():
    order = _order(_task(), seed=0, epoch=0)
    assert len(order) == 20
    assert len(set(order)) == 20
    assert order != sorted(order)


def test_over_epochs_every_image_is_met():
    task = _task()
    met = set().union(*(_order(task, 0, epoch) for epoch in range(10)))
    assert met == set(range(23))


def test_images_are_preprocessed_and_stay_with_their_labels():
    task = _task()
    stored = np.stack([image for image, _ in task.train.as_numpy_iterator()])
    expected = task.preprocess(stored).numpy()
    for images, labels in training_batches(task, 5, seed=0, epoch=0):
        np.testing.assert_array_equal(images, expected[labels.numpy()])


def test_every_epoch_has_the_same_form_so_nothing_is_traced_twice():
    task = _task()
    num_traces = 0

    @tf.function
    def count(batches):
        nonlocal num_traces
        num_traces += 1
        total = tf.zeros([], tf.int32)
        for _, labels in batches:
            total += tf.size(labels)
        return total

    for epoch in range(4):
        batches = training_batches(task, 5, 0, epoch)
        assert batches.element_spec == (
            tf.TensorSpec([5, 4, 4, 3], tf.float32),
            tf.TensorSpec([5], tf.int32),
        )
        assert int(count(batches)) == 20
    assert num_traces == 1


def test_the_tasks_of_a_stream_are_no_cause_for_a_warning(caplog):
    """TensorFlow warns if it takes their functions for one."""
    logger = tf.get_logger()
    logger.addHandler(caplog.handler)
    try:
        for _ in range(8):
            training_batches(_task(), 5, seed=0, epoch=0)
    finally:
        logger.removeHandler(caplog.handler)
    assert "retracing" not in caplog.text


def test_two_tasks_in_turn_do_not_mix():
    small, large = _task(num_train=6), _task(num_train=23)
    for _ in range(2):
        assert max(_order(small, 0, 0)) <= 5
        assert max(_order(large, 0, 0)) > 5


def test_images_do_not_outlive_their_task(monkeypatch):
    made = []
    whole = pipeline._make_epoch_function

    def make(*arguments):
        epoch_of = whole(*arguments)
        made.append(weakref.ref(epoch_of))
        return epoch_of

    monkeypatch.setattr(pipeline, "_make_epoch_function", make)
    task = _task()
    for epoch in range(3):
        _order(task, 0, epoch)
    gc.collect()
    (epoch_of,) = made
    assert epoch_of() is not None
    del task
    gc.collect()
    assert epoch_of() is None


def test_whole_training_set_can_be_one_batch():
    assert sorted(_order(_task(), 0, 0, batch_size=23)) == list(range(23))


def test_refuses_a_batch_larger_than_the_training_set():
    with pytest.raises(
        InputError, match="which is 23 for 'task'.*batch_size=24.*=23` or less"
    ):
        training_batches(_task(), 24, 0, 0)


def test_refuses_an_empty_batch():
    with pytest.raises(InputError, match="`batch_size` must be a whole number"):
        training_batches(_task(), 0, 0, 0)
    with pytest.raises(InputError, match="`batch_size` must be a whole number"):
        evaluation_batches(_task().test, _task().preprocess, 0)


def test_evaluation_meets_every_image_once_in_order():
    task = _task()
    batches = evaluation_batches(task.test, task.preprocess, batch_size=3)
    stored = np.stack([image for image, _ in task.test.as_numpy_iterator()])
    for _ in range(2):  # The second time from the cache.
        elements = list(batches)
        assert [len(labels) for _, labels in elements] == [3, 3, 1]
        labels = np.concatenate([labels for _, labels in elements])
        assert labels.tolist() == list(range(7))
        images = np.concatenate([images for images, _ in elements])
        np.testing.assert_allclose(
            images, task.preprocess(stored), rtol=1e-6, atol=1e-6
        )
    assert batches.element_spec == (
        tf.TensorSpec([None, 4, 4, 3], tf.float32),
        tf.TensorSpec([None], tf.int32),
    )


@pytest.mark.parametrize("augmentation", [None, Augmentation(max_shift=1)])
def test_an_epoch_is_the_same_at_once_and_batch_by_batch(
    augmentation, monkeypatch
):
    epochs = []
    for limit in (0, 2**30):
        monkeypatch.setattr(pipeline, "_AT_ONCE_BYTES", limit)
        batches = training_batches(_task(), 5, 1, 2, augmentation)
        epochs.append(list(batches.as_numpy_iterator()))
    assert len(epochs[0]) == 4
    for one, other in zip(*epochs, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


@pytest.mark.parametrize("limit", [0, 2**30])
def test_labels_stay_with_their_images(limit, monkeypatch):
    monkeypatch.setattr(pipeline, "_AT_ONCE_BYTES", limit)
    task = _task()
    stored = {
        int(label): task.preprocess(image[None])[0]
        for image, label in task.train
    }
    for images, labels in training_batches(task, 5, 0, 0):
        for image, label in zip(images, labels, strict=True):
            np.testing.assert_array_equal(image, stored[int(label)])

import math

import numpy as np
import pytest
import tensorflow as tf

from lasem_tf.checks import InputError
from lasem_tf.evaluation.evaluator import Evaluation, evaluate


def batches_of(logits, labels, batch_size):
    """Batches whose images *are* the logits, so that `predict` is known."""
    dataset = tf.data.Dataset.from_tensor_slices(
        (np.float32(logits), np.int32(labels))
    )
    return dataset.batch(batch_size)


def identity(images):
    return images


def test_counts_examples_and_does_not_average_batches():
    # Batches of four and one: 4/4 and 0/1 right. The average of the batch
    # averages would say 0.5.
    logits = [[5, 0], [5, 0], [0, 5], [0, 5], [5, 0]]
    labels = [0, 0, 1, 1, 1]
    found = evaluate(identity, batches_of(logits, labels, batch_size=4))
    assert (found.num_correct, found.num_examples) == (4, 5)
    assert found.accuracy == 0.8


def test_loss_is_the_mean_cross_entropy_over_examples():
    # Cross-entropies by hand: log 2, log(4/3), log 4; the mean over examples
    # weighs all alike although the second batch has one only.
    logits = [[0, 0], [0, math.log(3)], [0, math.log(3)]]
    labels = [1, 1, 0]
    found = evaluate(identity, batches_of(logits, labels, batch_size=2))
    expected = (math.log(2) + math.log(4 / 3) + math.log(4)) / 3
    np.testing.assert_allclose(found.loss, expected, rtol=1e-6)


def test_batch_size_changes_nothing():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(103, 7))
    labels = generator.integers(7, size=103)
    # So that each batch size would notice a first or last example left out.
    labels[[0, -1]] = np.argmax(logits[[0, -1]], axis=1)
    results = [
        evaluate(identity, batches_of(logits, labels, batch_size))
        for batch_size in (1, 10, 103, 250)
    ]
    expected = int(np.sum(np.argmax(logits, axis=1) == labels))
    assert {found.num_correct for found in results} == {expected}
    losses = [found.loss for found in results]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-6)


def test_predict_is_called_with_the_images_of_each_batch():
    kernel = tf.constant([[1.0, -1.0], [0.0, 0.0]])
    images = [[1.0, 9.0], [-1.0, 9.0], [2.0, 9.0]]
    found = evaluate(
        lambda batch: batch @ kernel, batches_of(images, [0, 1, 1], 2)
    )
    assert found.num_correct == 2


def test_no_example_is_refused():
    empty = batches_of(np.zeros((0, 2)), np.zeros(0), batch_size=2)
    with pytest.raises(
        InputError,
        match="An evaluation needs at least one example. Received: 0 examples",
    ):
        evaluate(identity, empty)


def test_accuracy_of_equal_counts_is_equal_to_the_bit():
    first = Evaluation(num_correct=1, num_examples=3, loss=0.0)
    second = Evaluation(num_correct=1, num_examples=3, loss=9.0)
    assert first.accuracy / second.accuracy == 1.0

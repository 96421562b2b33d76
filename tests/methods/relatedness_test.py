import math

import numpy as np
import pytest

from lasem_tf.methods.relatedness import leep, relatedness


def naive_leep(probabilities, labels):
    """Eq. 2 of Nguyen et al. with loops."""
    num_examples, num_classes = probabilities.shape
    joint, marginal = {}, [0.0] * num_classes
    for n in range(num_examples):
        for z in range(num_classes):
            key = labels[n], z
            joint[key] = joint.get(key, 0) + probabilities[n, z] / num_examples
            marginal[z] += probabilities[n, z] / num_examples
    total = 0.0
    for n in range(num_examples):
        total += math.log(
            sum(
                joint[labels[n], z] / marginal[z] * probabilities[n, z]
                for z in range(num_classes)
            )
        )
    return total / num_examples


def test_leep_against_loops():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(4), size=30)
    labels = rng.integers(0, 3, 30) + 5
    assert leep(probabilities, labels) == pytest.approx(
        naive_leep(probabilities, labels), abs=1e-9
    )


def test_a_network_that_tells_labels_apart_is_fully_related():
    labels = np.array([0, 1, 2, 0, 1, 2])
    # Its own classes may have other numbers, and be more.
    probabilities = np.eye(5)[[4, 0, 2, 4, 0, 2]]
    assert relatedness(probabilities, labels) == pytest.approx(1)


def test_a_network_that_says_always_the_same_is_not_related():
    labels = np.array([0, 1, 2, 0, 1, 2, 0])
    probabilities = np.tile([0.2, 0.5, 0.3], (7, 1))
    assert relatedness(probabilities, labels) == pytest.approx(0, abs=1e-9)


def test_two_of_four_labels_told_apart_from_the_others_is_half():
    labels = np.tile([0, 1, 2, 3], 500)
    probabilities = np.eye(2)[labels // 2]
    assert relatedness(probabilities, labels) == pytest.approx(0.5, abs=1e-2)


def test_answers_at_random_are_related_to_nothing():
    """Though they explain a tenth of the labels they are counted on."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        probabilities = rng.dirichlet(np.full(10, 0.1), size=170)
        labels = rng.integers(0, 10, 170)
        explained = 1 + leep(probabilities, labels) / np.log(10)
        assert explained > 0.05
        assert relatedness(probabilities, labels) < 0.02


def test_a_single_label_is_told_by_any_network():
    assert relatedness(np.array([[0.5, 0.5]]), np.array([3])) == 1.0

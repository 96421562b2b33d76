"""How much an earlier task's network tells of a new task's labels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from lasem_tf.tasks import Task

_NUM_ASKED = 250
_NUM_SHUFFLED = 20


def answers(
    predictor: Callable[[tf.Tensor], tf.Tensor],
    task: Task,
    size: tuple[int | None, ...],
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns what an earlier task's network answers to a new task's images.

    Args:
        predictor: Preprocessed images -> logits.
        task: The new one; up to 250 of its training images are asked about.
        size: Height and width that the network is for.
        seed: Says which images.

    Returns:
        Probabilities, float32 [num_images, num_network_classes], and the true
        labels, int32 [num_images].
    """
    # Streams may hold the images of one class after the other.
    mixed = task.train.shuffle(task.num_train, seed=seed)
    images, labels = next(iter(mixed.batch(_NUM_ASKED)))
    images = task.preprocess(images)
    if tuple(size) != task.image_shape[:2]:
        images = tf.image.resize(images, size)
    return tf.nn.softmax(predictor(images)).numpy(), labels.numpy()


def leep(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Returns the log expected empirical prediction of a network.

    The network's classes need not be those of the labels: how one goes with
    the other is counted on the same examples.

    Source: Nguyen, Hassner, Seeger & Archambeau (2020), Eq. 2:

        P(y, z) = mean_n theta(x_n)_z [y_n = y]
        LEEP = mean_n log sum_z P(y_n | z) theta(x_n)_z

    Args:
        probabilities: float [num_examples, num_network_classes]. theta.
        labels: int [num_examples].

    Returns:
        Nats, at most 0; higher is better.
    """
    of_class = labels[None, :] == np.unique(labels)[:, None]  # [y, n]
    joint = of_class @ probabilities / len(labels)  # [y, z]
    marginal = joint.sum(axis=0)
    conditional = joint / np.maximum(marginal, 1e-12)  # P(y | z)
    expected = probabilities @ conditional.T  # [n, y]
    return float(np.mean(np.log(expected[of_class.T])))


def relatedness(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Returns the share of the labels' entropy that a network explains.

    Of what chance leaves to be explained:

        share = 1 + LEEP / H(y)
        relatedness = (share - chance) / (1 - chance), kept within [0, 1]

    Counts are taken on the examples they are tried on, so answers at random
    explain something too: about a tenth for 170 images of 10 classes. So
    chance = the mean share of `_NUM_SHUFFLED` orders of the labels.

    Args:
        probabilities: As for `leep`.
        labels: As for `leep`.

    Returns:
        0 if the network tells no more of the labels than chance does, 1 if it
        tells them apart without error, or if there is one label only.
    """
    shares = np.unique(labels, return_counts=True)[1] / len(labels)
    entropy = -float(np.sum(shares * np.log(shares)))
    if entropy == 0:
        return 1.0
    generator = np.random.default_rng(0)
    chance = np.mean(
        [
            1 + leep(probabilities, generator.permutation(labels)) / entropy
            for _ in range(_NUM_SHUFFLED)
        ]
    )
    share = 1 + leep(probabilities, labels) / entropy
    return float(np.clip((share - chance) / max(1 - chance, 1e-12), 0, 1))

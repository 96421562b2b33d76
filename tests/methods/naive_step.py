"""One step of gradient descent on a loss that a test writes out itself."""

import functools

import keras
import numpy as np
import tensorflow as tf

from tests.methods import tiny

RATE = 0.05
DESCENT = functools.partial(keras.optimizers.SGD, learning_rate=RATE)


def convolve(images, kernel, bias):
    """What a layer of the tiny network does, its activation included."""
    return tf.nn.relu(tf.nn.conv2d(images, kernel, 1, "SAME") + bias)


def pool(images, size):
    return images if size == 1 else tf.nn.max_pool2d(images, size, size, "SAME")


def dense(images, kernel, bias, head_kernel, head_bias):
    """The end of the tiny network: features -> logits."""
    features = tf.reshape(images, [len(images), -1])
    return tf.nn.relu(features @ kernel + bias) @ head_kernel + head_bias


def cross_entropy(labels, logits):
    log_p = tf.nn.log_softmax(logits)
    return -tf.reduce_mean(tf.gather(log_p, labels, batch_dims=1))


def assert_descends(method, task, loss, trained, at_rest=(), frozen=()):
    """Holds one step of a method whose optimizer is `DESCENT` to a loss.

    Args:
        method: A method whose current task is `task`.
        loss: `(images, labels) -> tf.Tensor []`, written out in `trained`.
        trained: Variables, all that the method trains; each must move by
            `-RATE * gradient`, and that by more than rounding does.
        at_rest: Variables that must not move at all.
        frozen: Pairs of one of `trained` and where it must not, bool [filters]
            or [channels, filters].
    """
    assert {id(w) for w in trained} == {id(w) for w in method._trainer.weights}
    moves = {id(weight): ~places for weight, places in frozen}
    images, labels = next(iter(tiny.batches(task, 12)))
    with tf.GradientTape() as tape:
        value = loss(images, labels)
    gradients = tape.gradient(value, [weight.value for weight in trained])
    before = [weight.numpy() for weight in trained]
    rested = [weight.numpy() for weight in at_rest]
    result = method.train_epoch(tiny.batches(task, 12), 0)
    np.testing.assert_allclose(result.loss, value, rtol=1e-5)
    for weight, start, gradient in zip(trained, before, gradients, strict=True):
        moving = moves.get(id(weight), True)
        step = -RATE * gradient.numpy() * moving
        assert np.abs(step).max() > 2e-5 or not np.any(moving), weight.path
        np.testing.assert_allclose(
            weight.numpy() - start,
            step,
            rtol=1e-3,
            atol=1e-6,
            err_msg=weight.path,
        )
    for weight, value in zip(at_rest, rested, strict=True):
        np.testing.assert_array_equal(weight, value)

"""What sending an image through a network tells of its layers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from lasem_tf.checks import InputError
from lasem_tf.networks.layer_graph import SIZE_OF_PROBE, Step
from lasem_tf.networks.selective_network import SelectiveNetwork


def check_batch_independent(network: SelectiveNetwork) -> None:
    """Tries whether other images of a mini-batch change an image's answer.

    Several configurations are evaluated as one large batch, which a layer
    must not notice. What a layer does cannot be read off it, so two images
    are sent through the network, together and the first one alone, as in
    training and as outside of it.

    Args:
        network: Any network; left as it was. Keras' own random layers and
            BatchNormalization are not tried as in training: the former treat
            every image alike, the latter is told by its type.

    Raises:
        InputError: If an activation depends on the rest of the mini-batch;
            names the layer.
    """
    images = _noise(network, 2)
    filters = [slots.shared for slots in network.filters()]
    with _left_as_it_was(network):
        for training in (False, _may_mix_unknown):
            together = network.activations(images, filters, training)
            again = network.activations(images, filters, training)
            alone = network.activations(images[:1], filters, training)
            for step in network.graph.steps:
                for output in step.outputs:
                    # What is random differs from itself too.
                    first = tree.map_structure(lambda t: t[:1], again[output])
                    repeats = _same(together[output], first)
                    if repeats and not _same(together[output], alone[output]):
                        raise _mixing(step)


def adds_losses(network: SelectiveNetwork) -> bool:
    """Whether some layer adds to the loss each time it is called.

    Activity regularizers and `add_loss` do.

    Args:
        network: Any network. It is evaluated as in training, and left as it
            was.
    """
    filters = [slots.shared for slots in network.filters()]
    added: list[tf.Tensor] = []
    with _left_as_it_was(network):
        network.activations(_noise(network, 1), filters, True, added=added)
    return bool(added)


@contextlib.contextmanager
def _left_as_it_was(network: SelectiveNetwork) -> Iterator[None]:
    """Takes back what layers write while they are called."""
    untrained = [v for v in network.variables if not v.trainable]
    before = [tf.identity(v.value) for v in untrained]
    try:
        yield
    finally:
        for variable, value in zip(untrained, before, strict=True):
            variable.assign(value)


def _may_mix_unknown(layer: Any) -> bool:
    """Whether what training changes about it is yet to be found out."""
    known = keras.layers.BatchNormalization
    return not (isinstance(layer, known) or hasattr(layer, "seed_generator"))


def _noise(network: SelectiveNetwork, num_images: int) -> tf.Tensor:
    shape = [size or SIZE_OF_PROBE for size in network.image_shape]
    noise = np.random.default_rng(0).normal(size=(num_images, *shape))
    return tf.constant(noise, tf.float32)


def _same(together: Any, alone: Any) -> bool:
    """Whether every tensor's first row is what it is alone."""
    for both, one in zip(
        tree.flatten(together), tree.flatten(alone), strict=True
    ):
        if tuple(both.shape[1:]) != tuple(one.shape[1:]):
            return False
        # Rounding differs with the batch size, in the last digits.
        tolerance = 1e-3 if one.dtype.size > 2 else 5e-2
        expected = tf.cast(one, tf.float32).numpy()
        received = tf.cast(both[:1], tf.float32).numpy()
        slack = tolerance * np.abs(expected).max(initial=1e-3)
        if not np.allclose(received, expected, rtol=tolerance, atol=slack):
            return False
    return True


def _mixing(step: Step) -> InputError:
    return InputError(
        "A layer's output for one image must not depend on the other images "
        "of the mini-batch, to evaluate several configurations at once.",
        received=f"{type(step.layer).__name__} '{step.layer.name}'",
        remedy="Reduce over height, width or channels, not over the batch.",
    )

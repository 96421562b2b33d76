"""What sending an image through a network tells of its layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from keras import tree

from lasem_tf.checks import InputError
from lasem_tf.networks.layer_graph import Step
from lasem_tf.networks.selective_network import SelectiveNetwork

# Where a backbone takes images of any size.
_SIZE_OF_PROBE = 32


def check_batch_independent(network: SelectiveNetwork) -> None:
    """Tries whether other images of a mini-batch change an image's answer.

    Several configurations are evaluated as one large batch, which a layer
    must not notice. What a layer does cannot be read off it, so two images
    are sent through the network, together and the first one alone.

    Args:
        network: Any network. It is evaluated as outside training, so a layer
            that mixes images only while training is not found here;
            `BranchedEvaluation` refuses Keras' BatchNormalization by its type.

    Raises:
        InputError: If an activation depends on the rest of the mini-batch;
            names the layer.
    """
    images = _noise(network, 2)
    filters = [slots.shared for slots in network.filters()]
    together = network.activations(images, filters, training=False)
    alone = network.activations(images[:1], filters, training=False)
    for step in network.graph.steps:
        for output in step.outputs:
            if not _same(together[output], alone[output]):
                raise _mixing(step)


def adds_losses(network: SelectiveNetwork) -> bool:
    """Whether some layer adds to the loss each time it is called.

    Activity regularizers and `add_loss` do.

    Args:
        network: Any network. It is evaluated as in training, and left as it
            was.
    """
    untrained = [v for v in network.variables if not v.trainable]
    before = [tf.identity(v.value) for v in untrained]
    filters = [slots.shared for slots in network.filters()]
    added: list[tf.Tensor] = []
    network.activations(_noise(network, 1), filters, True, added=added)
    for variable, value in zip(untrained, before, strict=True):
        variable.assign(value)
    return bool(added)


def _noise(network: SelectiveNetwork, num_images: int) -> tf.Tensor:
    shape = [size or _SIZE_OF_PROBE for size in network.image_shape]
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

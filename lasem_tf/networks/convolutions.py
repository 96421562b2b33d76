"""Which layers of a backbone can take their filters from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from lasem_tf.checks import InputError
from lasem_tf.networks.layer_graph import LayerGraph


def is_selective(layer: Any) -> bool:
    """Whether a layer of a backbone can take its filters from elsewhere.

    Args:
        layer: Any layer or operation of a functional model.

    Raises:
        InputError: If it is a `Conv2D` that does more than convolve, so that
            putting other filters into it would change what it means.
    """
    if not isinstance(layer, keras.layers.Conv2D):
        return False
    obstacle = _more_than_filters(layer)
    if obstacle is not None:
        raise InputError(
            f"Convolution '{layer.name}' must be a plain Conv2D to share its "
            "filters.",
            received=f"a {type(layer).__name__} with {obstacle}",
            remedy="Use `keras.layers.Conv2D` without it, or another layer "
            "type, which is not shared.",
        )
    return True


def _more_than_filters(layer: keras.layers.Conv2D) -> str | None:
    """Says what other filters in the layer's place would leave behind."""
    plain = keras.layers.Conv2D
    for method in ("call", "convolution_op"):
        if getattr(type(layer), method) is not getattr(plain, method):
            return f"its own `{method}`"
    if layer.kernel_constraint or layer.bias_constraint:
        return "a constraint"
    if layer.activity_regularizer:
        return "an activity regularizer"
    stateful_activation = not getattr(layer.activation, "built", True)
    if stateful_activation or len(layer.weights) > 1 + layer.use_bias:
        return "weights besides kernel and bias"
    return None


def convolutions(model: keras.Model) -> list[keras.layers.Conv2D]:
    """Returns the convolutions that can share, as `model.layers` lists them.

    So the input side comes first, and of layers beside each other the one
    that `model.summary()` shows first; layers of a nested model stand in its
    place.

    Args:
        model: A functional or Sequential model, built.
    """
    listed = list(map(id, _listed(model)))
    found = [
        layer for layer in LayerGraph(model).layers() if is_selective(layer)
    ]
    return sorted(found, key=lambda layer: listed.index(id(layer)))


def _listed(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yields every layer, one that stands in two models in both places."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _listed(layer)
        else:
            yield layer

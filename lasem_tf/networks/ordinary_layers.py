"""Calls of layers that choose nothing, for several configurations at once."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import tree

from lasem_tf.networks.branches import Branches

# They compute nothing, so they give the same in any dtype.
_MOVE_OR_COMPARE = (
    keras.layers.Cropping2D,
    keras.layers.Flatten,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.MaxPooling2D,
    keras.layers.Permute,
    keras.layers.Reshape,
    keras.layers.ZeroPadding2D,
)


def call(layer: Any, args: tuple, kwargs: dict, dtype: str) -> Any:
    """Calls a layer or operation in its own dtype, or in any if it can.

    Args:
        layer: Of a graph.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        dtype: What operations that are no layers compute in.
    """
    if type(layer) in _MOVE_OR_COMPARE:
        return layer.call(*args, **kwargs)
    if not isinstance(layer, keras.layers.Layer):
        # They do not cast, and would go on in what an E-step convolves in.
        args, kwargs = tree.map_structure(
            lambda a: tf.cast(a, dtype) if _is_bfloat16(a) else a,
            (args, kwargs),
        )
    return layer(*args, **kwargs)


def call_part_by_part(
    layer: Any, args: tuple, kwargs: dict, branches: Branches, dtype: str
) -> Any:
    """Calls a layer that treats every image alike, without joining parts.

    Args:
        layer: As for `call`.
        args: As for `call`, `branches` among them or in `kwargs`.
        kwargs: As for `call`.
        branches: What is taken part by part.
        dtype: As for `call`.
    """

    def of_part(part: tf.Tensor) -> Any:
        part_args, part_kwargs = tree.map_structure(
            lambda a: part if a is branches else a, (args, kwargs)
        )
        return call(layer, part_args, part_kwargs, dtype)

    return tree.map_structure(
        lambda *parts: Branches(parts, branches.layers, branches.rows),
        *map(of_part, branches.parts),
    )


def same_dropout(
    layer: keras.layers.Dropout,
    inputs: tf.Tensor,
    num_rows: int,
    batch: int | tf.Tensor,
    kwargs: dict,
) -> tf.Tensor:
    """Drops the same units in every row.

    Candidates are compared on the same images; on the same units they are
    compared without the noise of different draws, and leaving a candidate
    out does not change what the others see.

    Args:
        layer: What drops.
        inputs: float [num_rows * batch, ...].
        num_rows: How many rows.
        batch: Images per row.
        kwargs: The layer's keyword arguments.
    """
    shape = inputs.shape[1:]
    kept = layer(tf.ones([batch, *shape], inputs.dtype), **kwargs)
    by_row = tf.reshape(inputs, [num_rows, batch, *shape])
    by_row = tf.cast(by_row, kept.dtype)
    return tf.reshape(by_row * kept, [-1, *shape])


def _is_bfloat16(argument: Any) -> bool:
    return tf.is_tensor(argument) and argument.dtype == tf.bfloat16

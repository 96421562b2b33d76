"""Gates that open and close the channels of a convolution, image by image."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

# Gates start open with a probability of sigmoid(2) = 0.88 or so.
_FIRST_LOGIT = 2.0
# Keeps the logarithms of uniform numbers finite.
_MARGIN = 1e-6


def straight_through_gates(
    logits: Any, uniform: Any, temperature: float
) -> Any:
    """Returns gates that are drawn hard, and learn as if they were soft.

    Source: the Gumbel-softmax of two classes, Maddison, Mnih & Teh (2017) and
    Jang, Gu & Poole (2017), straight-through:

        noise = log(u) - log(1 - u)
        gate = 1 if logit + noise > 0 else 0
        d gate / d logit := d/d logit sigmoid((logit + noise) / temperature)

    So a gate is open with probability sigmoid(logit).

    Args:
        logits: float32, of any shape.
        uniform: float32, likewise. Numbers u drawn between 0 and 1, neither
            included.
        temperature: Above 0; the lower, the steeper the soft gate.

    Returns:
        float32 of the same shape, each exactly 0 or 1.
    """
    noisy = logits + keras.ops.log(uniform) - keras.ops.log1p(-uniform)
    soft = keras.ops.sigmoid(noisy / temperature)
    hard = keras.ops.cast(noisy > 0, soft.dtype)
    # In this order the difference is exactly zero, so gates stay 0 or 1.
    return hard + (soft - keras.ops.stop_gradient(soft))


@keras.saving.register_keras_serializable(package="lasem_tf")
class ChannelGates(keras.layers.Layer):
    """Decides from what feeds a convolution which of its channels to keep.

    Drawn while training, open where the logit is above 0 at inference. Gates
    that were closed for good stay closed in either case.

    Deviation: between the two dense layers stands layer normalization where
    the paper has batch normalization. Mini-batches here are of ten images,
    and what the network says of an image shall not depend on the others. It
    too makes gates indifferent to the scale of what feeds them.

    The last bias starts at 2, so gates start open with a probability of 0.88;
    the paper does not say. At 0 half of the features are missing at first,
    and a task hardly begins to learn at the learning rates of LASEM's paper.

    Source: Abati et al. (2020), gating module:

        logits = dense(relu(norm(dense(average over the image))))

    Args:
        filters: Channels of the convolution, one gate for each.
        units: Of the hidden layer; 16 in the paper.
        temperature: See `straight_through_gates`.
        data_format: Of the convolution.
        **kwargs: See `keras.layers.Layer`.

    Call arguments:
        inputs: float [batch, height, width, channels]. What feeds the
            convolution; channels first if `data_format` says so.
        training: Whether gates are drawn.

    Output shape: [batch, filters], each exactly 0 or 1.
    """

    def __init__(
        self,
        filters: int,
        units: int = 16,
        temperature: float = 2 / 3,
        data_format: str = "channels_last",
        **kwargs,
    ):
        # Whatever the network computes in: rounding would flip gates.
        super().__init__(**{"dtype": "float32", **kwargs})
        self.filters = filters
        self.units = units
        self.temperature = temperature
        self.data_format = data_format
        self.seed_generator = keras.random.SeedGenerator()
        policy = self.dtype_policy
        self.pool = keras.layers.GlobalAveragePooling2D(
            data_format, dtype=policy
        )
        self.hidden = keras.layers.Dense(units, name="hidden", dtype=policy)
        self.norm = keras.layers.LayerNormalization(name="norm", dtype=policy)
        self.logits = keras.layers.Dense(
            filters,
            bias_initializer=keras.initializers.Constant(_FIRST_LOGIT),
            name="logits",
            dtype=policy,
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the dense layers, and the mask of gates that may open."""
        axis = 1 if self.data_format == "channels_first" else -1
        self.hidden.build((None, input_shape[axis]))
        self.norm.build((None, self.units))
        self.logits.build((None, self.units))
        self.may_open = self.add_weight(
            shape=(self.filters,),
            initializer="ones",
            dtype="bool",
            trainable=False,
            name="may_open",
        )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Pools, and asks the dense layers."""
        hidden = keras.ops.relu(self.norm(self.hidden(self.pool(inputs))))
        logits = self.logits(hidden)
        if training:
            uniform = keras.random.uniform(
                keras.ops.shape(logits),
                _MARGIN,
                1 - _MARGIN,
                seed=self.seed_generator,
            )
            gates = straight_through_gates(logits, uniform, self.temperature)
        else:
            gates = keras.ops.cast(logits > 0, logits.dtype)
        return keras.ops.where(self.may_open, gates, 0.0)

    def close_all_but(self, relevant: np.ndarray) -> None:
        """Closes gates for good.

        Args:
            relevant: bool [filters]. The gates that may open as before.
        """
        self.may_open.assign(keras.ops.logical_and(self.may_open, relevant))

    def get_config(self) -> dict[str, Any]:
        """See `keras.layers.Layer.get_config`."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "units": self.units,
            "temperature": self.temperature,
            "data_format": self.data_format,
        }


@keras.saving.register_keras_serializable(package="lasem_tf")
class GatedChannels(keras.layers.Layer):
    """Multiplies the channels of a convolution by their gates.

    Args:
        data_format: Of the convolution.
        **kwargs: See `keras.layers.Layer`.

    Call arguments:
        outputs: float [batch, height, width, channels]. Of the convolution,
            activation included; channels first if `data_format` says so.
        gates: float [batch, channels], each 0 or 1.
        training: Whether gradients must reach the gates.

    Output shape: That of `outputs`.
    """

    def __init__(self, data_format: str = "channels_last", **kwargs):
        super().__init__(**kwargs)
        self.data_format = data_format

    def call(
        self, outputs: Any, gates: Any, training: bool | None = None
    ) -> Any:
        """Multiplies."""
        channels_first = self.data_format == "channels_first"
        gates = keras.ops.expand_dims(
            gates, (2, 3) if channels_first else (1, 2)
        )
        if training:
            return outputs * gates
        # Not a product: behind a closed gate may stand a filter that another
        # task spoilt, and 0 times infinity is not 0.
        return keras.ops.where(gates > 0, outputs, 0.0)

    def get_config(self) -> dict[str, Any]:
        """See `keras.layers.Layer.get_config`."""
        return {**super().get_config(), "data_format": self.data_format}

"""From raw pixels to what a network sees: constants only, so it exports."""

from __future__ import annotations

import keras
import numpy as np

from lasem_tf.checks import check_one_of


def standardisation(train_images: np.ndarray) -> keras.layers.Normalization:
    """Returns the layer that standardises each channel of an image.

    Mean and deviation come from the training images alone and serve every
    split. The authors' code standardises each split with its own; that would
    let test images influence their own answers.

        y = (x - mean) / std

    Args:
        train_images: uint8 [num_train, height, width, channels]. A channel
            that never changes is centred and not scaled.

    Returns:
        uint8 [batch, height, width, channels] -> float32 of the same shape.
    """
    pixels = train_images.reshape(-1, train_images.shape[-1])
    mean, mean_square = _channel_moments(pixels)
    variance = mean_square - mean**2
    layer = keras.layers.Normalization(
        mean=mean,
        variance=np.where(variance > 1e-6, variance, 1.0),
        dtype="float32",
    )
    layer.build((None, *train_images.shape[1:]))
    return layer


def unit_scaling() -> keras.layers.Rescaling:
    """Returns the layer that brings pixels from 0..255 to [0, 1].

    Returns:
        uint8 [batch, height, width, channels] -> float32 of the same shape.
    """
    return keras.layers.Rescaling(1 / 255, dtype="float32")


def centred_scaling() -> keras.layers.Rescaling:
    """Returns the layer that brings pixels from 0..255 to [-0.5, 0.5].

    Returns:
        uint8 [batch, height, width, channels] -> float32 of the same shape.
    """
    return keras.layers.Rescaling(1 / 255, offset=-0.5, dtype="float32")


def preprocessing_layer(
    scaling: str, train_images: np.ndarray
) -> keras.layers.Layer:
    """Returns the layer that the user asked for by name.

    Args:
        scaling: `"standardise"` for `standardisation`, `"unit"` for
            `unit_scaling`, `"centred"` for `centred_scaling`.
        train_images: uint8 [num_train, height, width, channels].

    Raises:
        InputError: If `scaling` is none of these.
    """
    check_one_of("scaling", scaling, ("standardise", "unit", "centred"))
    if scaling == "standardise":
        return standardisation(train_images)
    return unit_scaling() if scaling == "unit" else centred_scaling()


def _channel_moments(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns float64 [channels]: mean and mean square, in exact integers.

    A float64 copy of a large data set would need eight times its memory.
    """
    num_channels = pixels.shape[-1]
    values = np.arange(256, dtype=np.int64)
    counts = np.stack(
        [
            np.bincount(pixels[:, channel], minlength=256)
            for channel in range(num_channels)
        ]
    )  # [channels, 256]
    return counts @ values / len(pixels), counts @ values**2 / len(pixels)

"""What size images are to have, and how they get it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from lasem_tf.checks import InputError, check_count

_AT_ONCE = 100  # images; as floats they take four times the memory


def resized(images: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Brings images to another size, with antialiasing.

    Args:
        images: uint8 [..., height, width, channels].
        size: Height and width; the aspect ratio is not kept.
    """
    values = tf.image.resize(images, size, "bicubic", antialias=True)
    return tf.cast(tf.round(tf.clip_by_value(values, 0, 255)), tf.uint8)


def resized_array(
    images: np.ndarray, size: tuple[int, int] | None
) -> np.ndarray:
    """Does the same to many images in memory; `None` leaves them as they are.

    Args:
        images: uint8 [num_images, height, width, channels].
        size: As in `resized`.
    """
    if size is None or images.shape[1:3] == tuple(size):
        return images
    found = np.empty([len(images), *size, images.shape[-1]], np.uint8)
    for start in range(0, len(images), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        found[part] = resized(images[part], size).numpy()
    return found


def checked_size(
    image_size: int | Sequence[int] | None,
    own_size: Sequence[int | None],
    what: str,
) -> tuple[int, int] | None:
    """Returns the height and width to resize to.

    Args:
        image_size: As the user says it: both, or one number for both.
        own_size: Height and width that all images have, `None` where they
            differ.
        what: Which images these are, for the complaint.

    Returns:
        Height and width; `None` if images stay as they are.

    Raises:
        InputError: If it is no size, or missing though images differ in size.
    """
    if image_size is None:
        if None in own_size:
            raise InputError(
                f"`image_size` must say the size to give the {what}, which "
                "differ in size.",
                received="image_size=None",
                remedy="Pass for example `image_size=96`.",
            )
        return None
    is_pair = isinstance(image_size, Sequence) and not isinstance(
        image_size, str
    )
    if is_pair and len(image_size) != 2:
        raise InputError(
            "`image_size` must be a height and a width, or one number.",
            received=f"image_size={image_size!r}",
            remedy="Pass for example `image_size=96`.",
        )
    height, width = image_size if is_pair else (image_size, image_size)
    check_count("image_size", height, 1)
    check_count("image_size", width, 1)
    return int(height), int(width)

"""Small random changes to training images, anew in every epoch."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from lasem_tf.checks import InputError, check_count


class Augmentation:
    """Mirrors and shifts training images at random.

    What happens to an image is a function of the seed, the epoch and the
    image's place in the training set, whatever mini-batch it is in: a run
    that is continued sees the same images. Not in the paper.

    Args:
        flip: Mirror every second image, left to right.
        max_shift: Move images by up to so many pixels up or down and left or
            right, as if cropped from the image with a mirrored margin.

    Raises:
        InputError: If `max_shift` is no whole number or below 0.
    """

    def __init__(self, flip: bool = True, max_shift: int = 0):
        check_count("max_shift", max_shift, 0)
        self.flip = bool(flip)
        self.max_shift = max_shift

    def check_fits(self, image_shape: Sequence[int]) -> None:
        """Raises an `InputError` if images are too small to be shifted so.

        Args:
            image_shape: Height, width and channels.
        """
        if self.max_shift > min(image_shape[:2]):
            raise InputError(
                "`max_shift` must not exceed the height and width of images.",
                received=f"max_shift={self.max_shift} for images of "
                f"{tuple(image_shape)}",
                remedy="Pass for example an eighth of the height.",
            )

    def __call__(
        self,
        images: tf.Tensor,
        examples: tf.Tensor,
        num_examples: int,
        seed: tf.Tensor,
    ) -> tf.Tensor:
        """Returns the images, changed.

        Args:
            images: Any dtype [batch, height, width, channels]; height and
                width are at least `max_shift`.
            examples: Integers [batch]: their places in the training set.
            num_examples: Size of the training set.
            seed: int32 [2]: of this task and epoch.
        """
        draws = tf.random.stateless_uniform([num_examples, 3], seed)
        draws = tf.gather(draws, examples)  # [batch, 3]
        if self.flip:
            mirrored = (draws[:, 0] < 0.5)[:, None, None, None]
            images = tf.where(mirrored, images[:, :, ::-1], images)
        if self.max_shift:
            places = 2 * self.max_shift + 1
            offsets = tf.cast(draws[:, 1:] * places, tf.int32)
            images = self._shifted(images, offsets)
        return images

    def _shifted(self, images: tf.Tensor, offsets: tf.Tensor) -> tf.Tensor:
        """Cuts images out of themselves with a margin of `max_shift`."""
        height, width = images.shape[1:3]
        margin = [self.max_shift] * 2
        padded = tf.pad(images, [[0, 0], margin, margin, [0, 0]], "SYMMETRIC")
        rows = offsets[:, :1] + tf.range(height)
        columns = offsets[:, 1:] + tf.range(width)
        cut = tf.gather(padded, rows, axis=1, batch_dims=1)
        return tf.gather(cut, columns, axis=2, batch_dims=1)

    def __repr__(self) -> str:
        return f"Augmentation(flip={self.flip}, max_shift={self.max_shift})"

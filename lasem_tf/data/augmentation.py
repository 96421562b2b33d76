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
        flip: Mirror images left to right, with probability 1/2.
        max_shift: Move images by up to so many pixels up or down and left or
            right, as if cropped from the image with a mirrored margin.

    Raises:
        InputError: If `max_shift` is no whole number or below 0.
    """

    def __init__(self, flip: bool = True, max_shift: int = 0):
        check_count("max_shift", max_shift, 0)
        self.flip = bool(flip)
        self.max_shift = max_shift

    @property
    def num_versions(self) -> int:
        """How many versions of an image are in memory at one time."""
        return max(2 * self.max_shift + 1, 2)

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
            mirrored = tf.cast(draws[:, 0] < 0.5, tf.int32)
            images = _choose(mirrored, [images, tf.reverse(images, [2])])
        for axis, draw in ((1, draws[:, 1]), (2, draws[:, 2])):
            if self.max_shift:
                images = self._shifted(images, draw, axis)
        return images

    def _shifted(
        self, images: tf.Tensor, draw: tf.Tensor, axis: int
    ) -> tf.Tensor:
        """Cuts images out of themselves with a mirrored margin."""
        size = images.shape[axis]
        first = tf.split(images, [self.max_shift, -1], axis)[0]
        last = tf.split(images, [-1, self.max_shift], axis)[1]
        wide = tf.concat(
            [tf.reverse(first, [axis]), images, tf.reverse(last, [axis])], axis
        )
        num_places = 2 * self.max_shift + 1
        cuts = [
            tf.split(wide, [place, size, -1], axis)[1]
            for place in range(num_places)
        ]
        return _choose(tf.cast(draw * num_places, tf.int32), cuts)

    def __repr__(self) -> str:
        values = ", ".join(f"{k}={v!r}" for k, v in vars(self).items())
        return f"{type(self).__name__}({values})"


def check_augmentation(augmentation: object) -> None:
    """Raises an `InputError` if it is neither `None` nor an `Augmentation`.

    Args:
        augmentation: What the user passed.
    """
    if augmentation is not None and not isinstance(augmentation, Augmentation):
        raise InputError(
            "`augmentation` must be an Augmentation.",
            received=repr(augmentation),
            remedy="Pass for example `Augmentation(flip=True)`.",
        )


def _choose(which: tf.Tensor, versions: Sequence[tf.Tensor]) -> tf.Tensor:
    """Takes each image [batch, ...] from the version that `which` says.

    Whole images are copied; operations that look simpler (`tf.where`, a
    gather of pixels, `tf.pad` with a mirrored margin) go pixel by pixel, at
    ten times the cost.
    """
    return tf.gather(tf.stack(versions, axis=1), which, batch_dims=1)

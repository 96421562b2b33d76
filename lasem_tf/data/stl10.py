"""STL-10 as a stream of tasks that differ in classes, noise and colours."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import scipy.special

from lasem_tf.checks import InputError, check_count
from lasem_tf.data.labelled_images import ImagePool
from lasem_tf.data.preprocessing import centred_scaling
from lasem_tf.data.splits import content_digests
from lasem_tf.data.tfds_images import (
    decode_images,
    prepared_builder,
    read_encoded,
)
from lasem_tf.seeding import derive_seed, numpy_generator
from lasem_tf.tasks import TaskStream

_NUM_CLASSES = 10
_NOISE_MEANS = (-0.10, -0.05, 0.0, 0.05, 0.10)  # of the range of a pixel
_NOISE_DEVIATIONS = (0.0, 0.05, 0.10)
# Quantiles of a normal distribution: to pick one is five times faster than to
# draw, and what is left of the difference after rounding to pixels is nothing.
_NORMAL = scipy.special.ndtri((np.arange(2**16) + 0.5) / 2**16)


def stl10(
    seed: int = 0,
    data_dir: str | None = None,
    num_tasks: int = 20,
    classes_per_task: int = 3,
    train_fraction: float = 0.25,
    validation_fraction: float = 0.15,
    transformed: bool = True,
) -> TaskStream:
    """Returns STL-10 as lifelong learning tasks.

    Each task tells some of the ten classes apart, no two tasks the same ones;
    so tasks share classes, and training images too. Each has all test images
    of its classes. All images of a task are transformed alike: Gaussian noise
    of a mean and a deviation of the task's own is added, and the colour
    channels are put in an order of its own. The noise of an image is drawn
    once and stays.

    A quarter of every class's 500 images, 106 to train and 19 to validate,
    makes 318 and 57 images per task of three classes. The 15 tasks
    of five classes of Appendix E take `train_fraction=0.1` and
    `validation_fraction=0.5`.

    Noisy pixels are rounded and clipped to what a raw image holds, 0 to 255;
    then all pixels are brought to [-0.5, 0.5]. Of which classes, noise and
    order a task is, `Task.details` tells.

    Source: Lee, Behpour & Eaton (2021), Section 4 and Appendix E. That they
    clip is not said there.

    Args:
        seed: Draws classes, images, noise and channel orders.
        data_dir: Where TensorFlow Datasets keeps its data. `None`: where it
            does by default, which `TFDS_DATA_DIR` sets.
        num_tasks: At most as many as there are sets of classes (120 of three
            classes).
        classes_per_task: Classes of each task, 2 to 10.
        train_fraction: Share of each class's labelled training images to
            draw, for training and validation together.
        validation_fraction: Share of the drawn images that validate.
        transformed: `False` leaves out noise and channel orders.

    Raises:
        InputError: If a value is out of range, or the data set is not there
            and cannot be downloaded.
    """
    class_lists = _draw_classes(seed, num_tasks, classes_per_task)
    builder = prepared_builder("stl10", data_dir)
    pool = ImagePool(
        class_names=builder.info.features["label"].names,
        train=read_encoded(builder, "train"),
        test=read_encoded(builder, "test"),
    )
    tasks = []
    for index, classes in enumerate(class_lists):
        transform = _Transform.draw(seed, index) if transformed else None
        tasks.append(
            pool.task(
                f"stl10_{index:02d}",
                classes,
                derive_seed(seed, "stl10", index),
                decode=transform or _decode,
                preprocessing=lambda _: centred_scaling(),
                details=transform.details if transform else None,
                fraction=train_fraction,
                validation_fraction=validation_fraction,
            )
        )
    return TaskStream(name="stl10", tasks=tuple(tasks), seed=seed)


def _draw_classes(
    seed: int, num_tasks: int, classes_per_task: int
) -> list[tuple[int, ...]]:
    """Returns the classes of each task, no two tasks the same ones."""
    check_count("classes_per_task", classes_per_task, 2)
    check_count("num_tasks", num_tasks, 1)
    num_sets = math.comb(_NUM_CLASSES, classes_per_task)
    if num_tasks > num_sets:
        raise InputError(
            f"`num_tasks` must not exceed {num_sets}, the number of sets of "
            f"`classes_per_task` out of {_NUM_CLASSES} classes.",
            received=f"num_tasks={num_tasks}, "
            f"classes_per_task={classes_per_task}",
            remedy="Pass for example `num_tasks=20, classes_per_task=3`.",
        )
    sets = [*itertools.combinations(range(_NUM_CLASSES), classes_per_task)]
    generator = numpy_generator(seed, "stl10", "classes")
    return [sets[i] for i in generator.permutation(num_sets)[:num_tasks]]


@dataclasses.dataclass(frozen=True)
class _Transform:
    """What is done to every image of a task.

    Attributes:
        seed: Of the task's noise.
        noise_mean: In parts of the range of a pixel.
        noise_deviation: The same.
        channel_order: The channel that becomes first, and so on.
    """

    seed: int
    noise_mean: float
    noise_deviation: float
    channel_order: tuple[int, ...]

    @classmethod
    def draw(cls, seed: int, task_index: int) -> _Transform:
        """Draws that of one task."""
        generator = numpy_generator(seed, "stl10", "transform", task_index)
        return cls(
            seed=derive_seed(seed, "stl10", "noise", task_index),
            noise_mean=float(generator.choice(_NOISE_MEANS)),
            noise_deviation=float(generator.choice(_NOISE_DEVIATIONS)),
            channel_order=tuple(map(int, generator.permutation(3))),
        )

    @property
    def details(self) -> dict[str, Any]:
        """What the run's record says."""
        return {
            "noise_mean": self.noise_mean,
            "noise_deviation": self.noise_deviation,
            "channel_order": list(self.channel_order),
        }

    def __call__(self, encoded: np.ndarray) -> np.ndarray:
        """Returns the decoded images, transformed, uint8."""
        images = _decode(encoded)
        noise = np.rint(
            255 * (self.noise_mean + self.noise_deviation * _NORMAL)
        ).astype(np.int16)
        for image, name in zip(images, content_digests(encoded), strict=True):
            # By its content: whichever split or place it is in, the noise
            # of an image is the same.
            generator = numpy_generator(self.seed, name.tobytes().hex())
            drawn = generator.integers(
                len(noise), size=image.shape, dtype=np.uint16
            )
            noisy = image[..., self.channel_order] + noise[drawn]
            image[...] = noisy.clip(0, 255)
        return images


def _decode(encoded: np.ndarray) -> np.ndarray:
    return decode_images(encoded, channels=3)

"""Made images whose tasks have in common what one configuration shares."""

from __future__ import annotations

import dataclasses

import numpy as np

from lasem_tf.checks import InputError, check_at_least, check_count
from lasem_tf.data.in_memory import Examples, in_memory_task
from lasem_tf.data.preprocessing import standardisation
from lasem_tf.seeding import numpy_generator
from lasem_tf.tasks import Task, TaskStream
from lasem_tf.transfer import TransferConfiguration

_GREY = 128
_PIXELS_PER_UNIT = 20
_STROKE_SIZE = 5  # pixels
_PLACES_PER_SIDE = 3
_IMAGE_SIZE = _STROKE_SIZE * _PLACES_PER_SIDE
_STROKES_PER_CHANNEL = 3
_MAX_CHANNELS = 6  # 64 classes
# Two new strokes per task, all at right angles, out of 5 * 5 - 1 dimensions.
_MAX_TASKS = 12


@dataclasses.dataclass(frozen=True)
class _Recipe:
    """What is the same for every image of the stream."""

    planted: TransferConfiguration
    seed: int
    noise: float
    glare: float
    glare_fraction: float


def synthetic(
    seed: int = 0,
    planted: str = "TS",
    num_tasks: int = 4,
    num_train: int = 2000,
    num_validation: int = 40,
    num_test: int = 400,
    noise: float = 0.2,
    glare: float = 8.0,
    glare_fraction: float = 0.1,
) -> TaskStream:
    """Returns a stream in which `planted` says what tasks have in common.

    An image has one channel per letter of `planted`, and in each channel
    there is one of two strokes, at three of nine places: which one is one bit
    of the class. What the two strokes of a channel look like is the same in
    all tasks where the letter is `S`, and new in each task where it is `T`.
    There, some images of later tasks also glare: they hold a far too bright
    stroke of each earlier task, which says nothing about the class.

    Made for `backbones.by_channel`, whose convolutions read one channel each.
    Filters that earlier tasks left behind know the strokes of an `S` channel
    at once; in a `T` channel they respond less to what matters, for strokes
    that lie on each other are at right angles, and are dazzled by the glare.

    What is guaranteed: the strokes of an `S` channel are the same numbers in
    all tasks, those of a `T` channel are orthogonal to those of every other
    task, and glare is independent of the class. The first task has nothing
    to share yet, so what is selected for it means nothing. Every task adds
    its strokes to the glare of later ones, so standardised strokes of a `T`
    channel grow fainter from task to task.

    Not from the paper.

    Args:
        seed: Draws everything.
        planted: Letters S and T, one per channel, at most 6.
        num_tasks: Number of tasks, at most 12.
        num_train: Training images of each task, at least one per class.
        num_validation: Validation images of each task.
        num_test: Test images of each task.
        noise: Deviation of Gaussian noise on every pixel; the 25 pixels of a
            stroke have norm 1.
        glare: Norm of a glaring stroke.
        glare_fraction: Share of images that glare, in [0, 1].

    Returns:
        Tasks of images uint8 [15, 15, len(planted)] in `2 ** len(planted)`
        classes.

    Raises:
        InputError: If `planted` is not written in S and T, or a number is out
            of range.
    """
    recipe = _Recipe(
        _checked_letters(planted),
        seed,
        noise,
        glare,
        glare_fraction,
    )
    counts = dict(train=num_train, validation=num_validation, test=num_test)
    _check_numbers(recipe, num_tasks, counts)
    tasks = tuple(
        _make_task(recipe, index, counts) for index in range(num_tasks)
    )
    return TaskStream(name="synthetic", tasks=tasks, seed=seed)


def _checked_letters(planted: str) -> TransferConfiguration:
    letters = isinstance(planted, str) and set(planted) <= {"S", "T"}
    if not letters or not 1 <= len(planted) <= _MAX_CHANNELS:
        raise InputError(
            f"`planted` must hold 1 to {_MAX_CHANNELS} letters S (shared) and "
            "T (task-specific), one per channel.",
            received=f"planted={planted!r}",
            remedy='Write for example `planted="TS"`.',
        )
    return TransferConfiguration.parse(planted, num_layers=len(planted))


def _check_numbers(
    recipe: _Recipe, num_tasks: int, counts: dict[str, int]
) -> None:
    check_count("num_tasks", num_tasks, 1)
    for split, count in counts.items():
        at_least = 2 ** len(recipe.planted) if split == "train" else 1
        check_count(f"num_{split}", count, at_least)
    for name in ("noise", "glare", "glare_fraction"):
        check_at_least(name, getattr(recipe, name), 0)
    limits = {
        "num_tasks": (num_tasks, _MAX_TASKS),
        "glare_fraction": (recipe.glare_fraction, 1),
    }
    for name, (value, limit) in limits.items():
        if value > limit:
            raise InputError(
                f"`{name}` must not exceed {limit}.",
                received=f"{name}={value}",
                remedy="Make it smaller.",
            )


def _make_task(recipe: _Recipe, index: int, counts: dict[str, int]) -> Task:
    splits = {
        split: _make_examples(
            recipe,
            index,
            count,
            numpy_generator(recipe.seed, "synthetic", "images", index, split),
        )
        for split, count in counts.items()
    }
    num_classes = 2 ** len(recipe.planted)
    return in_memory_task(
        f"synthetic_{index:02d}",
        tuple(f"class_{label}" for label in range(num_classes)),
        preprocess=standardisation(splits["train"][0]),
        **splits,
    )


def _strokes(recipe: _Recipe, channel: int, task_index: int) -> np.ndarray:
    """Returns the two strokes of a channel, float64 [2, 5, 5], of norm 1."""
    generator = numpy_generator(recipe.seed, "synthetic", "strokes", channel)
    num_pixels = _STROKE_SIZE**2
    columns = generator.normal(size=(num_pixels, num_pixels))
    columns[:, 0] = 1.0  # So that all others have mean 0.
    basis = np.linalg.qr(columns)[0].T[1:]
    first = 0 if recipe.planted.shared[channel] else 2 * task_index
    return basis[first : first + 2].reshape(2, _STROKE_SIZE, _STROKE_SIZE)


def _make_examples(
    recipe: _Recipe,
    task_index: int,
    num_images: int,
    generator: np.random.Generator,
) -> Examples:
    """Returns uint8 images and int64 labels."""
    num_classes = 2 ** len(recipe.planted)
    labels = generator.permutation(np.arange(num_images) % num_classes)
    channels = [
        _draw_channel(recipe, channel, task_index, labels, generator)
        for channel in range(len(recipe.planted))
    ]
    images = np.stack(channels, axis=-1)
    images += recipe.noise * generator.normal(size=images.shape)
    pixels = np.rint(_GREY + _PIXELS_PER_UNIT * images)
    return np.clip(pixels, 0, 255).astype(np.uint8), labels


def _draw_channel(
    recipe: _Recipe,
    channel: int,
    task_index: int,
    labels: np.ndarray,
    generator: np.random.Generator,
) -> np.ndarray:
    """Returns one channel without noise, float64 [num_images, 15, 15]."""
    bits = (labels >> channel) & 1
    own = _strokes(recipe, channel, task_index)
    image = _put_at_places(own[bits], generator)
    if recipe.planted.shared[channel] or task_index == 0:
        return image
    glares = generator.random(len(labels)) < recipe.glare_fraction
    brightness = recipe.glare * glares[:, None, None]
    for index in range(task_index):
        earlier = _strokes(recipe, channel, index)
        drawn = earlier[generator.integers(2, size=len(labels))]
        image = image + _put_at_places(brightness * drawn, generator)
    return image


def _put_at_places(
    strokes: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Puts each image's stroke at three of its nine places, drawn anew."""
    num_images = len(strokes)
    side, size = _PLACES_PER_SIDE, _STROKE_SIZE
    places = generator.permuted(
        np.tile(np.arange(side**2) < _STROKES_PER_CHANNEL, (num_images, 1)),
        axis=1,
    ).reshape(num_images, side, 1, side, 1)
    images = places * strokes[:, None, :, None, :]
    return images.reshape(num_images, side * size, side * size)

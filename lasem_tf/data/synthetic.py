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
_PIXELS_PER_UNIT = 40
# Parts of the level below in one part, symbols per class, places per image.
_PARTS_PER_PART = 3
_SYMBOLS_PER_CLASS = 2
_NUM_PLACES = 3


@dataclasses.dataclass(frozen=True)
class _Recipe:
    """What is the same for every image of the stream."""

    configuration: TransferConfiguration
    image_size: int
    num_channels: int
    num_parts: int
    num_classes: int
    decoy_strength: float
    noise: float


@dataclasses.dataclass(frozen=True)
class _World:
    """How the images of one task are made.

    Attributes:
        dictionaries: One per level, the one nearest the pixels first, float64
            [3, 3, parts below, parts]: what a part looks like in the level
            below.
        symbols: int64 [num_classes, symbols per class]. Parts of the highest
            level that make a class.
    """

    dictionaries: tuple[np.ndarray, ...]
    symbols: np.ndarray


def synthetic(
    seed: int = 0,
    planted: str = "TS",
    num_tasks: int = 4,
    num_classes: int = 4,
    num_train_first: int = 800,
    num_train: int = 40,
    num_validation: int = 40,
    num_test: int = 200,
    image_size: int = 12,
    num_channels: int = 3,
    num_parts: int = 8,
    decoy_strength: float = 1.0,
    noise: float = 0.5,
) -> TaskStream:
    """Returns a stream in which `planted` says what tasks have in common.

    Images are drawn from the top down, as a convolutional network reads them
    from the bottom up. A class is a few symbols at random places; a symbol is
    an arrangement of parts of the level below in a 3 x 3 window, those of
    parts below, and so on down to the pixels: one level per letter of
    `planted`. What the parts of a level look like is drawn once for the
    stream where the letter is `S` and anew for every task where it is `T`.
    Where a letter is `T`, images of every task but the first also hold a
    decoy: a drawing of a random class in the manner of an earlier task. So
    filters that earlier tasks left behind see what they know well, and it
    says nothing about the label.

    The first task has many images and later ones have few: what can be shared
    is learned at the first and is needed at the later ones.

    What is guaranteed: levels marked `S` are the same numbers in all tasks,
    levels marked `T` are independent draws, and decoys are independent of
    labels. What is not: that a given network and training length makes use of
    it. The first task has nothing to share yet, so what is selected for it
    means nothing.

    Args:
        seed: Draws everything.
        planted: Configuration as `TransferConfiguration.parse` reads it when
            written in letters, nearest the pixels first.
        num_tasks: Number of tasks.
        num_classes: Classes of each task, at least 2.
        num_train_first: Training images of the first task.
        num_train: Training images of every later task.
        num_validation: Validation images of every task.
        num_test: Test images of every task.
        image_size: Height and width in pixels.
        num_channels: Channels of an image.
        num_parts: Different parts per level.
        decoy_strength: Contrast of a decoy; 1 is that of the drawing itself.
        noise: Deviation of Gaussian noise on every pixel, in the same unit.

    Raises:
        InputError: If `planted` is not written in S and T, or a number is out
            of range.
    """
    recipe = _Recipe(
        TransferConfiguration.parse(planted, num_layers=len(planted)),
        image_size,
        num_channels,
        num_parts,
        num_classes,
        decoy_strength,
        noise,
    )
    counts = dict(validation=num_validation, test=num_test)
    _check_numbers(recipe, num_tasks, num_train_first, num_train, **counts)
    worlds = [_make_world(recipe, seed, index) for index in range(num_tasks)]
    tasks = []
    for index in range(num_tasks):
        counts["train"] = num_train if index else num_train_first
        tasks.append(_make_task(recipe, worlds[: index + 1], counts, seed))
    return TaskStream(name="synthetic", tasks=tuple(tasks), seed=seed)


def _check_numbers(
    recipe: _Recipe,
    num_tasks: int,
    num_train_first: int,
    num_train: int,
    validation: int,
    test: int,
) -> None:
    check_count("num_tasks", num_tasks, 1)
    check_count("num_classes", recipe.num_classes, 2)
    check_count("num_train_first", num_train_first, recipe.num_classes)
    check_count("num_train", num_train, recipe.num_classes)
    check_count("num_validation", validation, 1)
    check_count("num_test", test, 1)
    check_count("image_size", recipe.image_size, 3)
    check_count("num_channels", recipe.num_channels, 1)
    check_count("num_parts", recipe.num_parts, 2)
    check_at_least("decoy_strength", recipe.decoy_strength, 0)
    check_at_least("noise", recipe.noise, 0)
    num_pairs = recipe.num_parts * (recipe.num_parts - 1) // 2
    if recipe.num_classes > num_pairs:
        raise InputError(
            f"`num_classes` must not exceed {num_pairs}, the number of pairs "
            f"of {recipe.num_parts} parts.",
            received=f"num_classes={recipe.num_classes}",
            remedy="Raise `num_parts`.",
        )


def _make_task(
    recipe: _Recipe, worlds: list[_World], counts: dict[str, int], seed: int
) -> Task:
    """Returns the task of the last world; the others make its decoys."""
    index = len(worlds) - 1
    splits = {
        split: _make_examples(
            recipe,
            worlds,
            count,
            numpy_generator(seed, "synthetic", "images", index, split),
        )
        for split, count in counts.items()
    }
    return in_memory_task(
        f"synthetic_{index:02d}",
        tuple(f"class_{label}" for label in range(recipe.num_classes)),
        preprocess=standardisation(splits["train"][0]),
        **splits,
    )


def _make_world(recipe: _Recipe, seed: int, task_index: int) -> _World:
    dictionaries = []
    for level, shared in enumerate(recipe.configuration.shared):
        owner = "all" if shared else task_index
        generator = numpy_generator(seed, "synthetic", "parts", level, owner)
        make = _make_arrangements if level else _make_strokes
        dictionaries.append(make(recipe, generator))
    generator = numpy_generator(seed, "synthetic", "symbols", task_index)
    return _World(tuple(dictionaries), _make_symbols(recipe, generator))


def _make_strokes(
    recipe: _Recipe, generator: np.random.Generator
) -> np.ndarray:
    """Returns [3, 3, channels, parts]: patterns of mean 0 and norm 3."""
    shape = (3, 3, recipe.num_channels, recipe.num_parts)
    strokes = generator.normal(size=shape)
    strokes -= strokes.mean(axis=(0, 1, 2))
    return 3 * strokes / np.linalg.norm(strokes.reshape(-1, shape[-1]), axis=0)


def _make_arrangements(
    recipe: _Recipe, generator: np.random.Generator
) -> np.ndarray:
    """Returns [3, 3, parts, parts] of zeros and, in few places, ones."""
    arrangements = np.zeros((9, recipe.num_parts, recipe.num_parts))
    for part in range(recipe.num_parts):
        cells = generator.choice(9, _PARTS_PER_PART, replace=False)
        below = generator.integers(recipe.num_parts, size=_PARTS_PER_PART)
        arrangements[cells, below, part] = 1.0
    return arrangements.reshape(3, 3, recipe.num_parts, recipe.num_parts)


def _make_symbols(
    recipe: _Recipe, generator: np.random.Generator
) -> np.ndarray:
    """Returns [num_classes, symbols per class], no two classes alike."""
    first, second = np.triu_indices(recipe.num_parts, k=1)
    chosen = generator.permutation(len(first))[: recipe.num_classes]
    return np.stack([first[chosen], second[chosen]], axis=1)


def _make_examples(
    recipe: _Recipe,
    worlds: list[_World],
    num_images: int,
    generator: np.random.Generator,
) -> Examples:
    """Returns uint8 images and int64 labels; the last world is the task's."""
    labels = generator.permutation(np.arange(num_images) % recipe.num_classes)
    images = _draw(recipe, worlds[-1], labels, generator)
    if len(worlds) > 1 and recipe.configuration.num_shared < len(
        recipe.configuration
    ):
        owners = generator.integers(len(worlds) - 1, size=num_images)
        decoys = generator.integers(recipe.num_classes, size=num_images)
        for owner, world in enumerate(worlds[:-1]):
            by_owner = owners == owner
            images[by_owner] += recipe.decoy_strength * _draw(
                recipe, world, decoys[by_owner], generator
            )
    images += recipe.noise * generator.normal(size=images.shape)
    pixels = np.rint(_GREY + _PIXELS_PER_UNIT * images)
    return np.clip(pixels, 0, 255).astype(np.uint8), labels


def _draw(
    recipe: _Recipe,
    world: _World,
    labels: np.ndarray,
    generator: np.random.Generator,
) -> np.ndarray:
    """Returns drawings [num_images, height, width, channels], mean 0."""
    size = recipe.image_size
    maps = np.zeros((len(labels), size, size, recipe.num_parts))
    for symbol in world.symbols[labels].T:
        for _ in range(_NUM_PLACES):
            row, column = generator.integers(size, size=(2, len(labels)))
            maps[np.arange(len(labels)), row, column, symbol] = 1.0
    for dictionary in reversed(world.dictionaries):
        maps = _spread(maps, dictionary)
    return maps


def _spread(maps: np.ndarray, dictionary: np.ndarray) -> np.ndarray:
    """Replaces every part by what it looks like one level below.

    What leaves the image on one side comes back on the other, so that no
    place is special.
    """
    return sum(
        np.roll(
            maps @ dictionary[row, column].T,
            (row - 1, column - 1),
            axis=(1, 2),
        )
        for row in range(3)
        for column in range(3)
    )

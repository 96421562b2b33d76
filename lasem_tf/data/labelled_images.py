"""Labelled images in memory, and the tasks that are drawn from them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from lasem_tf.checks import InputError, check_count
from lasem_tf.data.in_memory import in_memory_task
from lasem_tf.data.splits import content_digests, first_copies, split_by_class
from lasem_tf.seeding import numpy_generator
from lasem_tf.tasks import Task


class LabelledImages(NamedTuple):
    """Images and the class of each.

    Attributes:
        images: uint8 [num_images, height, width, channels], or, still
            encoded, an object array [num_images] of `bytes`.
        labels: Integers [num_images].
    """

    images: np.ndarray
    labels: np.ndarray

    def take(self, chosen: np.ndarray) -> LabelledImages:
        """Returns some of them.

        Args:
            chosen: Their indices, or bool [num_images].
        """
        return LabelledImages(self.images[chosen], self.labels[chosen])


@dataclasses.dataclass(frozen=True)
class ImagePool:
    """The images of a data set, from which tasks are drawn.

    Attributes:
        class_names: Of all classes; a label is a place in this list.
        train: What trains and validates.
        test: What tests; `None` takes some of `train` for it.
    """

    class_names: Sequence[str]
    train: LabelledImages
    test: LabelledImages | None = None

    @functools.cached_property
    def usable(self) -> np.ndarray:
        """Which of `train` are no copy of a test or an earlier image, bool.

        Told from the bytes, so that equal images count as equal where one
        encoder wrote all.
        """
        digests = content_digests(self.train.images)
        usable = first_copies(digests)
        if self.test is not None:
            usable &= ~np.isin(digests, content_digests(self.test.images))
        return usable

    def draw(
        self, classes: Sequence[int], seed: int, **fractions: float
    ) -> dict[str, LabelledImages]:
        """Returns the images of some classes, by the name of their split.

        Args:
            classes: The classes' labels.
            seed: Draws the images.
            **fractions: As `split_by_class` takes them; without
                `test_fraction` all test images of the classes test.

        Raises:
            InputError: If a class has too few images to be split, or none to
                test.
        """
        members = np.flatnonzero(
            np.isin(self.train.labels, classes) & self.usable
        )
        usable = self.train.take(members)
        self._check_every_class_is_in(usable, "train", classes)
        drawn = split_by_class(
            usable.labels,
            seed=seed,
            class_names=self.class_names,
            **fractions,
        )
        if self.test is None:
            test = usable.take(drawn.test)
        else:
            test = self.test.take(np.isin(self.test.labels, classes))
        self._check_every_class_is_in(test, "test", classes)
        return {
            "train": usable.take(drawn.train),
            "validation": usable.take(drawn.validation),
            "test": test,
        }

    def _check_every_class_is_in(
        self, images: LabelledImages, split: str, classes: Sequence[int]
    ) -> None:
        for label in classes:
            if label not in images.labels:
                raise InputError(
                    "Every class needs images to train, to validate and to "
                    "test.",
                    received=f"none to {split} of class "
                    f"'{self.class_names[label]}'",
                    remedy="Take another data set, or other splits of it.",
                )

    def task(
        self,
        name: str,
        classes: Sequence[int],
        seed: int,
        *,
        decode: Callable[[np.ndarray], np.ndarray],
        preprocessing: Callable[[np.ndarray], keras.layers.Layer],
        details: Mapping[str, Any] | None = None,
        **fractions: float,
    ) -> Task:
        """Returns the task of telling some classes apart.

        Args:
            name: As in `Task`.
            classes: Labels of its classes; the place in this list is the
                label within the task.
            seed: Draws its images.
            decode: From images as they are here to uint8 [num_images,
                height, width, channels].
            preprocessing: From training images to what `Task.preprocess` is.
            details: As in `Task`; how many copies were left out is added.
            **fractions: As in `draw`.
        """
        place = np.full(len(self.class_names), -1)
        place[list(classes)] = np.arange(len(classes))
        splits = {
            split: (decode(drawn.images), place[drawn.labels])
            for split, drawn in self.draw(classes, seed, **fractions).items()
        }
        copies = ~self.usable & np.isin(self.train.labels, classes)
        num_copies = int(copies.sum())
        counted = {"copies_left_out": num_copies} if num_copies else {}
        return in_memory_task(
            name,
            tuple(self.class_names[label] for label in classes),
            preprocess=preprocessing(splits["train"][0]),
            details={**(details or {}), **counted},
            **splits,
        )


def deal_classes(
    num_classes: int,
    classes_per_task: int,
    num_tasks: int,
    generator: np.random.Generator,
) -> list[np.ndarray]:
    """Deals classes like cards: none comes back before the deck is used up.

    Args:
        num_classes: Cards in the deck.
        classes_per_task: Cards in a hand, at most `num_classes`; those that
            make no full hand are left out until the next deal.
        num_tasks: Hands.
        generator: Shuffles.

    Returns:
        int64 [classes_per_task] for each task.
    """
    hands_per_deal = num_classes // classes_per_task
    hands = []
    while len(hands) < num_tasks:
        deck = generator.permutation(num_classes)
        deck = deck[: hands_per_deal * classes_per_task]
        hands.extend(deck.reshape(hands_per_deal, classes_per_task))
    return hands[:num_tasks]


def deal_every_class(
    num_classes: int, classes_per_task: int | None, seed: int, name: str
) -> list[np.ndarray]:
    """Deals every class to exactly one task.

    Args:
        num_classes: At least 2.
        classes_per_task: At least 2. If `num_classes` is no multiple of it,
            the last task has what is left, or one class more than the others
            where a single class is left. `None`: one task has all classes,
            in their order.
        seed: Deals.
        name: Of the data set.

    Returns:
        Integers for each task.

    Raises:
        InputError: If `classes_per_task` is out of range.
    """
    if classes_per_task is None:
        return [np.arange(num_classes)]
    check_count("classes_per_task", classes_per_task, 2)
    if classes_per_task > num_classes:
        raise InputError(
            f"`classes_per_task` must not exceed {num_classes}, the number of "
            f"classes of '{name}'.",
            received=f"classes_per_task={classes_per_task}",
            remedy=f"Pass for example `classes_per_task={num_classes}`.",
        )
    deck = numpy_generator(seed, name, "classes").permutation(num_classes)
    starts = np.arange(classes_per_task, num_classes - 1, classes_per_task)
    return np.split(deck, starts)

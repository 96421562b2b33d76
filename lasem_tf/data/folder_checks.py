"""Which of the images of a folder can be learned from."""

from __future__ import annotations

import collections
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from lasem_tf.checks import InputError
from lasem_tf.data.folder_layout import FoundImage
from lasem_tf.data.problems import Problems
from lasem_tf.data.splits import content_digests, split_by_class


def usable_images(
    found: Sequence[FoundImage],
    images: np.ndarray,
    readable: np.ndarray,
    fractions: Mapping[str, float],
    problems: Problems,
) -> list[int]:
    """Returns the numbers of the images that tasks can be made of.

    Args:
        found: The images' files.
        images: uint8 [num_images, height, width, channels].
        readable: bool [num_images].
        fractions: `validation_fraction` and `test_fraction`, above 0: how
            classes will be split, where folders do not say it.
        problems: Meets images that are in two classes of a task, or in two
            splits, classes that have too few to be split, and tasks of fewer
            than two classes.

    Raises:
        InputError: If no task has two classes, or by `problems`.
    """
    digests = content_digests(images)
    numbers = [int(number) for number in np.flatnonzero(readable)]
    numbers = _of_one_class(numbers, found, digests, problems)
    numbers = _of_one_split(numbers, found, digests, problems)
    numbers = _of_large_classes(numbers, found, digests, fractions, problems)
    return _of_large_tasks(numbers, found, problems)


def _of_one_class(
    numbers: Sequence[int],
    found: Sequence[FoundImage],
    digests: np.ndarray,
    problems: Problems,
) -> list[int]:
    """Leaves out images that are in two classes: none says which is right."""
    copies = collections.defaultdict(list)
    for number in numbers:
        copies[found[number].task, digests[number].tobytes()].append(number)
    kept = []
    for same in copies.values():
        path_in = {
            found[number].class_name: found[number].path for number in same
        }
        if len(path_in) == 1:
            kept += same
            continue
        one, other, *_ = path_in.values()
        problems.meet(
            InputError(
                "An image must be in one class only.",
                received=f"'{one}' and '{other}'",
                remedy="Remove the copy whose class is wrong.",
            ),
            f"all {len(same)} copies",
            len(same),
        )
    return sorted(kept)


def _of_one_split(
    numbers: Sequence[int],
    found: Sequence[FoundImage],
    digests: np.ndarray,
    problems: Problems,
) -> list[int]:
    """Leaves out what is in another split too: who tests has it first."""
    order = ("test", "validation", "train", "")
    holder: dict[bytes, FoundImage] = {}
    kept = []
    for number in sorted(numbers, key=lambda n: order.index(found[n].split)):
        image = found[number]
        other = holder.setdefault(digests[number].tobytes(), image)
        if other.split == image.split:
            kept.append(number)
            continue
        problems.meet(
            InputError(
                "An image must be in one split only.",
                received=f"'{image.path}' and '{other.path}'",
                remedy=f"Remove it from {image.split}.",
            ),
            f"'{image.path}'",
        )
    return sorted(kept)


def _of_large_classes(
    numbers: Sequence[int],
    found: Sequence[FoundImage],
    digests: np.ndarray,
    fractions: Mapping[str, float],
    problems: Problems,
) -> list[int]:
    """Leaves out classes without the images that their splits need."""
    given = sorted({found[number].split for number in numbers}) or [""]
    drawn = [
        fractions[f"{split}_fraction"]
        for split in ("validation", "test")
        if split not in given
    ]
    members = {(image.task, image.class_name): [] for image in found}
    for number in numbers:
        members[found[number].task, found[number].class_name].append(number)
    kept = []
    for (_, name), of_class in members.items():
        different = {split: set() for split in given}
        for number in of_class:
            different[found[number].split].add(digests[number].tobytes())
        num_train = len(different.get("train") or different.get("", ()))
        if all(different.values()) and _can_be_split(num_train, drawn):
            kept += of_class
            continue
        error = _too_few_images(name, different)
        problems.meet(error, f"class '{name}'", len(of_class))
    return sorted(kept)


def _too_few_images(
    name: str, different: Mapping[str, Collection[bytes]]
) -> InputError:
    counts = (
        f"{len(images)} different images" + (f" in {split}" if split else "")
        for split, images in different.items()
    )
    return InputError(
        "Every class needs images to train, to validate and to test.",
        received=f"class '{name}' with {', '.join(counts)}",
        remedy="Add images, or remove the class.",
    )


def _can_be_split(num_images: int, fractions: Sequence[float]) -> bool:
    if not fractions or not num_images:
        return num_images > 0
    try:
        split_by_class(
            np.zeros(num_images, int),
            seed=0,
            validation_fraction=fractions[0],
            test_fraction=sum(fractions[1:]),
        )
    except InputError:
        return False
    return True


def _of_large_tasks(
    numbers: Sequence[int], found: Sequence[FoundImage], problems: Problems
) -> list[int]:
    """Leaves out tasks without two classes: nothing is to be told apart."""
    classes = {image.task: set() for image in found}
    for number in numbers:
        classes[found[number].task].add(found[number].class_name)
    small = {task for task, names in classes.items() if len(names) < 2}
    for task in sorted(small):
        names = sorted(classes[task])
        error = InputError(
            "A task needs at least two classes with usable images.",
            received=(", ".join(map(repr, names)) or "none")
            + (f" in task '{task}'" if task else ""),
            remedy="Add a folder of images for each class.",
        )
        if len(small) == len(classes):
            raise error  # Nothing would be left.
        of_task = [n for n in numbers if found[n].task == task]
        problems.meet(error, f"task '{task}'", len(of_task))
    return [number for number in numbers if found[number].task not in small]

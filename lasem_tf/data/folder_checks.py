"""Which of the images of a folder can be learned from."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence

import numpy as np

from lasem_tf.checks import InputError
from lasem_tf.data.folder_layout import FoundImage
from lasem_tf.data.problems import Problems
from lasem_tf.data.splits import content_digests, first_copies, split_by_class


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
        fractions: `validation_fraction` and `test_fraction`: how classes will
            be split, where folders do not say it.
        problems: Meets images that are in two classes of a task, or in two
            splits, and classes that have too few to be split.

    Raises:
        InputError: By `problems`.
    """
    digests = content_digests(images)
    numbers = [int(number) for number in np.flatnonzero(readable)]
    numbers = _of_one_class(numbers, found, digests, problems)
    numbers = _of_one_split(numbers, found, digests, problems)
    return _of_large_classes(numbers, found, digests, fractions, problems)


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
        if len({found[number].class_name for number in same}) == 1:
            kept += same
            continue
        paths = [str(found[number].path) for number in same]
        problems.meet(
            InputError(
                "An image must be in one class only.",
                received=" and ".join(f"'{path}'" for path in paths[:2]),
                remedy="Remove the copy whose class is wrong.",
            ),
            f"all {len(paths)} copies",
            len(paths),
        )
    return sorted(kept)


def _of_one_split(
    numbers: Sequence[int],
    found: Sequence[FoundImage],
    digests: np.ndarray,
    problems: Problems,
) -> list[int]:
    """Leaves out copies of what later splits hold: test comes before all."""
    order = ("test", "validation", "train")
    holder: dict[bytes, int] = {}
    kept = [number for number in numbers if not found[number].split]
    for split in order:
        of_split = [n for n in numbers if found[n].split == split]
        seen_before = dict(holder)
        for number in of_split:
            digest = digests[number].tobytes()
            if digest not in seen_before:
                holder.setdefault(digest, number)
                kept.append(number)
                continue
            other = found[seen_before[digest]].path
            problems.meet(
                InputError(
                    "An image must be in one split only.",
                    received=f"'{found[number].path}' and '{other}'",
                    remedy=f"Remove it from {split}.",
                ),
                f"'{found[number].path}'",
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
    has_split = {found[number].split for number in numbers}
    missing = {
        f"{split}_fraction": fractions[f"{split}_fraction"]
        for split in ("validation", "test")
        if split not in has_split
    }
    by_class = collections.defaultdict(list)
    for number in numbers:
        by_class[found[number].task, found[number].class_name].append(number)
    kept = []
    for (_, name), members in by_class.items():
        drawn_from = [n for n in members if found[n].split in ("", "train")]
        num_different = int(first_copies(digests[drawn_from]).sum())
        in_every_split = {found[n].split for n in members} == has_split
        if in_every_split and _can_be_split(num_different, missing):
            kept += members
            continue
        problems.meet(
            InputError(
                "Every class needs images to train, to validate and to test.",
                received=f"class '{name}' with {num_different} different "
                f"images to train on in '{found[members[0]].path.parent}'",
                remedy="Add images, or remove the class.",
            ),
            f"class '{name}'",
            len(members),
        )
    return sorted(kept)


def _can_be_split(num_images: int, fractions: Mapping[str, float]) -> bool:
    if not fractions or not num_images:
        return num_images > 0
    first, *second = fractions.values()
    try:
        split_by_class(
            np.zeros(num_images, int),
            seed=0,
            validation_fraction=first,
            test_fraction=second[0] if second else 0.0,
        )
    except InputError:
        return False
    return True

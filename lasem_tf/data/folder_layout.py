"""Which image files a folder holds, and of which class, task and split."""

from __future__ import annotations

import collections
import os
import pathlib
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lasem_tf.checks import InputError
from lasem_tf.data.problems import Problems

# What desktops leave in folders without being asked.
_NOT_MEANT = ("desktop.ini", "thumbs.db")
_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
_LAYOUTS = "class/image, task/class/image or split/class/image"


class FoundImage(NamedTuple):
    """A file that its place in the folder says to be an image.

    Attributes:
        path: Where it lies.
        task: Name of its task's folder, `""` where folders name no tasks.
        split: `"train"`, `"validation"` or `"test"`, `""` where folders name
            no splits.
        class_name: Name of its class's folder.
    """

    path: pathlib.Path
    task: str
    split: str
    class_name: str


def find_images(
    root: str | os.PathLike[str], problems: Problems
) -> list[FoundImage]:
    """Returns the images of a folder, in the order of their paths.

    The folder is `class/image`, `task/class/image` or `split/class/image`;
    the last, where all its folders are called train, val, valid, validation
    or test. Hidden files and what desktops leave behind do not count.

    Args:
        root: The folder. Links to files and folders are followed.
        problems: Meets files at another depth, folders that are empty,
            cannot be read or contain themselves, and classes of one task
            whose names differ only in case, blanks or Unicode form.

    Raises:
        InputError: If there is no such folder or no image in it, if images
            lie in splits of which none trains, or by `problems`.
    """
    root = pathlib.Path(root)
    if not root.is_dir():
        raise InputError(
            "`path` must be a folder of images.",
            received=f"'{root}', "
            + ("a file" if root.exists() else "which is not there"),
            remedy=f"Pass a folder with {_LAYOUTS}.",
        )
    files = [*_files_below(root, (), (os.path.realpath(root),), problems)]
    depth = _usual_depth(root, files)
    tops = {names[0].casefold() for names in files if len(names) == depth}
    in_splits = depth == 3 and tops <= set(_SPLITS)
    if in_splits and "train" not in {_SPLITS[top] for top in tops}:
        raise InputError(
            "A folder of splits must have one to train on, called 'train'.",
            received=f"{sorted(tops)} in '{root}'",
            remedy="Rename the split, or the folders if they are tasks.",
        )
    found = []
    for names in files:
        path = root.joinpath(*names)
        if len(names) != depth:
            problems.meet(_at_other_depth(path, depth), f"'{path}'")
            continue
        top = names[0] if depth == 3 else ""
        split = _SPLITS[top.casefold()] if in_splits else ""
        task = "" if in_splits else top
        found.append(FoundImage(path, task, split, names[-2]))
    return _without_ambiguous_names(found, problems)


def _files_below(
    root: pathlib.Path,
    names: tuple[str, ...],
    ancestors: Sequence[str],
    problems: Problems,
) -> Iterator[tuple[str, ...]]:
    """Yields the files in and below a folder as names from the root on."""
    folder = root.joinpath(*names)
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        problems.meet(_unreadable(folder, error.strerror), f"'{folder}'")
        return
    entries = [entry for entry in entries if _is_meant(entry.name)]
    if not entries and names:
        problems.meet(
            InputError(
                "Every class must have images.",
                received=f"an empty folder '{folder}'",
                remedy="Add images, or remove the folder.",
            ),
            f"'{folder}'",
        )
    for entry in entries:
        inside = (*names, entry.name)
        if not entry.is_dir():
            yield inside
            continue
        real = os.path.realpath(entry.path)
        if real in ancestors:
            problems.meet(
                _unreadable(root.joinpath(*inside), f"it links to '{real}'"),
                f"'{entry.path}'",
            )
            continue
        yield from _files_below(root, inside, (*ancestors, real), problems)


def _is_meant(name: str) -> bool:
    return not name.startswith(".") and name.casefold() not in _NOT_MEANT


def _unreadable(folder: pathlib.Path, reason: str) -> InputError:
    return InputError(
        "Every folder must be readable and not contain itself.",
        received=f"'{folder}': {reason}",
        remedy="Mend its permissions or the link, or move it elsewhere.",
    )


def _usual_depth(root: pathlib.Path, files: Sequence[Sequence[str]]) -> int:
    """Returns how many names the paths of most images have."""
    depths = collections.Counter(
        len(names) for names in files if len(names) in (2, 3)
    )
    if not depths:
        raise InputError(
            f"`path` must hold images as {_LAYOUTS}.",
            received=f"'{root}' with "
            + (f"'{os.path.join(*files[0])}'" if files else "no file"),
            remedy="Put the images of each class into a folder of its name.",
        )
    return depths.most_common(1)[0][0]


def _at_other_depth(path: pathlib.Path, depth: int) -> InputError:
    layout = "class/image" if depth == 2 else "task/class/image"
    return InputError(
        f"All images must lie at one depth, here {layout} as most do.",
        received=f"'{path}'",
        remedy="Move or remove the file.",
    )


def _without_ambiguous_names(
    found: Sequence[FoundImage], problems: Problems
) -> list[FoundImage]:
    """Leaves out classes whose name another one of their task has too."""
    first: dict[tuple[str, str], str] = {}
    refused: collections.Counter[tuple[str, str]] = collections.Counter()
    kept = []
    for image in found:
        plain = unicodedata.normalize("NFKC", image.class_name)
        plain = " ".join(plain.casefold().split())
        known = first.setdefault((image.task, plain), image.class_name)
        if known == image.class_name:
            kept.append(image)
        else:
            refused[known, str(image.path.parent)] += 1
    for (known, folder), count in refused.items():
        problems.meet(
            InputError(
                "Two classes of a task must not have one name.",
                received=f"'{folder}' beside '{known}'",
                remedy="Rename one, or put the images of both together.",
            ),
            f"'{folder}'",
            count,
        )
    return kept

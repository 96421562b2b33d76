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
_NOT_MEANT = ("desktop.ini", "thumbs.db", "__macosx")
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
        class_name: Name of its class's folder; like `task` as `name_as_text`
            writes it.
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
        problems: Meets files at another depth, what is no file, folders that
            are empty, cannot be read or contain themselves, and classes of
            one task whose names differ only in case, blanks or Unicode form.

    Raises:
        InputError: If there is no such folder or no image in it, if folders
            are called like splits but cannot be such, or by `problems`.
    """
    _check_is_folder(root)
    root = pathlib.Path(root)
    files = [*_files_below(root, (), (os.path.realpath(root),), problems)]
    depth = _usual_depth(root, files)
    placed = [names for names in files if len(names) == depth]
    _check_classes_are_no_splits(root, placed)
    in_splits = _folders_are_splits(root, placed)
    for names in files:
        if len(names) != depth:
            path = root.joinpath(*names)
            problems.meet(_at_other_depth(path, depth), f"'{path}'")
    named = depth == 3 and not in_splits  # By tasks.
    found = [
        FoundImage(
            path=root.joinpath(*names),
            task=name_as_text(names[0]) if named else "",
            split=_SPLITS[names[0].casefold()] if in_splits else "",
            class_name=name_as_text(names[-2]),
        )
        for names in placed
    ]
    return _without_ambiguous_names(found, problems)


def name_as_text(name: str) -> str:
    """Returns a file's name as one line of text, the same on any machine.

    Some systems store "ü" as "u" and its dots. Bytes that are no UTF-8 become
    a question mark in a diamond, so that reports can be written.

    Args:
        name: As `os` functions return it.
    """
    text = os.fsencode(name).decode("utf-8", "replace")
    text = " ".join(unicodedata.normalize("NFC", text).split())
    return text or ascii(name)


def _check_is_folder(root: object) -> None:
    is_path = isinstance(root, (str, os.PathLike))
    if not is_path or not os.path.isdir(root):
        reason = ", which is not there" if is_path else ", which is no path"
        if is_path and os.path.isfile(root):
            reason = ", a file"
        raise InputError(
            "`path` must be a folder of images.",
            received=f"{str(root)!r}{reason}",
            remedy=f"Pass a folder with {_LAYOUTS}.",
        )


def _files_below(
    root: pathlib.Path,
    names: tuple[str, ...],
    ancestors: Sequence[str],
    problems: Problems,
) -> Iterator[tuple[str, ...]]:
    """Yields the files in and below a folder as names from the root on."""
    folder = root.joinpath(*names)
    try:
        entries = [e for e in os.scandir(folder) if _is_meant(e.name)]
    except OSError as error:
        problems.meet(_unusable(folder, error.strerror), f"'{folder}'")
        return
    if not entries and names:
        problems.meet(
            InputError(
                "Every class must have images.",
                received=f"an empty folder '{folder}'",
                remedy="Add images, or remove the folder.",
            ),
            f"'{folder}'",
        )
    for entry in sorted(entries, key=lambda e: (name_as_text(e.name), e.name)):
        inside = (*names, entry.name)
        if reason := _why_unusable(entry, ancestors):
            problems.meet(_unusable(entry.path, reason), f"'{entry.path}'")
        elif entry.is_dir():
            within = (*ancestors, os.path.realpath(entry.path))
            yield from _files_below(root, inside, within, problems)
        else:
            yield inside


def _is_meant(name: str) -> bool:
    return not name.startswith(".") and name.casefold() not in _NOT_MEANT


def _why_unusable(entry: os.DirEntry, ancestors: Sequence[str]) -> str:
    """Returns why something cannot be looked into, `""` if it can."""
    try:
        if entry.is_dir():
            real = os.path.realpath(entry.path)
            return f"it links to '{real}'" if real in ancestors else ""
        # To open a pipe might take for ever.
        return "" if entry.is_file() else "a broken link, or no file"
    except OSError as error:  # A link to itself, or into what is forbidden.
        return error.strerror


def _unusable(path: str | os.PathLike[str], reason: str) -> InputError:
    return InputError(
        "Files and folders must be readable, and no folder contain itself.",
        received=f"'{path}': {reason}",
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


def _check_classes_are_no_splits(
    root: pathlib.Path, placed: Sequence[Sequence[str]]
) -> None:
    classes = {names[-2] for names in placed}
    if all(name.casefold() in _SPLITS for name in classes):
        raise InputError(
            "Images must lie in a folder of their class.",
            received=f"classes {sorted(classes)} in '{root}'",
            remedy="Lay the images out as split/class/image.",
        )


def _folders_are_splits(
    root: pathlib.Path, placed: Sequence[Sequence[str]]
) -> bool:
    """Says whether the images lie in splits, or complains if they half do."""
    tops = {names[0] for names in placed if len(names) == 3}
    splits = {top for top in tops if top.casefold() in _SPLITS}
    kinds = {_SPLITS[top.casefold()] for top in splits}
    # One alone may be a task: tickets for the bus, the plane and the train.
    if splits != tops and len(kinds) > 1:
        raise InputError(
            "Folders of splits must not lie beside others.",
            received=f"{sorted(splits)} beside {sorted(tops - splits)} in "
            f"'{root}'",
            remedy="Move the others elsewhere; if all are tasks, rename them.",
        )
    in_splits = bool(tops) and splits == tops
    if in_splits and "train" not in kinds:
        raise InputError(
            "A folder of splits must have one to train on, called 'train'.",
            received=f"{sorted(tops)} in '{root}'",
            remedy="Rename the split, or the folders if they are tasks.",
        )
    return in_splits


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
    first: dict[tuple[str, str], FoundImage] = {}
    refused: collections.Counter[tuple[pathlib.Path, pathlib.Path]]
    refused = collections.Counter()
    kept = []
    for image in found:
        plain = unicodedata.normalize("NFKC", image.class_name).casefold()
        known = first.setdefault((image.task, plain), image)
        if _folder_of_class(known) == _folder_of_class(image):
            kept.append(image)
        else:
            refused[image.path.parent, known.path.parent] += 1
    for (folder, known), count in refused.items():
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


def _folder_of_class(image: FoundImage) -> str | pathlib.Path:
    """Returns what tells a class from another one of the same name.

    Splits have a folder each for a class.
    """
    folder = image.path.parent
    return folder.name if image.split else folder

"""The arrays of one task, in memory or in a NumPy file."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import zipfile
from collections.abc import Sequence

import numpy as np

from lasem_tf.checks import InputError

_CANNOT_READ = (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile)
_OTHER_SPLITS = ("validation", "test")
_NEEDED = ("images", "labels")
_ALLOWED = (
    *_NEEDED,
    *(f"{split}_{name}" for split in _OTHER_SPLITS for name in _NEEDED),
    "class_names",
)


@dataclasses.dataclass(frozen=True)
class ArrayTask:
    """The arrays of one task, for `from_arrays`.

    Attributes:
        train: Images and labels. Images are uint8, or floating point from 0
            to 1, [num_images, height, width, channels], or [num_images,
            height, width] if grey; labels are integers [num_images] from 0.
        validation: As `train`; `None` splits it off `train`.
        test: As `train`; `None` splits it off `train`.
        class_names: One name per class. `None` names the classes "0", "1",
            ... up to the largest training label.
        name: Name of the task. `None` makes one from its place in the stream.
    """

    train: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray] | None = None
    test: tuple[np.ndarray, np.ndarray] | None = None
    class_names: Sequence[str] | None = None
    name: str | None = None


def read_array_task(path: str | os.PathLike[str]) -> ArrayTask:
    """Reads the arrays of a task from a file that `numpy.savez` wrote.

    Args:
        path: An ".npz" file with arrays `images` and `labels`, and, if they
            are not to be drawn from these, `validation_images` and
            `validation_labels`, `test_images` and `test_labels`; and
            `class_names`, if they are not "0", "1", ... The task is called
            like the file.

    Raises:
        InputError: If there is no such file, or it does not hold these.
    """
    path = pathlib.Path(path)
    try:
        with path.open("rb") as opened, np.load(opened) as file:
            arrays = dict(file)
    except _CANNOT_READ as error:
        raise InputError(
            "The arrays of a task must lie in a file that `numpy.savez` wrote.",
            received=f"'{path}' ({getattr(error, 'strerror', None) or error})",
            remedy="Write one with `numpy.savez(path, images=..., "
            "labels=...)`.",
        ) from error
    _check_names(path, arrays)
    others = {
        split: (arrays[f"{split}_images"], arrays[f"{split}_labels"])
        for split in _OTHER_SPLITS
        if f"{split}_images" in arrays
    }
    class_names = arrays.get("class_names")
    return ArrayTask(
        train=(arrays["images"], arrays["labels"]),
        class_names=None if class_names is None else class_names.tolist(),
        name=path.stem,
        **others,
    )


def _check_names(path: pathlib.Path, names: Sequence[str]) -> None:
    pairs = [(f"{s}_images", f"{s}_labels") for s in _OTHER_SPLITS]
    halves = any((a in names) != (b in names) for a, b in pairs)
    if halves or not set(_NEEDED) <= set(names) <= set(_ALLOWED):
        raise InputError(
            "A file of arrays must hold `images` and `labels`, and may hold "
            f"{', '.join(_ALLOWED[2:])}.",
            received=f"{sorted(names)} in '{path}'",
            remedy="Rename the arrays, and give every split both.",
        )

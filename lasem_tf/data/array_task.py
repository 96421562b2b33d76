"""The arrays of one task, in memory or in a NumPy file."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from lasem_tf.checks import InputError

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
        arrays = _read_arrays(path)
    except Exception as error:  # On broken files zipfile raises nearly all.
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
    return ArrayTask(
        train=(arrays["images"], arrays["labels"]),
        class_names=_class_names(path, arrays),
        name=path.stem,
        **others,
    )


def _read_arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    with path.open("rb") as opened:
        file = np.load(opened)
        if isinstance(file, np.ndarray):
            raise ValueError("one array without a name")
        return dict(file)


def _class_names(
    path: pathlib.Path, arrays: Mapping[str, np.ndarray]
) -> list[str] | None:
    names = arrays.get("class_names")
    if names is None:
        return None
    if names.ndim != 1 or names.dtype.kind not in "Uiu":
        raise InputError(
            "`class_names` must be one array of texts or of whole numbers.",
            received=f"shape {names.shape} of {names.dtype} in '{path}'",
            remedy="Pass for example `class_names=['cat', 'dog']`.",
        )
    return [str(name) for name in names]


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

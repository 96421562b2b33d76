"""State to continue from, written at epoch ends.

    checkpoints/epoch_000123/     after 123 epochs, over all tasks
        state.*                   the method's variables
        progress.json             where the run stands; written last

A folder counts only if its `progress.json` is there and the state has the
lengths and checksums recorded in it. So a process may be killed at any moment:
what it was writing is passed over and the checkpoint before it counts.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
import shutil
import zlib
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from absl import logging

from lasem_tf.files import write_json

_PROGRESS = "progress.json"
_NUM_KEPT = 2  # The newest, and one to fall back on should it be damaged.


@dataclasses.dataclass(frozen=True)
class Progress:
    """Where to continue, and what to continue with.

    Attributes:
        task: Index of the task to continue with; the number of tasks once all
            are learned.
        epoch: Epochs of this task that are done; at 0 it has not begun.
        selections: `LifelongMethod.selection` of each finished task.
        csv_bytes: Length of each CSV file at this moment, by name.
        train_seconds: See `RunState`.
        total_seconds: See `RunState`.
    """

    task: int = 0
    epoch: int = 0
    selections: tuple[Any, ...] = ()
    csv_bytes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    train_seconds: float = 0.0
    total_seconds: float = 0.0


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint on disk.

    Attributes:
        folder: Where it lies.
        progress: Where the run stood.
    """

    folder: pathlib.Path
    progress: Progress

    def restore(self, state: Mapping[str, Any]) -> None:
        """Puts the saved values into `state`.

        Args:
            state: `LifelongMethod.state` of a method that has been rebuilt
                up to `progress`.

        Raises:
            AssertionError: If `state` and the checkpoint do not hold exactly
                the same variables.
        """
        reader = tf.train.Checkpoint(**state)
        reader.read(str(self.folder / "state")).assert_consumed()


def newest_checkpoint(folder: pathlib.Path) -> Checkpoint | None:
    """Returns the last whole checkpoint, `None` if there is none.

    Args:
        folder: The `checkpoints` folder of a run; need not exist.
    """
    for candidate in sorted(_folders(folder), reverse=True):
        progress = _read_if_whole(candidate)
        if progress is not None:
            return Checkpoint(candidate, progress)
        logging.warning("%s is not whole and is passed over.", candidate)
    return None


def save_checkpoint(
    folder: pathlib.Path,
    num_epochs_done: int,
    state: Mapping[str, Any],
    progress: Progress,
) -> None:
    """Writes a checkpoint and removes those no longer needed.

    Args:
        folder: The `checkpoints` folder of a run; made if need be.
        num_epochs_done: Epochs done over all tasks; names the checkpoint.
        state: `LifelongMethod.state`.
        progress: Where the run stands.
    """
    target = folder / f"epoch_{num_epochs_done:06d}"
    _remove(target)
    target.mkdir(parents=True)
    tf.train.Checkpoint(**state).write(str(target / "state"))
    content = dataclasses.asdict(progress) | {"files": _checksums(target)}
    write_json(target / _PROGRESS, content)
    # Later ones were passed over when the run continued from an earlier one.
    earlier = sorted(other for other in _folders(folder) if other < target)
    later = [other for other in _folders(folder) if other > target]
    for other in later + earlier[: -(_NUM_KEPT - 1)]:
        _remove(other)


def _folders(folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns every checkpoint folder, whole or not."""
    if not folder.is_dir():
        return []
    return [p for p in folder.iterdir() if re.fullmatch(r"epoch_\d+", p.name)]


def _read_if_whole(folder: pathlib.Path) -> Progress | None:
    try:
        content = json.loads((folder / _PROGRESS).read_text("utf-8"))
        if content.pop("files") != _checksums(folder):
            return None
        content["selections"] = tuple(content["selections"])
        return Progress(**content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _checksums(folder: pathlib.Path) -> dict[str, list[int]]:
    """Returns length and checksum of each file that holds state."""
    contents = {p.name: p.read_bytes() for p in sorted(folder.glob("state.*"))}
    return {
        name: [len(content), zlib.crc32(content)]
        for name, content in contents.items()
    }


def _remove(folder: pathlib.Path) -> None:
    """Removes a checkpoint so that what is left midway does not count."""
    (folder / _PROGRESS).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)

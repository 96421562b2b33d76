"""Remembers every accuracy of a run: what, when, on which images."""

from __future__ import annotations

import pathlib
from typing import NamedTuple

import numpy as np
import pandas as pd

from lasem_tf.checks import InputError, check_one_of

SPLITS = ("train", "validation", "test")


class HistoryRow(NamedTuple):
    """One evaluation of one task on one split; a row of `metrics.csv`.

    Attributes:
        global_epoch: The epoch after which it was made, counted from 0 over
            the whole run.
        current_task: The task that was being learned, counted from 0.
        epoch: The same epoch, counted from 0 within the current task's phase.
        task: The task that was evaluated.
        split: One of `SPLITS`.
        accuracy: Fraction of correct answers, in [0, 1].
        loss: Mean cross-entropy in nats.
    """

    global_epoch: int
    current_task: int
    epoch: int
    task: int
    split: str
    accuracy: float
    loss: float


class AccuracyHistory:
    """Accuracy and loss of each task along a run.

    Holds one row for each `(global_epoch, task, split)`; adding a second one
    replaces the first. The rows of a phase's last epoch are those of the task
    as it was ended, after roll-back and selection.

    Example:

    >>> history = AccuracyHistory()
    >>> row = history.add(0, 0, 0, 0, "test", accuracy=0.5, loss=0.7)
    >>> row = history.add(1, 0, 1, 0, "test", accuracy=0.75, loss=0.4)
    >>> history.accuracy("test")
    array([[0.5 ],
           [0.75]])
    """

    def __init__(self):
        self._rows: dict[int, dict[tuple[int, str], HistoryRow]] = {}

    def add(
        self,
        global_epoch: int,
        current_task: int,
        epoch: int,
        task: int,
        split: str,
        accuracy: float,
        loss: float,
    ) -> HistoryRow:
        """Adds one evaluation and returns its row.

        Args:
            global_epoch: As in `HistoryRow`, like the others.
            current_task: The task that is being learned.
            epoch: Epoch within its phase.
            task: The task that was evaluated.
            split: One of `SPLITS`.
            accuracy: Fraction in [0, 1].
            loss: Mean cross-entropy in nats.

        Raises:
            InputError: If `split` is not one of `SPLITS`.
        """
        check_one_of("split", split, SPLITS)
        row = HistoryRow(
            int(global_epoch),
            int(current_task),
            int(epoch),
            int(task),
            str(split),
            float(accuracy),
            float(loss),
        )
        self._rows.setdefault(row.global_epoch, {})[row.task, row.split] = row
        return row

    def at(self, global_epoch: int) -> tuple[HistoryRow, ...]:
        """Returns the rows of one global epoch, oldest first.

        Args:
            global_epoch: Counted from 0; an epoch without rows has none.
        """
        return tuple(self._rows.get(global_epoch, {}).values())

    @property
    def rows(self) -> tuple[HistoryRow, ...]:
        """Every row, by global epoch, within one the oldest first."""
        return tuple(
            row for epoch in sorted(self._rows) for row in self.at(epoch)
        )

    @property
    def num_global_epochs(self) -> int:
        """Epochs trained so far, as far as the rows tell."""
        return max(self._rows, default=-1) + 1

    @property
    def num_tasks(self) -> int:
        """Tasks evaluated so far."""
        return max((row.task for row in self.rows), default=-1) + 1

    @property
    def phase_ends(self) -> tuple[int, ...]:
        """The last global epoch of each task's phase, first task first.

        The last one is the last epoch trained so far if its phase goes on.
        """
        ends = {row.current_task: row.global_epoch for row in self.rows}
        return tuple(ends[task] for task in sorted(ends))

    def accuracy(self, split: str) -> np.ndarray:
        """Returns the accuracies on one split.

        Args:
            split: One of `SPLITS`.

        Returns:
            float64 [num_global_epochs, num_tasks]. Fractions in [0, 1]; NaN
            where the task was not evaluated after that epoch.

        Raises:
            InputError: If `split` is not one of `SPLITS`.
        """
        check_one_of("split", split, SPLITS)
        result = np.full((self.num_global_epochs, self.num_tasks), np.nan)
        for row in self.rows:
            if row.split == split:
                result[row.global_epoch, row.task] = row.accuracy
        return result

    def to_frame(self) -> pd.DataFrame:
        """Returns the rows as a data frame with the columns of a row."""
        return pd.DataFrame(list(self.rows), columns=list(HistoryRow._fields))

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> AccuracyHistory:
        """Makes a history of a data frame, later rows replacing earlier ones.

        Args:
            frame: Has at least the columns of `HistoryRow`.

        Raises:
            InputError: If a column is missing.
        """
        columns = list(HistoryRow._fields)
        missing = [name for name in columns if name not in frame.columns]
        if missing:
            raise InputError(
                f"An accuracy history needs the columns {', '.join(columns)}.",
                received=f"none called {', '.join(missing)}",
                remedy="Pass the `metrics.csv` of a run.",
            )
        history = cls()
        for values in frame[columns].itertuples(index=False, name=None):
            history.add(*values)
        return history

    @classmethod
    def from_csv(cls, path: str | pathlib.Path) -> AccuracyHistory:
        """Reads the `metrics.csv` of a run, finished or not.

        Args:
            path: The file; a header alone is an empty history.

        Raises:
            InputError: If there is no such file, or a column is missing.
        """
        if not pathlib.Path(path).is_file():
            raise InputError(
                "An accuracy history is read from the `metrics.csv` of a run.",
                received=f"{str(path)!r}, which is not a file",
                remedy="Pass the file inside the run's workdir.",
            )
        # Some versions of pandas read floats fast and miss the last bit; then
        # a forgetting ratio of exactly 1 would not survive the disk.
        exactly = {"accuracy": float, "loss": float}
        frame = pd.read_csv(path, converters=exactly)
        return cls.from_frame(frame)

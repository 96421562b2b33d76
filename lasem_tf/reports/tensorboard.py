"""Shows a run in TensorBoard while it goes on.

The step of every curve is the global epoch. The curves are `accuracy` and
`loss` per task and split (`accuracy/task_03/test`), `prior` and `posterior`
per configuration (`prior/TSTS`; they start afresh with each task), and
`training/loss` and `training/learning_rate`.
"""

from __future__ import annotations

import os
import pathlib

import tensorflow as tf
from tensorboard.backend.event_processing import event_file_loader

from lasem_tf.reports.run_view import RunView

# A record of an event file is the data between 12 bytes that hold its length
# and 4 bytes that hold its check sum.
_RECORD_FRAME_BYTES = 12 + 4


class TensorBoard:
    """Action that writes event files under `<workdir>/tensorboard`.

    A killed run may have written epochs that its last checkpoint does not
    know and that the continued run will train again. So, when a run begins,
    the event files are cut after the last epoch of the run's history, just as
    its CSV files are: every curve has one point per step, whichever reader
    draws it.
    """

    def __init__(self):
        self._writer: tf.summary.SummaryWriter | None = None

    def on_run_begin(self, run: RunView) -> None:
        """Forgets what lies beyond the history of a run that continues."""
        self._writer = None
        folder = _folder(run)
        for path in sorted(folder.glob("*tfevents*")):
            _cut(path, before_step=run.history.num_global_epochs)

    def on_epoch_end(self, run: RunView) -> None:
        """Writes what the method told, and every accuracy of the epoch."""
        with self._open(run).as_default(step=run.global_epoch):
            _write_result(run)
            _write_evaluations(run)

    def on_run_end(self, run: RunView) -> None:
        """Closes the event file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self, run: RunView) -> tf.summary.SummaryWriter:
        """Opens an event file at the first need, so that none stays empty.

        Used as `with self._open(run).as_default(...)`, which flushes the file
        when it is left: a killed run loses no epoch that it has finished.
        """
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(str(_folder(run)))
        return self._writer


def _folder(run: RunView) -> pathlib.Path:
    return run.workdir / "tensorboard"


def _write_result(run: RunView) -> None:
    """Writes what the method told of the epoch."""
    result = run.result
    tf.summary.scalar("training/loss", result.loss)
    tf.summary.scalar("training/learning_rate", result.learning_rate)
    for curve in ("prior", "posterior"):
        for configuration, probability in zip(
            result.configurations, getattr(result, curve), strict=True
        ):
            tf.summary.scalar(f"{curve}/{configuration}", probability)


def _write_evaluations(run: RunView) -> None:
    """Writes the rows of the epoch just finished."""
    for row in run.history.at(run.global_epoch):
        place = f"task_{row.task:02d}/{row.split}"
        tf.summary.scalar(f"accuracy/{place}", row.accuracy)
        tf.summary.scalar(f"loss/{place}", row.loss)


def _cut(path: pathlib.Path, before_step: int) -> None:
    """Cuts an event file before the first value of `before_step` or later.

    Steps never decrease within one of our files. A record that a kill left
    unfinished is cut off too.
    """
    num_bytes = 0
    for record in event_file_loader.RawEventFileLoader(str(path)).Load():
        event = tf.compat.v1.Event.FromString(record)
        if event.HasField("summary") and event.step >= before_step:
            break
        num_bytes += len(record) + _RECORD_FRAME_BYTES
    os.truncate(path, num_bytes)

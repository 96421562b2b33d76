"""Shows on the terminal how far a run is."""

from __future__ import annotations

import datetime
import sys
from typing import TextIO

from tqdm import tqdm

from lasem_tf.reports.run_view import RunView

_BAR_FORMAT = "{desc} |{bar}| {percentage:3.0f} % · {remaining} left"
_UNKNOWN = "–"


class ProgressBar:
    """Action that keeps a progress bar on a terminal, and tells of each task.

    The bar shows task, epoch, the current task's test accuracy, the most
    probable configuration and the time left. Where the output is no terminal
    nothing is written: a log that someone keeps holds results only.

    Args:
        file: Where to write. `None`: standard error, so that standard output
            holds results only.
    """

    def __init__(self, file: TextIO | None = None):
        self._file = file
        self._bar: tqdm | None = None

    def on_run_begin(self, run: RunView) -> None:
        """Starts the bar where the run starts, or continues."""
        self._bar = tqdm(
            total=len(run.stream) * run.num_epochs,
            initial=run.history.num_global_epochs,
            bar_format=_BAR_FORMAT,
            file=self._output(),
            disable=not self._output().isatty(),
            dynamic_ncols=True,
        )

    def on_epoch_end(self, run: RunView) -> None:
        """Moves the bar."""
        configuration = run.result.most_probable if run.result else ""
        description = (
            f"task {run.task_index + 1}/{len(run.stream)} · "
            f"epoch {run.epoch + 1}/{run.num_epochs} · "
            f"test {_test_accuracy(run)}"
        )
        if configuration:
            description += f" · {configuration}"
        self._bar.set_description_str(description, refresh=False)
        self._bar.update()

    def on_task_end(self, run: RunView) -> None:
        """Prints a line about the finished task above the bar."""
        if self._bar.disable:
            return
        selected = run.method.selected_configuration(run.task_index)
        chosen = f"{selected}, " if selected else ""
        seconds = datetime.timedelta(seconds=round(run.total_seconds))
        tqdm.write(
            f"Task {run.task_index + 1} of {len(run.stream)} learned: "
            f"{chosen}test accuracy {_test_accuracy(run)}, "
            f"{seconds} so far.",
            file=self._output(),
        )

    def on_run_end(self, run: RunView) -> None:
        """Ends the bar."""
        self._bar.close()

    def _output(self) -> TextIO:
        """Looks up standard error late: someone may have redirected it."""
        return self._file or sys.stderr


def _test_accuracy(run: RunView) -> str:
    """Returns the current task's newest test accuracy, in percent."""
    for row in run.history.at(run.global_epoch):
        if row.task == run.task_index and row.split == "test":
            return f"{100 * row.accuracy:.1f} %"
    return _UNKNOWN

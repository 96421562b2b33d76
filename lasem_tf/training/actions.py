"""What happens beside learning: logging, summaries, exports.

An action is any object that has some of the four hooks of `Action`; the
runner calls the hooks it finds. A hook of an epoch or a task may be called
twice for the same one: a run that was killed redoes the epochs after its last
checkpoint. So an action replaces what it wrote, and never adds to it.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

from lasem_tf.evaluation.history import AccuracyHistory
from lasem_tf.methods.lifelong_method import EpochResult, LifelongMethod
from lasem_tf.tasks import TaskStream


@dataclasses.dataclass
class RunState:
    """Where a run stands, as its actions see it.

    The three indices start at 0 and name the epoch that was just finished;
    before the first one, `epoch` and `global_epoch` are -1.

    Attributes:
        method: What learns.
        stream: What is learned.
        history: Every accuracy measured so far.
        num_epochs: Epochs for each task.
        seed: The one seed of the run.
        workdir: The folder of the run.
        task_index: The task of the epoch just finished.
        epoch: The epoch just finished, counted within its task.
        global_epoch: The same epoch, counted over all tasks.
        result: What the method said of it; `None` before the first epoch
            since the process started.
        train_seconds: Time inside `LifelongMethod.train_epoch`, summed over
            the whole run, earlier processes included.
        total_seconds: Time since the run began, summed in the same way.
    """

    method: LifelongMethod
    stream: TaskStream
    history: AccuracyHistory
    num_epochs: int
    seed: int
    workdir: pathlib.Path
    task_index: int = 0
    epoch: int = -1
    global_epoch: int = -1
    result: EpochResult | None = None
    train_seconds: float = 0.0
    total_seconds: float = 0.0


class Action:
    """An action that does nothing; override the hooks you need."""

    def on_run_begin(self, run: RunState) -> None:
        """Called once in each process, before anything is learned in it."""

    def on_epoch_end(self, run: RunState) -> None:
        """Called when an epoch has been trained and evaluated.

        After the last epoch of a task the method has already ended it.
        """

    def on_task_end(self, run: RunState) -> None:
        """Called when a task was ended and every learned task evaluated."""

    def on_run_end(self, run: RunState) -> None:
        """Called when every task was learned, before the run is complete."""


def notify(actions: Sequence[object], hook: str, run: RunState) -> None:
    """Calls one hook of every action that has it, in order.

    Args:
        actions: Objects with some of the hooks of `Action`.
        hook: Name of the hook.
        run: Where the run stands.
    """
    for action in actions:
        if hasattr(action, hook):
            getattr(action, hook)(run)

"""What reports see of a run."""

from __future__ import annotations

import pathlib
from typing import Protocol

from lasem_tf.evaluation.history import AccuracyHistory
from lasem_tf.methods.lifelong_method import EpochResult, LifelongMethod
from lasem_tf.tasks import TaskStream


class RunView(Protocol):
    """The part of the runner's state that reports read.

    Reports only ask for these names, so they know nothing of training.

    Attributes:
        method: The method, with the parameters of now.
        stream: The whole stream.
        history: Every accuracy so far; on a run that continues, those from
            before the interruption too.
        num_epochs: Epochs per task.
        seed: The one seed of the run.
        task_index: The current task, counted from 0.
        epoch: The epoch just finished, counted from 0 within the phase.
        global_epoch: The same epoch, counted from 0 over the run.
        result: What the method told of that epoch; `None` before the first.
        train_seconds: Time inside training calls, over all sittings.
        total_seconds: Time altogether, over all sittings.
        workdir: The run's folder.
    """

    method: LifelongMethod
    stream: TaskStream
    history: AccuracyHistory
    num_epochs: int
    seed: int
    task_index: int
    epoch: int
    global_epoch: int
    result: EpochResult | None
    train_seconds: float
    total_seconds: float
    workdir: pathlib.Path

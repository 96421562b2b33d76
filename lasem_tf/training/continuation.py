"""A run put on disk, and the same run taken up again."""

from __future__ import annotations

from lasem_tf.evaluation.history import AccuracyHistory
from lasem_tf.training.actions import RunState
from lasem_tf.training.checkpoints import (
    Progress,
    newest_checkpoint,
    save_checkpoint,
)
from lasem_tf.training.workdir import Workdir

_FOLDER = "checkpoints"


def save_run(run: RunState, workdir: Workdir) -> None:
    """Writes a checkpoint of a run that has just finished an epoch.

    Args:
        run: The run; its last epoch is evaluated and in the CSV files.
        workdir: Its workdir.
    """
    num_epochs_done = run.global_epoch + 1
    task, epoch = divmod(num_epochs_done, run.num_epochs)
    progress = Progress(
        task=task,
        epoch=epoch,
        selections=tuple(run.method.selection(index) for index in range(task)),
        csv_bytes=workdir.csv_bytes(),
        train_seconds=run.train_seconds,
        total_seconds=run.total_seconds,
    )
    save_checkpoint(
        workdir.path / _FOLDER, num_epochs_done, run.method.state, progress
    )


def restore_run(run: RunState, workdir: Workdir) -> None:
    """Takes a run up where its last whole checkpoint left it.

    What the CSV files hold beyond the checkpoint is cut off: the run is about
    to measure it again. Without a checkpoint the run begins at its beginning,
    unless it is complete: then its history is read and its method, for want
    of anything to restore it from, knows nothing.

    Args:
        run: A run with a method that has seen no task; indices, history and
            seconds are filled in.
        workdir: Its workdir, opened.
    """
    checkpoint = newest_checkpoint(workdir.path / _FOLDER)
    progress = checkpoint.progress if checkpoint else Progress()
    if workdir.state != "complete":
        workdir.rewind(progress.csv_bytes)
    for task, selection in zip(run.stream, progress.selections, strict=False):
        run.method.rebuild_task(task, selection)
    if progress.epoch:
        run.method.begin_task(run.stream[progress.task])
    if checkpoint:
        checkpoint.restore(run.method.state)
    run.history = AccuracyHistory.from_csv(workdir.path / "metrics.csv")
    run.train_seconds = progress.train_seconds
    run.total_seconds = progress.total_seconds
    num_epochs_done = progress.task * run.num_epochs + progress.epoch
    if num_epochs_done:
        run.global_epoch = num_epochs_done - 1
        run.task_index, run.epoch = divmod(run.global_epoch, run.num_epochs)

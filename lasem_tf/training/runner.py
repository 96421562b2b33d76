"""Learns a stream of tasks, one epoch after another, and can be continued.

    run -> _learn_stream -> _learn_task -> _learn_epoch

The runner owns time and files, the method owns parameters and update rule.
"""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Sequence

import tensorflow as tf

from lasem_tf.checks import InputError, check_count
from lasem_tf.data.augmentation import Augmentation
from lasem_tf.data.pipeline import check_batch_size, training_batches
from lasem_tf.data.task_checks import check_stream
from lasem_tf.evaluation.history import AccuracyHistory
from lasem_tf.methods.lifelong_method import EpochResult, LifelongMethod
from lasem_tf.seeding import derive_seed
from lasem_tf.tasks import TaskStream
from lasem_tf.training.actions import RunState, notify
from lasem_tf.training.continuation import restore_run, save_run
from lasem_tf.training.interruption import Interrupted, StopRequest
from lasem_tf.training.stream_evaluation import StreamEvaluation
from lasem_tf.training.workdir import Workdir

# By id, since two methods may be equal and yet not one.
_CLAIMED: weakref.WeakValueDictionary[int, LifelongMethod] = (
    weakref.WeakValueDictionary()
)


class Runner:
    """Trains and evaluates a method on a stream, and keeps what it finds.

    Every epoch the current task is evaluated; at the end of a task, after
    `LifelongMethod.end_task`, every task learned so far. The numbers are the
    same whether a run is left alone or stopped and continued, however often.

    Args:
        method: A method that has seen no task yet.
        stream: The tasks to learn.
        workdir: Where to write; to be opened before `run` is called.
        num_epochs: Epochs for each task, at least 1.
        batch_size: Images per mini-batch.
        seed: Root of the data order.
        evaluate_all_every: Evaluate every learned task also after each so
            many epochs of a task; 0 leaves it at the end of the task.
        checkpoint_every: Epochs between two checkpoints; there is always one
            at the end of a task and on interruption.
        evaluation_batch_size: Images per evaluation batch; changes memory and
            speed only.
        augmentation: Changes training images at random; `None`: nothing does.
        actions: Objects with some of the hooks of `actions.Action`.

    Raises:
        InputError: If a number is too small or not whole, if `num_epochs` is
            not what the method was made for, `batch_size` exceeds the number
            of training images of any task, or images are too small for
            `augmentation`.
    """

    def __init__(
        self,
        method: LifelongMethod,
        stream: TaskStream,
        workdir: Workdir,
        *,
        num_epochs: int,
        batch_size: int = 10,
        seed: int = 0,
        evaluate_all_every: int = 0,
        checkpoint_every: int = 10,
        evaluation_batch_size: int = 250,
        augmentation: Augmentation | None = None,
        actions: Sequence[object] = (),
    ):
        check_count("num_epochs", num_epochs, 1)
        _check_made_for(method, num_epochs)
        check_count("evaluate_all_every", evaluate_all_every, 0)
        check_count("checkpoint_every", checkpoint_every, 1)
        check_count("evaluation_batch_size", evaluation_batch_size, 1)
        # What a later task would stumble over is refused now, not in hours.
        check_stream(stream)
        for task in stream:
            check_batch_size(batch_size, task)
            if augmentation is not None:
                augmentation.check_fits(task.image_shape)
        self._workdir = workdir
        self._batch_size = batch_size
        self._evaluate_all_every = evaluate_all_every
        self._checkpoint_every = checkpoint_every
        self._evaluation = StreamEvaluation(stream, evaluation_batch_size)
        self._augmentation = augmentation
        self._actions = tuple(actions)
        self._run = RunState(
            method=method,
            stream=stream,
            history=AccuracyHistory(),
            num_epochs=num_epochs,
            seed=seed,
            workdir=workdir.path,
        )

    def run(self) -> AccuracyHistory:
        """Learns what is left to learn, and returns every accuracy.

        A complete run is not repeated; its method is restored.

        Raises:
            Interrupted: If a signal asked to stop; the epoch was finished and
                saved.
            FloatingPointError: If the training loss is not finite.
            InputError: If another process runs in the same workdir, or the
                method has been in a run before.
        """
        with self._workdir.locked(), StopRequest() as self._stop:
            _claim(self._run.method)
            restore_run(self._run, self._workdir)
            # As if the run had begun so much earlier and never paused.
            self._began = time.monotonic() - self._run.total_seconds
            if self._workdir.state != "complete":
                try:
                    self._learn_stream()
                except BaseException:
                    self._workdir.state = "interrupted"
                    raise
        return self._run.history

    def _learn_stream(self) -> None:
        run = self._run
        self._workdir.state = "running"
        self._workdir.note_continuation(run.global_epoch + 1)
        self._notify("on_run_begin")
        first_task, first_epoch = divmod(run.global_epoch + 1, run.num_epochs)
        for task_index in range(first_task, len(run.stream)):
            self._learn_task(task_index, first_epoch)
            first_epoch = 0
        self._notify("on_run_end")
        self._workdir.state = "complete"

    def _learn_task(self, task_index: int, first_epoch: int) -> None:
        if first_epoch == 0:
            self._run.method.begin_task(self._run.stream[task_index])
        for epoch in range(first_epoch, self._run.num_epochs):
            self._learn_epoch(task_index, epoch)

    def _learn_epoch(self, task_index: int, epoch: int) -> None:
        num_done = epoch + 1
        is_last = num_done == self._run.num_epochs
        self._train(task_index, epoch)
        if is_last:
            self._run.method.end_task()
        all_tasks = is_last or _is_due(num_done, self._evaluate_all_every)
        self._evaluate(0 if all_tasks else task_index)
        self._notify("on_epoch_end")
        if is_last:
            self._notify("on_task_end")
        # Asked once: a signal that comes after it waits for the next epoch.
        stop = self._stop.requested
        if stop or is_last or _is_due(num_done, self._checkpoint_every):
            self._run.total_seconds = time.monotonic() - self._began
            save_run(self._run, self._workdir)
        if stop:
            raise Interrupted(
                f"Stopped after epoch {num_done} of {self._run.num_epochs} of "
                f"task {task_index + 1} of {len(self._run.stream)}; the same "
                "command continues."
            )

    def _train(self, task_index: int, epoch: int) -> None:
        run = self._run
        global_epoch = task_index * run.num_epochs + epoch
        batches = self._training_batches(task_index, epoch)
        began = time.monotonic()
        result = run.method.train_epoch(batches, global_epoch)
        run.train_seconds += time.monotonic() - began
        run.task_index, run.epoch = task_index, epoch
        run.global_epoch, run.result = global_epoch, result
        if not math.isfinite(result.loss):
            raise FloatingPointError(
                f"The training loss of task {task_index + 1} "
                f"('{run.stream[task_index].name}') is {result.loss} in epoch "
                f"{epoch + 1}. Lower the learning rate, or look for extreme "
                "values in the images."
            )
        rows = _configuration_rows(task_index, epoch, result)
        self._workdir.append("configurations.csv", rows)

    def _evaluate(self, first_task: int) -> None:
        """Evaluates every task from `first_task` to the current one."""
        run = self._run
        moment = (run.global_epoch, run.task_index, run.epoch)
        rows = [
            run.history.add(*moment, task, split, found.accuracy, found.loss)
            for task in range(first_task, run.task_index + 1)
            for split, found in self._evaluation.evaluate(run.method, task)
        ]
        self._workdir.append("metrics.csv", rows)

    def _notify(self, hook: str) -> None:
        self._run.total_seconds = time.monotonic() - self._began
        notify(self._actions, hook, self._run)

    def _training_batches(self, task_index: int, epoch: int) -> tf.data.Dataset:
        return training_batches(
            self._run.stream[task_index],
            self._batch_size,
            derive_seed(self._run.seed, "data_order", task_index),
            epoch,
            self._augmentation,
        )


def _check_made_for(method: LifelongMethod, num_epochs: int) -> None:
    """Refuses a method that would plan a task for other epochs."""
    if method.num_epochs not in (None, num_epochs):
        raise InputError(
            "`num_epochs` must be what the method was made for, "
            f"{method.num_epochs}.",
            received=f"num_epochs={num_epochs}",
            remedy=f"Pass the same `num_epochs` to {type(method).__name__}.",
        )


def _claim(method: LifelongMethod) -> None:
    """Refuses a method that has been in a run, and still knows its tasks."""
    if _CLAIMED.get(id(method)) is method:
        raise InputError(
            "A run needs a method that has been in no run before.",
            received=f"a {type(method).__name__} that was given to a run",
            remedy=f"Make a new {type(method).__name__}(...); a run that is "
            "continued gives it back what was learned.",
        )
    _CLAIMED[id(method)] = method


def _is_due(num_done: int, every: int) -> bool:
    """Says whether a thing done `every` so often is due; 0 is never."""
    return every > 0 and num_done % every == 0


def _configuration_rows(
    task_index: int, epoch: int, result: EpochResult
) -> list[tuple[object, ...]]:
    names = map(str, result.configurations)
    beliefs = zip(names, result.prior, result.posterior, strict=True)
    # Nine digits give each float32 back as it was.
    return [
        (task_index, epoch, name, f"{prior:.9g}", f"{posterior:.9g}")
        for name, prior, posterior in beliefs
    ]

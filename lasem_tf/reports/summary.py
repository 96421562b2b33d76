"""Puts a finished run into numbers: `summary.json`, `accuracy_matrix.csv`."""

from __future__ import annotations

import json
import math
import pathlib

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from lasem_tf.checks import InputError
from lasem_tf.evaluation import metrics
from lasem_tf.files import write_atomically, write_json
from lasem_tf.methods.network_method import on_gpu
from lasem_tf.reports.run_view import RunView


class WriteSummary:
    """Action that leaves a run's measures in its workdir.

    `accuracy_matrix.csv` grows by a row at the end of each task's phase;
    `summary.json` is written once, at the end of the run.
    """

    def on_task_end(self, run: RunView) -> None:
        """Writes the accuracy matrix of the tasks learned so far."""
        _write_accuracy_matrix(run)

    def on_run_end(self, run: RunView) -> None:
        """Writes the whole accuracy matrix and the summary."""
        _write_accuracy_matrix(run)
        write_json(run.workdir / "summary.json", summarize(run))


def summarize(run: RunView) -> dict:
    """Returns the measures of a finished run, as `summary.json` holds them.

    Accuracies are test accuracies as fractions. A peak is the maximum of the
    test accuracy within the task's own phase, or, where the key says
    `by_validation`, the test accuracy at the best validation epoch (`None` if
    nothing was validated). With one task nothing can be forgotten or
    transferred: the mean ratio and the backward transfer are `None`. The
    ratio is listed for every task but the last, whose phase ends the run.
    `approximations` names the settings in force that change the method's
    arithmetic for speed; empty unless asked for.

    Args:
        run: A run that has learned every task of its stream.

    Raises:
        InputError: If a task was not learned, or not evaluated at the end.
    """
    test = run.history.accuracy("test")
    ends = run.history.phase_ends
    matrix = metrics.accuracy_matrix(test, ends)
    _check_every_task_was_learned(run, matrix)
    ratio = metrics.catastrophic_forgetting_ratio(matrix)
    return {
        "method": run.method.name,
        "learner": run.method.learner,
        "dataset": run.stream.name,
        "seed": run.seed,
        "num_tasks": len(run.stream),
        "num_epochs": run.num_epochs,
        "selected_configurations": [
            run.method.selected_configuration(task)
            for task in range(len(run.stream))
        ],
        **_with_mean(
            "peak_per_task_accuracy",
            metrics.peak_per_task_accuracy(test, ends),
        ),
        **_with_mean(
            "peak_per_task_accuracy_by_validation", _peak_by_validation(run)
        ),
        **_with_mean("end_of_phase_accuracy", np.diagonal(matrix)),
        **_with_mean("final_accuracy", metrics.final_accuracy(matrix)),
        **_with_mean("catastrophic_forgetting_ratio", ratio),
        "backward_transfer": _number(metrics.backward_transfer(matrix)),
        "train_seconds": float(run.train_seconds),
        "total_seconds": float(run.total_seconds),
        "num_parameters": int(run.method.num_parameters),
        "approximations": _approximations(run),
        "num_left_out": run.stream.num_left_out,
    }


def read_summary(path: str | pathlib.Path) -> dict:
    """Reads the summary of a finished run.

    Args:
        path: A `summary.json`, or the workdir that holds it.

    Raises:
        InputError: If there is none, or it is not the summary of a run.
    """
    path = pathlib.Path(path)
    file = path / "summary.json" if path.is_dir() else path
    try:
        summary = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        summary = None
    if not isinstance(summary, dict) or "peak_per_task_accuracy" not in summary:
        raise InputError(
            "A finished run has a `summary.json`.",
            received=f"{str(path)!r}, which has none that can be read",
            remedy="Pass the workdir of a run that has ended.",
        )
    return summary


def _write_accuracy_matrix(run: RunView) -> None:
    """Writes `R[i, j]`: a row per learned task, empty where not evaluated."""
    history = run.history
    matrix = metrics.accuracy_matrix(
        history.accuracy("test"), history.phase_ends
    )
    frame = pd.DataFrame(
        matrix,
        index=pd.RangeIndex(matrix.shape[0], name="after_task"),
        columns=[f"task_{task:02d}" for task in range(matrix.shape[1])],
    )
    write_atomically(run.workdir / "accuracy_matrix.csv", frame.to_csv())


def _check_every_task_was_learned(run: RunView, matrix: np.ndarray) -> None:
    """Refuses the matrix of a run that stopped between two tasks."""
    if matrix.shape != (len(run.stream), len(run.stream)):
        raise InputError(
            "A summary needs a run that has learned its whole stream.",
            received=f"{len(matrix)} of {len(run.stream)} tasks",
            remedy="Start the same command again: it continues the run.",
        )


def _approximations(run: RunView) -> list[str]:
    """Returns what the run did for speed that changes numbers."""
    policy = keras.config.dtype_policy()
    lower = [] if policy.name == "float32" else [f"dtype_policy={policy.name}"]
    # A backbone's layers may have policies of their own.
    of_layers = {la.compute_dtype for la in run.method.task_model(0).layers}
    exact = {"float32", "float64", policy.compute_dtype}
    lower += [f"layers in {dtype}" for dtype in sorted(of_layers - exact)]
    if on_gpu() and tf.config.experimental.tensor_float_32_execution_enabled():
        lower.append("tensor_float_32")
    return [*run.method.approximations, *lower]


def _peak_by_validation(run: RunView) -> np.ndarray | None:
    """Returns test accuracies at the best validation epochs, if there are."""
    validation = run.history.accuracy("validation")
    if np.isnan(validation).all():
        return None
    return metrics.peak_per_task_accuracy(
        run.history.accuracy("test"), run.history.phase_ends, validation
    )


def _with_mean(key: str, values: np.ndarray | None) -> dict:
    """Returns the values and their mean under `key` and `mean_<key>`."""
    if values is None:
        return {key: None, f"mean_{key}": None}
    mean = float(np.mean(values)) if len(values) else None
    return {key: [float(value) for value in values], f"mean_{key}": mean}


def _number(value: float) -> float | None:
    """Returns `value`, or `None` where it is not defined."""
    return None if math.isnan(value) else value

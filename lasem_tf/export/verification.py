"""Holds the exports of a run against what the run reported."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lasem_tf.checks import InputError
from lasem_tf.evaluation import metrics
from lasem_tf.evaluation.evaluator import Evaluation, evaluate
from lasem_tf.export.saved_model import ExportedTask, exported_tasks, load_task
from lasem_tf.tasks import Task, TaskStream
from lasem_tf.tf_data import untuned

# Rounding differs a little between a model in training and its export, which
# may turn one answer that was almost a tie.
_TOLERATED_IMAGES = 1


def evaluate_exports(
    workdir: str | os.PathLike, stream: TaskStream, batch_size: int = 250
) -> tuple[Evaluation, ...]:
    """Reloads every export of a run and counts its correct test answers.

    Args:
        workdir: What the run wrote to.
        stream: The tasks that the run learned, with the same test images.
        batch_size: Images per call; changes speed and memory only.

    Returns:
        One evaluation on the test images per task, task 0 first.

    Raises:
        InputError: If the exports are not those of the stream's tasks.
    """
    paths = exported_tasks(workdir)
    if len(paths) != len(stream):
        raise InputError(
            f"There must be one export for each of the {len(stream)} tasks "
            f"of '{stream.name}'.",
            received=f"{len(paths)} in {os.fspath(workdir)}",
            remedy="Let the run finish: the command that began it continues "
            "it.",
        )
    evaluations = []
    for path, task in zip(paths, stream, strict=True):
        exported = load_task(path)
        _check_same_task(exported, task, str(path))
        evaluations.append(_evaluate(exported, task, batch_size))
    return tuple(evaluations)


def remeasured(
    summary: Mapping[str, Any], evaluations: Sequence[Evaluation]
) -> dict[str, Any]:
    """Returns a run's summary with what its exports answer at the end.

    Args:
        summary: As `summary.json` holds it.
        evaluations: One per task, as `evaluate_exports` returns them.

    Returns:
        A copy in which everything that follows from the final accuracies
        (they, their mean, forgetting ratio, backward transfer) is that of the
        exports; the rest, which only the run itself can know, is as it was.

    Raises:
        InputError: If the summary is of another number of tasks.
    """
    _check_same_number(summary, evaluations)
    final = [evaluation.accuracy for evaluation in evaluations]
    return {
        **summary,
        "final_accuracy": final,
        **_measures(summary["end_of_phase_accuracy"], final),
    }


def disagreements(
    summary: Mapping[str, Any], evaluations: Sequence[Evaluation]
) -> tuple[str, ...]:
    """Says where the exports and the summary, or its parts, differ.

    Args:
        summary: As `summary.json` holds it.
        evaluations: One per task, as `evaluate_exports` returns them.

    Returns:
        One line per task whose number of correct answers is off by more than
        one test image, and per mean that does not follow from the summary's
        own accuracies; empty if all agree.

    Raises:
        InputError: If the summary is of another number of tasks.
    """
    _check_same_number(summary, evaluations)
    lines = []
    for index, (found, accuracy) in enumerate(
        zip(evaluations, summary["final_accuracy"], strict=True)
    ):
        expected = accuracy * found.num_examples
        # The slack is for the summary's decimal digits, far below one image.
        if abs(found.num_correct - expected) > _TOLERATED_IMAGES + 1e-3:
            lines.append(
                f"task {index}: the export answers {found.num_correct} of "
                f"{found.num_examples} test images correctly, summary.json "
                f"says {expected:.0f}"
            )
    return (*lines, *_inconsistencies(summary))


def _inconsistencies(summary: Mapping[str, Any]) -> list[str]:
    """Says which means of a summary do not follow from its own accuracies."""
    expected = _measures(
        summary["end_of_phase_accuracy"], summary["final_accuracy"]
    )
    means = {
        key: value
        for key, value in expected.items()
        if isinstance(value, float)
    }
    return [
        f"`{key}`: summary.json says {summary[key]}, its accuracies {value:.6f}"
        for key, value in means.items()
        if summary[key] is None or abs(summary[key] - value) > 1e-6
    ]


def _measures(
    end_of_phase: Sequence[float], final: Sequence[float]
) -> dict[str, Any]:
    """Returns what of a summary follows from its accuracies, by its key.

    `None` is what a single task has no value of.
    """
    # Of R[i, j] these measures use the diagonal and the last row only.
    matrix = np.diag(end_of_phase).astype(np.float64)
    matrix[-1] = final
    ratio = metrics.catastrophic_forgetting_ratio(matrix)
    transfer = metrics.backward_transfer(matrix)
    is_alone = len(final) == 1
    return {
        "mean_final_accuracy": float(np.mean(final)),
        "catastrophic_forgetting_ratio": [float(value) for value in ratio],
        "mean_catastrophic_forgetting_ratio": (
            None if is_alone else float(np.mean(ratio))
        ),
        "backward_transfer": None if is_alone else float(transfer),
    }


def _evaluate(
    exported: ExportedTask, task: Task, batch_size: int
) -> Evaluation:
    return evaluate(
        lambda images: exported(images)["logits"],
        untuned(task.test.batch(batch_size)),
    )


def _check_same_task(exported: ExportedTask, task: Task, path: str) -> None:
    """Refuses an export that answers another question than the task asks."""
    if exported.class_names != task.class_names:
        raise InputError(
            f"The export of task '{task.name}' must have the classes "
            f"{list(task.class_names)}.",
            received=f"{list(exported.class_names)} in {path}",
            remedy="Evaluate with the data set that the run was trained on.",
        )


def _check_same_number(
    summary: Mapping[str, Any], evaluations: Sequence[Evaluation]
) -> None:
    """Refuses the summary of a run with more or fewer tasks."""
    if len(summary["final_accuracy"]) != len(evaluations):
        raise InputError(
            f"The summary must report all {len(evaluations)} exported tasks.",
            received=f"{len(summary['final_accuracy'])} final accuracies",
            remedy="Use the summary.json of the run that wrote the exports.",
        )

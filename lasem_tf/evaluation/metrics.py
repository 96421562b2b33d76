"""The measures of lifelong learning, in NumPy.

They read two things, which `AccuracyHistory` provides: the accuracies
`accuracy[e, j]` of task `j` after global epoch `e`, NaN where not evaluated,
and `phase_ends[t]`, the global epoch with which the phase of task `t` ended.
Accuracies are fractions in [0, 1]; a higher value is better for every measure.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from scipy import special

from lasem_tf.checks import InputError


def accuracy_matrix(
    accuracy: np.ndarray, phase_ends: Sequence[int]
) -> np.ndarray:
    """Returns `R[i, j]`, the accuracy on task j after learning task i.

    Source: Lopez-Paz & Ranzato (2017), section 2.

    Args:
        accuracy: float64 [num_global_epochs, num_tasks]. Test accuracies.
        phase_ends: int [num_learned]. Strictly increasing.

    Returns:
        float64 [num_learned, num_tasks]. NaN for a task not met yet: it has
        no head that could answer.

    Raises:
        InputError: If the phase ends do not increase or lie outside the run.
    """
    accuracy = np.asarray(accuracy, dtype=np.float64)
    ends = np.asarray(phase_ends, dtype=np.int64)
    increasing = ends.ndim == 1 and np.all(np.diff(ends, prepend=-1) > 0)
    if accuracy.ndim != 2 or not increasing or np.any(ends >= len(accuracy)):
        raise InputError(
            "`phase_ends` must be increasing global epochs of the run, and "
            "`accuracy` an array [num_global_epochs, num_tasks].",
            received=f"phase_ends={ends.tolist()}, accuracy of shape "
            f"{accuracy.shape}",
            remedy="Take both from one `AccuracyHistory`.",
        )
    return accuracy[ends]


def peak_per_task_accuracy(
    accuracy: np.ndarray,
    phase_ends: Sequence[int],
    validation_accuracy: np.ndarray | None = None,
) -> np.ndarray:
    """Returns the best accuracy of each task within its own phase.

    Source: Lee, Behpour & Eaton (2021), section 4; by validation: their code.

    Args:
        accuracy: float64 [num_global_epochs, num_tasks]. Test accuracies.
        phase_ends: int [num_learned]. Strictly increasing.
        validation_accuracy: float64, shaped as `accuracy`. Picks the epoch:
            the first of those with the best validation accuracy. `None`: the
            peak is the maximum of the test accuracy itself, the paper's word,
            which is optimistic since the test picks the epoch.

    Returns:
        float64 [num_learned]. Test accuracy at each task's peak.

    Raises:
        InputError: If a task was not evaluated within its own phase, or the
            phase ends do not fit `accuracy`.
    """
    ends = [-1, *phase_ends]
    accuracy_matrix(accuracy, phase_ends)  # Refuses ends outside the run.
    guide = accuracy if validation_accuracy is None else validation_accuracy
    peaks = []
    for task, (before, end) in enumerate(itertools.pairwise(ends)):
        phase = slice(before + 1, end + 1)
        measured = np.asarray(accuracy)[phase, task]
        picks = np.where(np.isnan(measured), np.nan, guide[phase, task])
        if np.isnan(picks).all():
            raise InputError(
                "A peak needs an evaluation within the task's own phase.",
                received=f"none for task {task} in the global epochs "
                f"{before + 1} to {end}",
                remedy="Evaluate the current task at least once per phase.",
            )
        peaks.append(measured[np.nanargmax(picks)])
    return np.array(peaks, dtype=np.float64)


def final_accuracy(matrix: np.ndarray) -> np.ndarray:
    """Returns the accuracy of each task after the whole stream.

    Args:
        matrix: float64 [num_tasks, num_tasks]. From `accuracy_matrix`.

    Returns:
        float64 [num_tasks].

    Raises:
        InputError: If not every task was learned and evaluated at the end.
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1]
    if not square or np.isnan(matrix[-1:]).any():
        raise InputError(
            "Every task must have been learned, and evaluated at the end.",
            received=f"an accuracy matrix of shape {matrix.shape}"
            + (" with gaps in its last row" if square else ""),
            remedy="Let the run go through its whole stream.",
        )
    return matrix[-1].copy()


def catastrophic_forgetting_ratio(matrix: np.ndarray) -> np.ndarray:
    """Returns how much of what each task had reached is left in the end.

    The last task is left out: its phase ends with the stream, so its ratio
    would be 1 whatever the method does. The headline is the mean of these.

    Source: Lee, Stokes & Eaton (2019):

        ratio_j = R[last, j] / R[j, j]

    A task with no correct answer at the end of its phase had nothing to lose:
    its ratio is 1 by definition, also if it gained later (`backward_transfer`
    counts that gain).

    Args:
        matrix: float64 [num_tasks, num_tasks]. From `accuracy_matrix`.

    Returns:
        float64 [num_tasks - 1]. 1: nothing forgotten; above 1: later tasks
        helped. Empty with one task.

    Raises:
        InputError: If not every task was learned and evaluated at the end.
    """
    final = final_accuracy(matrix)
    return _ratio(final[:-1], np.diagonal(matrix)[:-1])


def forgetting_along_stream(
    accuracy: np.ndarray, phase_ends: Sequence[int]
) -> np.ndarray:
    """Returns the forgetting ratio of each task after each later epoch.

    The row of the last phase's end is `catastrophic_forgetting_ratio` once
    more; the mean of a row's numbers is a point of the paper's figure 7.

    Source: Lee, Behpour & Eaton (2021), Figure 7.

    Args:
        accuracy: float64 [num_global_epochs, num_tasks]. Test accuracies.
        phase_ends: int [num_learned]. Strictly increasing.

    Returns:
        float64 [num_global_epochs, num_learned]. NaN until the task's phase
        has ended, and where it was not evaluated.

    Raises:
        InputError: If the phase ends do not fit `accuracy`.
    """
    matrix = accuracy_matrix(accuracy, phase_ends)
    ends = np.asarray(phase_ends, dtype=np.int64)
    ratio = _ratio(np.asarray(accuracy)[:, : len(ends)], np.diagonal(matrix))
    has_ended = np.arange(len(accuracy))[:, np.newaxis] > ends
    return np.where(has_ended, ratio, np.nan)


def backward_transfer(matrix: np.ndarray) -> float:
    """Returns what learning later tasks did to earlier ones, on average.

    Source: Lopez-Paz & Ranzato (2017), Eq. (3):

        BWT = 1/(T-1) sum_{i<T} (R[T, i] - R[i, i])

    Args:
        matrix: float64 [num_tasks, num_tasks]. From `accuracy_matrix`.

    Returns:
        Difference of fractions in [-1, 1]; 0: nothing forgotten. NaN with
        one task, which no later task follows.

    Raises:
        InputError: If not every task was learned and evaluated at the end.
    """
    change = final_accuracy(matrix) - np.diagonal(matrix)
    return float(np.mean(change[:-1])) if len(change) > 1 else float("nan")


def forward_transfer(
    matrix: np.ndarray, untrained_accuracy: np.ndarray
) -> float:
    """Returns what learning earlier tasks did to later ones, on average.

    Needs answers to tasks not met yet. Networks with one head per task have
    none, so runs of this library do not report it; it is here for methods
    with a single head.

    Source: Lopez-Paz & Ranzato (2017), Eq. (4):

        FWT = 1/(T-1) sum_{i>1} (R[i-1, i] - b_i)

    Args:
        matrix: float64 [num_tasks, num_tasks]. As from `accuracy_matrix`.
        untrained_accuracy: float64 [num_tasks]. `b`, the accuracy on each task
            at random initialisation.

    Returns:
        Difference of fractions in [-1, 1]. NaN with one task.

    Raises:
        InputError: If a task was not evaluated before it was learned.
    """
    before = np.diagonal(np.asarray(matrix, dtype=np.float64), offset=1)
    if np.isnan(before).any():
        raise InputError(
            "Forward transfer needs each task's accuracy before its phase.",
            received=f"none for the tasks "
            f"{(np.flatnonzero(np.isnan(before)) + 1).tolist()}",
            remedy="Evaluate the next task with the head of this one.",
        )
    change = before - np.asarray(untrained_accuracy)[1:]
    return float(np.mean(change)) if len(change) else float("nan")


def sharing_frequency(configurations: Sequence[str]) -> np.ndarray:
    """Returns for each layer the fraction of tasks that share it.

    Source: Lee, Behpour & Eaton (2021), Figure 4.

    Args:
        configurations: One per task, such as `"TSTS"`, of one length.

    Returns:
        float64 [num_layers], the layer nearest the input first.

    Raises:
        InputError: If there is none, or their lengths differ.
    """
    if len({len(text) for text in configurations}) != 1:
        raise InputError(
            "Configurations must be given, all of one length.",
            received=f"{list(configurations)}",
            remedy="Pass the selected configurations of networks of one kind.",
        )
    shared = [[letter == "S" for letter in text] for text in configurations]
    return np.mean(np.array(shared, dtype=np.float64), axis=0)


def confidence_interval_95(values: np.ndarray) -> np.ndarray:
    """Returns the half width of the 95 % confidence interval of the mean.

    Student's t, since there are few seeds:

        t(0.975, n - 1) * s / sqrt(n)

    Symbols: n = number of seeds, s = sample standard deviation (n - 1).

    Args:
        values: float64 [num_seeds, ...]. One measurement per seed.

    Returns:
        float64 [...], in the unit of `values`. NaN with one seed: it says
        nothing about the spread.

    Raises:
        InputError: If there is no value.
    """
    values = np.asarray(values, dtype=np.float64)
    num_seeds = len(values)
    if num_seeds == 0:
        raise InputError(
            "A confidence interval needs at least one value.",
            received="0 values",
            remedy="Pass one value per seed.",
        )
    if num_seeds == 1:
        return np.full(values.shape[1:], np.nan)
    quantile = special.stdtrit(num_seeds - 1, 0.975)
    return quantile * np.std(values, axis=0, ddof=1) / np.sqrt(num_seeds)


def _ratio(now: np.ndarray, then: np.ndarray) -> np.ndarray:
    """Returns `now / then`, 1 where `then` is 0; NaN stays NaN."""
    nothing_to_lose = then == 0
    ratio = now / np.where(nothing_to_lose, 1.0, then)
    return np.where(nothing_to_lose & ~np.isnan(now), 1.0, ratio)

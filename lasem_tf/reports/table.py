"""The tables that people read: one run, or many runs side by side.

Accuracies are shown in percent with one decimal, ratios with two. The lines
are aligned, and Markdown at that, so that a table can be pasted as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lasem_tf.checks import InputError, check_one_of
from lasem_tf.evaluation import metrics

_NOT_DEFINED = "–"
_PEAK_KEYS = {
    "test": "peak_per_task_accuracy",
    "validation": "peak_per_task_accuracy_by_validation",
}
_PEAK_LEGENDS = {
    "test": "Peak = test maximum: best test accuracy within the task's own "
    "phase.",
    "validation": "Peak by validation = test accuracy at the best validation "
    "epoch of the task's own phase.",
}
_FORGETTING_LEGEND = (
    "Forgetting ratio = final / end of phase; 1 = nothing forgotten."
)


def results_table(
    summary: Mapping[str, Any], peak_selection: str = "test"
) -> str:
    """Returns the table that ends a run: a line per task, then the means.

    Args:
        summary: As from `summarize` or `summary.json`.
        peak_selection: Which peak to show: `"test"`, the maximum of the test
            accuracy, or `"validation"`, the test accuracy at the best
            validation epoch. The table says which.

    Raises:
        InputError: If `peak_selection` is neither.
    """
    check_one_of("peak_selection", peak_selection, tuple(_PEAK_KEYS))
    return "\n".join(
        [
            _title(summary),
            "",
            *aligned_rows(
                ["task", "configuration", "peak %", "end of phase %"]
                + ["final %", "forgetting ratio"],
                _task_lines(summary, peak_selection)
                + [_mean_line(summary, peak_selection)],
                num_text_columns=2,
            ),
            "",
            _PEAK_LEGENDS[peak_selection],
            _FORGETTING_LEGEND,
            f"Backward transfer: {_points(summary['backward_transfer'])}. "
            f"Parameters: {summary['num_parameters']:,}. "
            f"Training: {summary['train_seconds']:.0f} s of "
            f"{summary['total_seconds']:.0f} s.",
        ]
    )


def comparison_table(
    runs: Mapping[str, Sequence[Mapping[str, Any]]],
) -> str:
    """Returns a table of means over seeds, a line per kind of run.

    Numbers are mean ± 95 % confidence interval over the seeds (Student t) of
    each run's mean over tasks; with one seed there is no interval.

    Args:
        runs: Name of a line -> summaries that differ in nothing but the seed.

    Raises:
        InputError: If there is no run, or a line mixes different runs or holds
            a seed twice.
    """
    if not runs:
        raise InputError(
            "A comparison needs at least one run.",
            received="0 runs",
            remedy="Pass the summaries of finished runs.",
        )
    for name, summaries in runs.items():
        _check_only_seeds_differ(name, summaries)
    header = ["run", "data set", "tasks × epochs", "seeds", "peak %"]
    header += ["by validation %", "final %", "forgetting ratio"]
    header += ["training s", "parameters"]
    lines = [
        _comparison_line(name, summaries) for name, summaries in runs.items()
    ]
    return "\n".join(
        [
            *aligned_rows(header, lines, num_text_columns=3),
            "",
            "Mean ± 95 % confidence interval over seeds (Student t).",
            *_PEAK_LEGENDS.values(),
            _FORGETTING_LEGEND,
        ]
    )


def _title(summary: Mapping[str, Any]) -> str:
    """Returns what was run, in one line."""
    tasks = (
        "1 task"
        if summary["num_tasks"] == 1
        else (f"{summary['num_tasks']} tasks")
    )
    return (
        f"{summary['method']} on {summary['learner']}: {summary['dataset']}, "
        f"{tasks} × {summary['num_epochs']} epochs, seed {summary['seed']}"
    )


def _task_lines(
    summary: Mapping[str, Any], peak_selection: str
) -> list[list[str]]:
    """Returns the cells of each task's line."""
    num_tasks = summary["num_tasks"]
    peaks = summary[_PEAK_KEYS[peak_selection]] or [None] * num_tasks
    # Undefined for the last task, whose phase ends with the stream.
    ratios = [*summary["catastrophic_forgetting_ratio"], None]
    return [
        [
            str(task),
            summary["selected_configurations"][task] or _NOT_DEFINED,
            _percent(peaks[task]),
            _percent(summary["end_of_phase_accuracy"][task]),
            _percent(summary["final_accuracy"][task]),
            _ratio(ratios[task]),
        ]
        for task in range(num_tasks)
    ]


def _mean_line(summary: Mapping[str, Any], peak_selection: str) -> list[str]:
    """Returns the cells of the last line."""
    return [
        "mean",
        "",
        _percent(summary[f"mean_{_PEAK_KEYS[peak_selection]}"]),
        _percent(summary["mean_end_of_phase_accuracy"]),
        _percent(summary["mean_final_accuracy"]),
        _ratio(summary["mean_catastrophic_forgetting_ratio"]),
    ]


def _comparison_line(
    name: str, summaries: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Returns the cells of one kind of run."""
    first = summaries[0]

    def over_seeds(key: str, scale: float = 1.0, decimals: int = 1) -> str:
        values = [summary[key] for summary in summaries]
        if None in values:
            return _NOT_DEFINED
        return _mean_and_interval(np.array(values) * scale, decimals)

    return [
        name,
        first["dataset"],
        f"{first['num_tasks']} × {first['num_epochs']}",
        str(len(summaries)),
        *(over_seeds(f"mean_{key}", scale=100) for key in _PEAK_KEYS.values()),
        over_seeds("mean_final_accuracy", scale=100),
        over_seeds("mean_catastrophic_forgetting_ratio", decimals=2),
        over_seeds("train_seconds", decimals=0),
        f"{np.mean([summary['num_parameters'] for summary in summaries]):,.0f}",
    ]


def _check_only_seeds_differ(
    name: str, summaries: Sequence[Mapping[str, Any]]
) -> None:
    """Refuses a line whose mean would be over unlike or repeated runs."""
    for key in ("method", "learner", "dataset", "num_tasks", "num_epochs"):
        values = sorted({str(summary[key]) for summary in summaries})
        if len(values) != 1:
            raise InputError(
                "A line of a comparison needs runs that differ in the seed "
                "only.",
                received=f"{name!r} with `{key}` {', '.join(values) or 'none'}",
                remedy="Give each kind of run a line of its own.",
            )
    seeds = [summary["seed"] for summary in summaries]
    if len(set(seeds)) != len(seeds):
        raise InputError(
            "A line of a comparison needs a different seed for each run.",
            received=f"{name!r} with the seeds {seeds}",
            remedy="Leave out the repeated run: it would narrow the interval.",
        )


def _mean_and_interval(values: np.ndarray, decimals: int) -> str:
    """Returns `mean ± half width`, the mean alone for a single value."""
    mean = f"{np.mean(values):.{decimals}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {metrics.confidence_interval_95(values):.{decimals}f}"


def _percent(fraction: float | None) -> str:
    return _NOT_DEFINED if fraction is None else f"{100 * fraction:.1f}"


def _ratio(ratio: float | None) -> str:
    return _NOT_DEFINED if ratio is None else f"{ratio:.2f}"


def _points(change: float | None) -> str:
    """Returns a difference of fractions as percentage points."""
    return _NOT_DEFINED if change is None else f"{100 * change:+.1f} points"


def aligned_rows(
    header: Sequence[str],
    lines: Sequence[Sequence[str]],
    num_text_columns: int,
) -> list[str]:
    """Returns a Markdown table: texts flush left, then numbers flush right.

    Args:
        header: One heading per column.
        lines: One cell per column each.
        num_text_columns: How many columns, from the left, hold text.

    Returns:
        The rows of the table, heading and rule included.
    """
    widths = [
        max(len(cell) for cell in column)
        for column in zip(header, *lines, strict=True)
    ]
    is_text = [index < num_text_columns for index in range(len(widths))]
    rule = [
        "-" * (width + 2) if text else "-" * (width + 1) + ":"
        for width, text in zip(widths, is_text, strict=True)
    ]

    def row(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if text else cell.rjust(width)
            for cell, width, text in zip(cells, widths, is_text, strict=True)
        ]
        return f"| {' | '.join(padded)} |"

    return [row(header), f"|{'|'.join(rule)}|", *map(row, lines)]

"""What more epochs per task would have brought: peaks within the first ones.

    python benchmarks/peak_by_epochs.py runs/cifar_2000/* \
        --json benchmarks/results/cifar_2000_epochs.json

Reads the workdirs of runs, complete or not, and runs nothing. A task counts
as soon as its phase has had so many epochs. Earlier tasks had all of theirs,
so a later task's peak within 60 epochs is not that of a run of 60 epochs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import pathlib
from typing import Any

import measuring
import pandas as pd
import runs

from lasem_tf.evaluation.history import AccuracyHistory
from lasem_tf.reports.table import aligned_rows


def main() -> None:
    arguments = _parser().parse_args()
    found = {
        folder.name: of_run(folder, arguments.epochs)
        for folder in arguments.workdirs
    }
    text = "\n".join(table(found))
    print(text)
    measuring.write_report(arguments, {"runs": found, "table": text})


def of_run(workdir: pathlib.Path, epochs: list[int]) -> dict[str, Any]:
    """Returns what a run found so far.

    Args:
        workdir: The run's folder.
        epochs: Numbers of epochs, ascending.

    Returns:
        `run`, how it was made, and `continued`; `peaks`, by number of epochs
        the highest test accuracy of each task that had so many;
        `end_of_phase`, each finished task's test accuracy then;
        `accuracy_matrix`, a list after each of them of all tasks' so far;
        `selected`, their configurations. Accuracies are fractions.
    """
    run = json.loads((workdir / "run.json").read_text())
    history = AccuracyHistory.from_csv(workdir / "metrics.csv")
    accuracy, ends = history.accuracy("test"), history.phase_ends
    # Of each task, while it was learned.
    phases = [
        accuracy[begin + 1 : end + 1, task]
        for task, (begin, end) in enumerate(itertools.pairwise((-1, *ends)))
    ]
    matrix = _accuracy_matrix(workdir / "accuracy_matrix.csv")
    return {
        "run": {
            "command": runs.anonymous_command(run, workdir),
            **{
                name: run[name]
                for name in ("start", "device", "git_revision", "versions")
            },
            "continued": run.get("continued", []),
        },
        "peaks": {
            str(number): [
                float(phase[:number].max())
                for phase in phases
                if len(phase) >= number
            ]
            for number in epochs
        },
        "end_of_phase": [after[-1] for after in matrix],
        "accuracy_matrix": matrix,
        "selected": _selected(workdir / "configurations.csv", len(matrix)),
    }


def _accuracy_matrix(path: pathlib.Path) -> list[list[float]]:
    """Returns, after each finished task, the test accuracy of all so far."""
    if not path.is_file():
        return []
    rows = pd.read_csv(path, index_col="after_task").to_numpy()
    return [row[: index + 1].tolist() for index, row in enumerate(rows)]


def _selected(path: pathlib.Path, num_tasks: int) -> list[str]:
    """Returns the most probable configuration at the end of each task."""
    beliefs = pd.read_csv(path)
    return [
        of_task[of_task.epoch == of_task.epoch.max()]
        .set_index("configuration")
        .prior.idxmax()
        for task, of_task in beliefs.groupby("task")
        if task < num_tasks
    ]


def table(found: dict[str, dict[str, Any]]) -> list[str]:
    """Returns rows per run: peaks by epochs, and what was left after tasks."""
    rows = []
    for name, result in found.items():
        rows += [
            [name, f"peak in {number}", *_percents(peaks)]
            for number, peaks in result["peaks"].items()
        ]
        rows.append([name, "end of phase", *_percents(result["end_of_phase"])])
        rows += [
            [name, f"after task {number}", *_percents(after)]
            for number, after in enumerate(result["accuracy_matrix"], 1)
            if number > 1
        ]
    width = max(map(len, rows))
    header = ["run", "accuracy %", *(str(n + 1) for n in range(width - 2))]
    return aligned_rows(
        header, [row + ["–"] * (width - len(row)) for row in rows], 2
    )


def _percents(fractions: list[float]) -> list[str]:
    return [f"{100 * fraction:.1f}" for fraction in fractions]


def _parser() -> argparse.ArgumentParser:
    parser = measuring.parser(__doc__)
    parser.add_argument("workdirs", type=pathlib.Path, nargs="+")
    parser.add_argument(
        "--epochs", type=int, nargs="+", default=[60, 200, 600, 2000]
    )
    return parser


if __name__ == "__main__":
    main()

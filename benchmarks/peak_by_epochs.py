"""What more epochs per task would have brought: peaks within the first ones.

    python benchmarks/peak_by_epochs.py runs/cifar_2000/* \
        --json benchmarks/results/cifar_2000_epochs.json

Reads the workdirs of runs, complete or not, and runs nothing. A task counts
as soon as its phase has had so many epochs. Earlier tasks had all of theirs,
so a later task's peak within 60 epochs is not that of a run of 60 epochs.
"""

from __future__ import annotations

import argparse
import json
import pathlib
from typing import Any

import measuring
import numpy as np
import pandas as pd
import runs

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
        `end_of_phase`, each finished task's test accuracy then, and `now`,
        the same tasks' after the last of them. Accuracies are fractions.
    """
    run = json.loads((workdir / "run.json").read_text())
    metrics = pd.read_csv(workdir / "metrics.csv").query("split == 'test'")
    own = metrics[metrics.task == metrics.current_task]
    phases = [phase for _, phase in own.groupby("task")]
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
                phase.accuracy.head(number).max()
                for phase in phases
                if len(phase) >= number
            ]
            for number in epochs
        },
        "end_of_phase": np.diag(matrix).tolist(),
        "now": matrix[-1].tolist() if len(matrix) else [],
    }


def _accuracy_matrix(path: pathlib.Path) -> np.ndarray:
    """Returns the test accuracy of each task after each, [tasks, tasks]."""
    if not path.is_file():
        return np.zeros((0, 0))
    return pd.read_csv(path, index_col="after_task").to_numpy()


def table(found: dict[str, dict[str, Any]]) -> list[str]:
    """Returns a row per run and number of epochs, and its last accuracies."""
    rows = []
    for name, result in found.items():
        rows += [
            [name, f"peak in {number}", *_percents(peaks)]
            for number, peaks in result["peaks"].items()
        ]
        rows.append([name, "end of phase", *_percents(result["end_of_phase"])])
        rows.append([name, "now", *_percents(result["now"])])
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

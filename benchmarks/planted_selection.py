"""Does LASEM select what is planted, and is it the best of all?

    python benchmarks/planted_selection.py --workdir runs/planted \
        --json benchmarks/results/planted_selection.json

Runs gin/planted.gin with every planted configuration of two letters, as LASEM
and with each static configuration. Complete runs are not repeated, so the same
command takes the comparison up where it was left; `--report` runs nothing. The
first task counts nowhere: it has nothing to share.
"""

from __future__ import annotations

import argparse
import pathlib
from typing import Any

import measuring
import numpy as np
import runs

from lasem_tf.reports.table import aligned_rows

CONFIGURATIONS = ("SS", "ST", "TS", "TT")
METHODS = ("LASEM", *CONFIGURATIONS)


def main() -> None:
    arguments = _parser().parse_args()
    if not arguments.report:
        for seed in arguments.seeds:
            for planted in CONFIGURATIONS:
                for method in METHODS:
                    _train(arguments.workdir, planted, method, seed)
    found = [
        _result(arguments.workdir, planted, method, seed)
        for planted in CONFIGURATIONS
        for method in METHODS
        for seed in arguments.seeds
    ]
    found = [result for result in found if result is not None]
    text = "\n".join(_table(found))
    print(text)
    measuring.write_report(arguments, {"runs": found, "table": text})


def _train(workdir: pathlib.Path, planted: str, method: str, seed: int) -> None:
    flags = [
        "--gin_file=gin/planted.gin",
        f'--gin_param=synthetic.planted="{planted}"',
        f"--seed={seed}",
    ]
    if method != "LASEM":
        flags += [
            "--gin_file=gin/methods/static.gin",
            f'--gin_param=Static.configuration="{method}"',
        ]
    title = f"{planted} planted, {method}, seed {seed}"
    runs.train(title, flags, _folder(workdir, planted, method, seed))


def _folder(
    workdir: pathlib.Path, planted: str, method: str, seed: int
) -> pathlib.Path:
    return workdir / f"{planted}_{method}_seed{seed}".lower()


def _result(
    workdir: pathlib.Path, planted: str, method: str, seed: int
) -> dict[str, Any] | None:
    run = runs.complete_run(_folder(workdir, planted, method, seed))
    if run is None:
        return None
    summary = run["summary"]
    later = slice(1, None)
    return {
        "planted": planted,
        "method": method,
        "seed": seed,
        "selected": summary["selected_configurations"][later],
        "peak_accuracy": summary["peak_per_task_accuracy"][later],
        "end_of_phase_accuracy": summary["end_of_phase_accuracy"][later],
        "git_revision": run["run"]["git_revision"],
    }


def _table(found: list[dict[str, Any]]) -> list[str]:
    """Returns a row per planted configuration: found how often, accuracies."""
    lines = []
    for planted in CONFIGURATIONS:
        of_planted = [r for r in found if r["planted"] == planted]
        selected = [
            configuration
            for result in of_planted
            if result["method"] == "LASEM"
            for configuration in result["selected"]
        ]
        accuracies = [
            _percent([r for r in of_planted if r["method"] == method])
            for method in METHODS
        ]
        hits = f"{selected.count(planted)} of {len(selected)}"
        lines.append([planted, hits, *accuracies])
    header = ["planted", "selected", *(f"{m} %" for m in METHODS)]
    return aligned_rows(header, lines, num_text_columns=2)


def _percent(results: list[dict[str, Any]]) -> str:
    """Returns the mean accuracy at the end of a task's phase."""
    if not results:
        return "–"
    mean = np.mean([result["end_of_phase_accuracy"] for result in results])
    return f"{100 * mean:.1f}"


def _parser() -> argparse.ArgumentParser:
    parser = measuring.parser(__doc__)
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--report", action="store_true", help="run nothing")
    return parser


if __name__ == "__main__":
    main()

"""Seconds from the launch of bin/train to its first epochs of each task.

    python benchmarks/start_time.py
    python benchmarks/start_time.py --recipes quickstart --rounds 1

Every run is a new process that learns two tasks of one epoch each. "ready" is
from the launch to when the data are read and training begins; "first" from
there to the end of the first epoch, compiling included; "second" from there to
the end of the second task's: evaluation and checkpoint of the first task,
whatever a further task needs, and its epoch.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

import measuring
import numpy as np

from lasem_tf.reports.table import aligned_rows

RECIPES = ("quickstart", "hps_cifar", "tf_cifar", "dfcnn_cifar")
SECONDS_BETWEEN_LOOKS = 0.02


def main() -> None:
    arguments = _parser().parse_args()
    samples = {recipe: [] for recipe in arguments.recipes}
    for _ in range(arguments.rounds):
        for recipe in arguments.recipes:
            samples[recipe].append(_start(recipe))
    header = ["recipe", "ready s", "first s", "second s"]
    rows = [
        [recipe, *(f"{s:.1f}" for s in np.median(found, axis=0))]
        for recipe, found in samples.items()
    ]
    table = "\n".join(aligned_rows(header, rows, num_text_columns=1))
    print(table)
    spreads = {
        recipe: [
            measuring.spread(seconds) for seconds in zip(*found, strict=True)
        ]
        for recipe, found in samples.items()
    }
    content = {"seconds": samples, "spread": spreads, "table": table}
    measuring.write_report(arguments, content)


def _start(recipe: str) -> list[float]:
    """Runs a recipe; returns the seconds between its signs of life."""
    with tempfile.TemporaryDirectory() as folder:
        workdir = pathlib.Path(folder) / "run"
        began = time.perf_counter()
        process = subprocess.Popen(
            [
                sys.executable,
                measuring.REPOSITORY / "bin" / "train",
                f"--gin_file=gin/{recipe}.gin",
                "--gin_param=NUM_TASKS=2",
                "--gin_param=NUM_EPOCHS=1",
                f"--workdir={workdir}",
            ],
            cwd=measuring.REPOSITORY,
            stdout=subprocess.DEVNULL,
        )
        moments: list[float] = []
        while process.poll() is None:
            if _num_signs(workdir) > len(moments):
                moments.append(time.perf_counter() - began)
            time.sleep(SECONDS_BETWEEN_LOOKS)
    if process.returncode or len(moments) < 3:
        raise SystemExit(f"bin/train ended with {process.returncode}")
    return np.diff(moments, prepend=0).tolist()


def _num_signs(workdir: pathlib.Path) -> int:
    """Counts the workdir's record, and the tasks that had an epoch."""
    path = workdir / "configurations.csv"
    rows = path.read_text().splitlines()[1:] if path.is_file() else []
    tasks = {row.partition(",")[0] for row in rows}
    return (workdir / "run.json").is_file() + len(tasks)


def _parser() -> Any:
    parser = measuring.parser(__doc__)
    parser.add_argument(
        "--recipes", nargs="+", choices=RECIPES, default=list(RECIPES)
    )
    parser.add_argument("--rounds", type=int, default=3, help="samples each")
    return parser


if __name__ == "__main__":
    main()

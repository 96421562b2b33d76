"""Seconds from the launch of bin/train to its first epochs of each task.

    python benchmarks/start_time.py
    python benchmarks/start_time.py --recipes quickstart --rounds 1

Every run is a new process that learns two tasks of one epoch each. "first"
ends when the first epoch has been trained, which is a little later than the
first step: reading the data, compiling and writing of files are all in it.
"second" is from there to the same moment of the second task: evaluation and
checkpoint of the first one, and whatever a further task needs.
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
    header = ["recipe", "first s", "second s"]
    rows = [
        [recipe, *(f"{s:.1f}" for s in np.median(found, axis=0))]
        for recipe, found in samples.items()
    ]
    table = "\n".join(aligned_rows(header, rows, num_text_columns=1))
    print(table)
    measuring.write_report(arguments, {"seconds": samples, "table": table})


def _start(recipe: str) -> list[float]:
    """Runs a recipe; returns the seconds to each task's first epoch."""
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
            if _num_tasks_begun(workdir) > len(moments):
                moments.append(time.perf_counter() - began)
            time.sleep(SECONDS_BETWEEN_LOOKS)
    if process.returncode or len(moments) < 2:
        raise SystemExit(f"bin/train ended with {process.returncode}")
    return np.diff(moments, prepend=0).tolist()


def _num_tasks_begun(workdir: pathlib.Path) -> int:
    """Counts the tasks of which the file of configurations tells."""
    path = workdir / "configurations.csv"
    rows = path.read_text().splitlines()[1:] if path.is_file() else []
    return len({row.partition(",")[0] for row in rows})


def _parser() -> Any:
    parser = measuring.parser(__doc__)
    parser.add_argument(
        "--recipes", nargs="+", choices=RECIPES, default=list(RECIPES)
    )
    parser.add_argument("--rounds", type=int, default=3, help="samples each")
    return parser


if __name__ == "__main__":
    main()

"""LASEM against static configurations on CIFAR-100, over seeds.

    python benchmarks/cifar_comparison.py --workdir runs/cifar_60 \
        --json benchmarks/results/cifar_60_epochs.json

Runs `bin/train` once per line of the table and seed, one after another. A
run that was interrupted is continued and a complete one is not repeated, so
the same command takes a long comparison up where it was left. `--report`
runs nothing and reports the runs that are complete.
"""

from __future__ import annotations

import argparse
import pathlib
import sys

import measuring
import runs

from lasem_tf.files import write_json

_STATIC = ["--gin_file=gin/methods/static.gin"]
_SINGLE_TASK = [*_STATIC, '--gin_param=Static.configuration="single_task"']
# A base learner fills the shared slot only, which single-task learning does
# not use: its runs are the same, bit by bit, for all three (see
# tests/methods/static_test.py), so it runs once.
LINES = {
    "single-task (any learner)": [
        "--gin_file=gin/hps_cifar.gin",
        *_SINGLE_TASK,
    ],
    "HPS, All": ["--gin_file=gin/hps_cifar.gin", *_STATIC],
    "HPS, All in mixed bfloat16": [
        "--gin_file=gin/hps_cifar.gin",
        *_STATIC,
        "--gin_file=gin/precision/mixed_bfloat16.gin",
    ],
    "HPS, LASEM": ["--gin_file=gin/hps_cifar.gin"],
    "HPS, LASEM with rare E-steps": [
        "--gin_file=gin/hps_cifar.gin",
        "--gin_file=gin/methods/lasem_rare_e_steps.gin",
    ],
    "HPS, LASEM with rare E-steps in bfloat16": [
        "--gin_file=gin/hps_cifar.gin",
        "--gin_file=gin/methods/lasem_rare_e_steps.gin",
        '--gin_param=Lasem.e_step_dtype="bfloat16"',
    ],
    "TF, All": ["--gin_file=gin/tf_cifar.gin", *_STATIC],
    "TF, LASEM": ["--gin_file=gin/tf_cifar.gin"],
    "DF-CNN, All": ["--gin_file=gin/dfcnn_cifar.gin", *_STATIC],
    "DF-CNN, LASEM": ["--gin_file=gin/dfcnn_cifar.gin"],
}


def main() -> None:
    arguments = _parser().parse_args()
    if not arguments.report:
        for seed in arguments.seeds:
            for line in arguments.lines or LINES:
                _train(line, seed, arguments)
    report(arguments)


def report(arguments: argparse.Namespace) -> None:
    """Prints the table of the complete runs; writes all they say as JSON."""
    from lasem_tf.reports.table import comparison_table

    found = {line: _complete_runs(line, arguments) for line in LINES}
    found = {line: complete for line, complete in found.items() if complete}
    if not found:
        sys.exit(f"No run below {arguments.workdir} is complete yet.")
    table = comparison_table(
        {
            line: [run["summary"] for run in complete]
            for line, complete in found.items()
        }
    )
    print(table)
    if arguments.json:
        # Each run tells its own command, date and versions.
        content = {
            "machine": measuring.machine(),
            "runs": found,
            "table": table,
        }
        write_json(arguments.json, content)


def _train(line: str, seed: int, arguments: argparse.Namespace) -> None:
    flags = [
        *LINES[line],
        f"--gin_param=NUM_EPOCHS={arguments.num_epochs}",
        f"--gin_param=NUM_TASKS={arguments.num_tasks}",
        f"--seed={seed}",
    ]
    runs.train(f"{line}, seed {seed}", flags, _workdir(line, seed, arguments))


def _complete_runs(line: str, arguments: argparse.Namespace) -> list[dict]:
    """Returns what the complete runs of one line left, one per seed."""
    found = [
        runs.complete_run(_workdir(line, seed, arguments))
        for seed in arguments.seeds
    ]
    return [run for run in found if run is not None]


def _workdir(
    line: str, seed: int, arguments: argparse.Namespace
) -> pathlib.Path:
    words = "".join(c if c.isalnum() else " " for c in line.lower()).split()
    return arguments.workdir / f"{'_'.join(words)}_seed{seed}"


def _parser() -> argparse.ArgumentParser:
    parser = measuring.parser(__doc__)
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--num_epochs", type=int, default=60, help="per task")
    parser.add_argument("--num_tasks", type=int, default=10)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--lines", nargs="+", choices=LINES, help="some only")
    parser.add_argument("--report", action="store_true", help="run nothing")
    return parser


if __name__ == "__main__":
    main()

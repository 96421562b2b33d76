"""LASEM against everything it is compared with on CIFAR-100, over seeds.

    python benchmarks/cifar_comparison.py --workdir runs/cifar_60 \
        --json benchmarks/results/cifar_60_epochs.json

Runs `bin/train` once per line of the table and seed, one after another. A
run that was interrupted is continued and a complete one is not repeated, so
the same command takes a long comparison up where it was left. `--report`
runs nothing and reports the runs that are complete. A report that `--json`
finds is added to: runs of other machines stay, those of the same seed too.
Accuracies are of the latest run of each seed; costs are of all of them, since
a time says something only beside another one of its machine.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import re
import shlex
import statistics
import sys

import measuring
import runs

from lasem_tf.files import write_json

# The paper's static configurations of four layers, besides all and none.
_STATIC = {
    f"{name} {layers}": f"{name.lower()}_{layers}"
    for name in ("Top", "Bottom")
    for layers in (1, 2, 3)
} | {"Alternating": "alternating"}


def _static(configuration: str) -> list[str]:
    """Returns the words of a line with a static configuration."""
    return ["static", f'Static.configuration="{configuration}"']


# A base learner fills the shared slot only, which single-task learning does
# not use: its runs are the same, bit by bit, for all three (see
# tests/methods/static_test.py), so it runs once. What follows the learner's
# recipe is files of gin/methods/ and bindings.
LINES = {
    "single-task (any learner)": ["hps", *_static("single_task")],
    "HPS, All": ["hps", "static"],
    "HPS, All in mixed bfloat16": [
        "hps",
        "static",
        "precision/mixed_bfloat16",
    ],
    "HPS, LASEM": ["hps"],
    "HPS, LASEM in mixed bfloat16": ["hps", "precision/mixed_bfloat16"],
    "HPS, LASEM with a bfloat16 E-step": ["hps", "lasem_bfloat16_e_step"],
    "HPS, LASEM with rare E-steps": ["hps", "lasem_rare_e_steps"],
    "HPS, LASEM with rare E-steps in bfloat16": [
        "hps",
        "lasem_rare_e_steps",
        'Lasem.e_step_dtype="bfloat16"',
    ],
    "HPS, LASEM, average prior": ["hps", "lasem_average_prior"],
    "HPS, LASEM, historic prior": ["hps", "lasem_historic_prior"],
    "HPS, LASEM, related prior": ["hps", "lasem_related_prior"],
    "HPS, LASEM, grouped": ["hps", "lasem_grouped"],
    "HPS, fixed posterior": ["hps", "lasem_fixed_posterior"],
    "HPS, DARTS": ["hps", "darts"],
    "HPS, DARTS, first order": ["hps", "darts", "Darts.second_order=False"],
    "HPS, brute force": ["hps", "brute_force"],
    "TF, All": ["tf", "static"],
    "TF, LASEM": ["tf"],
    "TF, DARTS": ["tf", "darts"],
    "TF, brute force": ["tf", "brute_force"],
    "DF-CNN, All": ["dfcnn", "static"],
    "DF-CNN, LASEM": ["dfcnn"],
    "DF-CNN, DARTS": ["dfcnn", "darts"],
    "DF-CNN, brute force": ["dfcnn", "brute_force"],
    "ProgNN": ["hps", "progressive"],
    "DEN": ["hps", "dynamically_expandable"],
    "APD-Net": ["hps", "additive_decomposition"],
    "APD-Net without drift term": [
        "hps",
        "additive_decomposition",
        "AdditiveDecomposition.drift_weight=0.0",
    ],
    "channel-gated": ["hps", "channel_gated"],
    **{
        f"{learner}, {name}": [recipe, *_static(configuration)]
        for learner, recipe in (
            ("HPS", "hps"),
            ("TF", "tf"),
            ("DF-CNN", "dfcnn"),
        )
        for name, configuration in _STATIC.items()
    },
}

_REFERENCE = "DF-CNN, LASEM"


def main() -> None:
    arguments = _parser().parse_args()
    if not arguments.report:
        for seed in arguments.seeds:
            for line in arguments.lines or LINES:
                _train(line, seed, arguments)
    report(arguments)


def report(arguments: argparse.Namespace) -> None:
    """Prints the table of the complete runs; adds what they say to the JSON."""
    from lasem_tf.reports.table import comparison_table

    found = _known_runs(arguments.json)
    for line in LINES:
        for run in _complete_runs(line, arguments):
            found.setdefault(line, {})[_seed_and_machine(run)] = run
    lines = {
        line: sorted(found[line].values(), key=_seed_and_start)
        # A report may hold lines that have no name now.
        for line in dict.fromkeys([*LINES, *found])
        if line in found
    }
    if not lines:
        sys.exit(f"No run below {arguments.workdir} is complete yet.")
    for line, complete in lines.items():
        if len(set(map(_told, complete))) > 1:
            sys.exit(
                f"Runs of '{line}' were told different things. Give each "
                "experiment a --workdir and a --json of its own."
            )
    table = comparison_table(
        {line: _latest_summaries(complete) for line, complete in lines.items()}
    )
    costs = _cost_table(lines)
    print(f"{table}\n\n{costs}")
    if arguments.json:
        # Each run tells its own command, date, versions and machine.
        content = {"runs": lines, "table": table, "costs": costs}
        write_json(arguments.json, content)


def _known_runs(
    path: pathlib.Path | None,
) -> dict[str, dict[tuple[int, str, bool], dict]]:
    """Returns what a report holds already, by line, seed and machine."""
    if path is None or not path.is_file():
        return {}
    return {
        line: {_seed_and_machine(run): run for run in complete}
        for line, complete in json.loads(path.read_text())["runs"].items()
    }


def _seed_and_machine(run: dict) -> tuple[int, str, bool]:
    """Returns what a run is known by; the machine is "" if nobody noted it."""
    machine = run.get("measured", {}).get("machine", "")
    return run["summary"]["seed"], str(machine), _on_gpu(run)


def _told(run: dict) -> frozenset[str]:
    """Returns what a run's command binds that is of no method: macros, say."""
    words = shlex.split(run["run"]["command"])
    pattern = re.compile(r"--gin_param=([A-Z_]+|run_experiment\.\w+) *=")
    return frozenset(word for word in words if pattern.match(word))


def _seed_and_start(run: dict) -> tuple[int, str]:
    return run["summary"]["seed"], run["run"]["start"]


def _latest_summaries(complete: list[dict]) -> list[dict]:
    """Returns one summary per seed, of runs in the order of their start."""
    return list(
        {run["summary"]["seed"]: run["summary"] for run in complete}.values()
    )


def _cost_table(lines: dict[str, list[dict]]) -> str:
    """Returns what training took: time, and the process' peak memory.

    Time as a ratio to the run of `_REFERENCE` with the same seed on a machine
    of the same kind, a mean over those that have one; memory as a mean. Runs
    on a GPU are left out: a processor that waits for one tells neither.
    """
    from lasem_tf.reports.table import aligned_rows

    reference = {
        _seed_and_machine(run): run
        for run in lines.get(_REFERENCE, ())
        if "cpu_seconds" in run.get("measured", {}) and not _on_gpu(run)
    }
    rows = []
    for line, complete in lines.items():
        ratios, memory = [], []
        for run in complete:
            if "measured" not in run or _on_gpu(run):
                continue
            memory.append(run["measured"]["peak_memory_bytes"] / 2**20)
            key = _seed_and_machine(run)
            if key in reference and "cpu_seconds" in run["measured"]:
                ratios.append(_train_time(run) / _train_time(reference[key]))
        if memory:
            time = f"{statistics.mean(ratios):.2f}" if ratios else "–"
            size = f"{statistics.mean(memory):,.0f}"
            rows.append([line, str(len(ratios)), time, size])
    header = ["run", "timed runs", f"time to {_REFERENCE}", "peak MiB"]
    return "\n".join(aligned_rows(header, rows, 1))


def _on_gpu(run: dict) -> bool:
    """Says whether any sitting of a run had a GPU."""
    sittings = [run["run"], *run["run"].get("continued", ())]
    return any("GPU" in d for s in sittings for d in s.get("device", ()))


def _train_time(run: dict) -> float:
    """Returns processor seconds inside training.

    The process' own, so that what else the machine did does not count, times
    the share of the run that was training.
    """
    summary = run["summary"]
    share = summary["train_seconds"] / summary["total_seconds"]
    return run["measured"]["cpu_seconds"] * share


def _train(line: str, seed: int, arguments: argparse.Namespace) -> None:
    flags = [
        *_flags(*LINES[line]),
        f"--gin_param=NUM_EPOCHS={arguments.num_epochs}",
        f"--gin_param=NUM_TASKS={arguments.num_tasks}",
        f"--seed={seed}",
        *(f"--gin_param={binding}" for binding in arguments.gin_param),
    ]
    runs.train(f"{line}, seed {seed}", flags, _workdir(line, seed, arguments))


def _flags(learner: str, *rest: str) -> list[str]:
    """Returns what `bin/train` is told of a line."""
    flags = [f"--gin_file=gin/{learner}_cifar.gin"]
    for word in rest:
        is_binding = "=" in word
        name = word if "/" in word else f"methods/{word}"
        flags.append(
            f"--gin_param={word}"
            if is_binding
            else f"--gin_file=gin/{name}.gin"
        )
    return flags


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
    parser.add_argument(
        "--lines",
        nargs="+",
        choices=LINES,
        metavar="LINE",
        help='some only, such as "HPS, All"; a wrong one lists all',
    )
    parser.add_argument(
        "--gin_param",
        action="append",
        default=[],
        help="one more binding, of every run; can be given again",
    )
    parser.add_argument("--report", action="store_true", help="run nothing")
    return parser


if __name__ == "__main__":
    main()

"""What fifty tasks one after another cost: time, memory, compilation.

    python benchmarks/long_stream.py
    python benchmarks/long_stream.py --num_tasks 10 --json long_stream.json

LASEM on CIFAR's network and images of noise. Each task is begun, trained for
a few epochs of a few steps, ended. "start" is everything from the task's
beginning to the end of its first step, compilation included; "step" the
fastest epoch after that, per step; "traces" how often the step was traced.
"""

from __future__ import annotations

import argparse
import gc
import pathlib
import time
from typing import Any

import measuring
import numpy as np
import step_time

from lasem_tf import methods
from lasem_tf.reports.table import aligned_rows

NETWORK = "cifar"
BATCH_SIZE = 10
STEPS = 5
EPOCHS = 5


def main() -> None:
    arguments = _parser().parse_args()
    backbone, _ = step_time.NETWORKS[NETWORK]
    method = methods.Lasem(backbone, step_time.LEARNERS["hps"]())
    batches = step_time.make_batches(NETWORK, BATCH_SIZE, STEPS)
    first = batches.take(1)
    found = [
        _learn(method, number, first, batches)
        for number in range(arguments.num_tasks)
    ]
    own = 4 * method.num_parameters / arguments.num_tasks / 2**20
    summary = [*_summary(found), f"parameters per task: {own:.2f} MiB"]
    header = ["task", "start s", "step ms", "resident MiB", "traces"]
    rows = [
        [str(value) for value in list(result.values())[: len(header)]]
        for result in found
    ]
    text = "\n".join([*aligned_rows(header, rows, 0), "", *summary])
    print(text)
    measuring.write_report(arguments, {"tasks": found, "table": text})


def _learn(
    method: methods.Lasem, number: int, first: Any, batches: Any
) -> dict[str, float]:
    """Learns one task and says what it took."""
    task = step_time.noise_task(NETWORK, step_time.NUM_CLASSES)
    began = time.perf_counter()
    method.begin_task(task)
    method.train_epoch(first, 0)
    start = time.perf_counter() - began
    epochs = []
    for epoch in range(1, EPOCHS + 1):
        began = time.perf_counter()
        method.train_epoch(batches, epoch)
        epochs.append(time.perf_counter() - began)
    traces = method._trainer.compiled_epoch.num_traces
    method.end_task()
    gc.collect()
    return {
        "task": number + 1,
        "start_seconds": round(start, 2),
        "step_milliseconds": round(1000 * min(epochs) / STEPS, 1),
        "resident_mebibytes": _resident_mebibytes(),
        "traces": traces,
        "epoch_seconds": epochs,
        "spread": measuring.spread(epochs),
    }


def _resident_mebibytes() -> int:
    """Returns what the process holds now; Linux only."""
    status = pathlib.Path("/proc/self/status").read_text()
    (row,) = (row for row in status.splitlines() if row.startswith("VmRSS"))
    return round(int(row.split()[1]) / 1024)


def _summary(found: list[dict[str, float]]) -> list[str]:
    """Compares the last tasks with the first, by medians of up to ten."""
    few = max(1, min(10, len(found) // 2))

    def median(name: str, part: slice) -> float:
        return float(np.median([result[name] for result in found[part]]))

    early, late = slice(0, few), slice(-few, None)
    ratio = median("step_milliseconds", late) / median(
        "step_milliseconds", early
    )
    steps = [result["step_milliseconds"] for result in found]
    growth = median("resident_mebibytes", late) - median(
        "resident_mebibytes", early
    )
    return [
        f"step, last to first {few} tasks: {ratio:.2f}",
        f"step, last to first task: {steps[-1] / steps[0]:.2f}",
        f"memory per task: {growth / max(1, len(found) - few):.2f} MiB",
        f"start of a further task: {median('start_seconds', late):.1f} s",
    ]


def _parser() -> argparse.ArgumentParser:
    parser = measuring.parser(__doc__)
    parser.add_argument("--num_tasks", type=int, default=50)
    return parser


if __name__ == "__main__":
    main()

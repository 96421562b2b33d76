"""Peak resident memory of a training step, by depth and configurations.

    python benchmarks/memory.py
    python benchmarks/memory.py --networks stl10_nine_layers --json memory.json

Each case runs in processes of its own, --rounds of them: two steps of batch
size 10 on images of noise, in the second task of its stream, so that there is
something to share. "static" trains all-shared, "lasem" all configurations with
a posterior spread over all, or with --configurations so many of them drawn at
random. What the process holds before the first step
(TensorFlow itself, most of all) is shown apart, and so is what tensors took of
a GPU at most.
"""

from __future__ import annotations

import argparse
import functools
import json
import resource
import subprocess
import sys
from typing import Any

import measuring
import numpy as np
import step_time
import tensorflow as tf

from lasem_tf import methods
from lasem_tf.reports.table import aligned_rows

# With this likelihood the posterior stays spread.
UNDECIDED = functools.partial(methods.Lasem, likelihood="mean")
METHODS = {"static": methods.Static, "lasem": UNDECIDED}
ALL = 0  # Configurations.
BATCH_SIZE = 10


def main() -> None:
    arguments = _parser().parse_args()
    if arguments.case:
        network, method, number = arguments.case
        print(json.dumps(_measure(network, method, int(number))))
        return
    found = [
        _in_own_processes(network, method, number, arguments.rounds)
        for network in arguments.networks
        for method in METHODS
        for number in (arguments.configurations if method == "lasem" else [ALL])
        if number < 2 ** step_time.depth(network)
    ]
    header = ["network", "method", "configurations"]
    header += ["before MiB", "peak MiB", "GPU peak MiB"]
    rows = [
        [str(value) for value in list(result.values())[: len(header)]]
        for result in found
    ]
    text = "\n".join(aligned_rows(header, rows, num_text_columns=2))
    print(text)
    measuring.write_report(arguments, {"cases": found, "table": text})


def _in_own_processes(
    network: str, method: str, number: int, num_rounds: int
) -> dict[str, Any]:
    """Returns the median process, and what peaks all of them had."""
    found = [
        _in_own_process(network, method, number) for _ in range(num_rounds)
    ]
    found.sort(key=lambda result: result["peak_mebibytes"])
    peaks = [result["peak_mebibytes"] for result in found]
    return {
        **found[num_rounds // 2],
        "peaks": peaks,
        "spread": measuring.spread(peaks),
    }


def _in_own_process(
    network: str, method: str, number: int
) -> dict[str, str | int]:
    result = subprocess.run(
        [sys.executable, __file__, "--case", network, method, str(number)],
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(result.stdout.splitlines()[-1])


def _measure(network: str, method: str, number: int) -> dict[str, str | int]:
    """Returns what two steps needed in this process."""
    batches = step_time.make_batches(network, BATCH_SIZE, steps=1)
    some = {} if number == ALL else {"candidates": _drawn(network, number)}
    begun = step_time.begin_second_task(network, "hps", METHODS[method], **some)
    before = _peak_mebibytes()
    for epoch in range(2):
        result = begun.train_epoch(batches, epoch)
    return {
        "network": network,
        "method": method,
        "configurations": len(result.posterior),
        "before_mebibytes": before,
        "peak_mebibytes": _peak_mebibytes(),
        "gpu_peak_mebibytes": _gpu_peak_mebibytes(),
    }


def _drawn(network: str, number: int) -> list[str]:
    """Returns distinct configurations, the same in every run."""
    depth = step_time.depth(network)
    drawn = np.random.default_rng(0).permutation(2**depth)[:number]
    return [
        format(bits, f"0{depth}b").replace("1", "S").replace("0", "T")
        for bits in drawn
    ]


def _peak_mebibytes() -> int:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return round(measuring.peak_memory_bytes(used) / 2**20)


def _gpu_peak_mebibytes() -> int:
    """Returns what tensors took of the first GPU at most, 0 without one."""
    if not tf.config.list_physical_devices("GPU"):
        return 0
    return round(
        tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20
    )


def _parser() -> argparse.ArgumentParser:
    parser = measuring.parser(__doc__)
    parser.add_argument(
        "--networks",
        nargs="+",
        choices=step_time.NETWORKS,
        default=list(step_time.NETWORKS),
    )
    parser.add_argument(
        "--configurations",
        nargs="+",
        type=int,
        default=[ALL],
        help=f"of each network's, where it has more; {ALL}: all",
    )
    parser.add_argument("--rounds", type=int, default=3, help="samples each")
    parser.add_argument(
        "--case",
        nargs=3,
        metavar=("NETWORK", "METHOD", "CONFIGURATIONS"),
        help="measure one case in this process and print it",
    )
    return parser


if __name__ == "__main__":
    main()

"""Times variants side by side, and says on what they were timed.

Scripts import this module first: it lets them find the library beside it.
"""

from __future__ import annotations

import argparse
import datetime
import os
import pathlib
import platform
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from lasem_tf.files import write_json  # noqa: E402

_START = datetime.datetime.now(datetime.timezone.utc)


def interleaved(
    variants: Mapping[str, Callable[[], Any]], num_rounds: int
) -> dict[str, list[float]]:
    """Returns seconds per call of each variant, one per round.

    Every round calls every variant once, so that whatever else the machine
    does meets all of them alike. One round before that is for compiling.

    Args:
        variants: What to time, by name; each must return only when its work
            is done.
        num_rounds: How often.
    """
    for call in variants.values():
        call()
    seconds = {name: [] for name in variants}
    for _ in range(num_rounds):
        for name, call in variants.items():
            began = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def ratios(
    samples: Mapping[str, list[float]], to: str
) -> dict[str, dict[str, float]]:
    """Returns each variant's median ratio to another one, and its spread.

    Ratios are taken within a round, where both met the same machine.

    Args:
        samples: Seconds per round, by variant.
        to: The variant that counts as 1.

    Returns:
        By variant: `median`, and `low` and `high`, the quartiles.
    """
    return {
        name: spread([a / b for a, b in zip(own, samples[to], strict=True)])
        for name, own in samples.items()
    }


def spread(samples: Sequence[float]) -> dict[str, float]:
    """Returns the `median` of samples, and `low` and `high`, the quartiles."""
    low, median, high = np.quantile(samples, [0.25, 0.5, 0.75]).tolist()
    return {"median": median, "low": low, "high": high}


def parser(description: str) -> argparse.ArgumentParser:
    """Returns a parser with the flags that every script has."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    made.add_argument("--json", type=pathlib.Path, help="write the report")
    return made


def write_report(
    arguments: argparse.Namespace, content: dict[str, Any]
) -> None:
    """Writes what was measured, how and on what, if `--json` asks for it."""
    if arguments.json is not None:
        # Not above: a comparison need not wait for TensorFlow to say `--help`.
        from lasem_tf.training.provenance import describe_circumstances

        content = {
            "script": pathlib.Path(sys.argv[0]).name,
            "flags": _without_paths(vars(arguments)),
            **describe_circumstances(),
            "start": _START.isoformat(timespec="seconds"),
            "machine": machine(),
            **content,
        }
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        write_json(arguments.json, content)


def _without_paths(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Leaves out what means nothing on another machine."""
    return {
        name: value
        for name, value in flags.items()
        if not any(
            isinstance(part, pathlib.Path)
            for part in (value if isinstance(value, list) else [value])
        )
    }


def peak_memory_bytes(used: resource.struct_rusage) -> int:
    """Returns the peak resident memory that a process' usage tells."""
    return used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def machine() -> dict[str, Any]:
    """Returns processor, usable cores and system of this machine."""
    model = platform.processor() or platform.machine()
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for row in cpuinfo.read_text().splitlines():
            if row.startswith("model name"):
                model = row.partition(":")[2].strip()
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "processor": model,
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "system": platform.system(),
    }

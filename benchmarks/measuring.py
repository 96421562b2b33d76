"""Times variants side by side, and says on what they were timed."""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import os
import pathlib
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from lasem_tf.files import write_json  # noqa: E402


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
    found = {}
    for name, own in samples.items():
        of_rounds = [a / b for a, b in zip(own, samples[to], strict=True)]
        low, median, high = (
            statistics.quantiles(of_rounds, n=4, method="inclusive")
            if len(of_rounds) > 1
            else of_rounds * 3
        )
        found[name] = {"median": median, "low": low, "high": high}
    return found


def table(header: list[str], rows: list[list[object]]) -> str:
    """Returns a Markdown table."""
    texts = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in texts)


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
        flags = {n: v for n, v in vars(arguments).items() if n != "json"}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        write_json(arguments.json, {**circumstances(flags), **content})


def circumstances(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Returns script, flags, date, versions and machine."""
    # Not above: cifar_comparison needs no TensorFlow to say its `--help`.
    from lasem_tf.training.provenance import git_revision

    now = datetime.datetime.now(datetime.timezone.utc)
    return {
        "script": pathlib.Path(sys.argv[0]).name,
        "flags": dict(flags),
        "date": now.isoformat(timespec="seconds"),
        "git_revision": git_revision(REPOSITORY),
        "versions": {
            "python": platform.python_version(),
            **{
                package: importlib.metadata.version(package)
                for package in ("tensorflow", "keras", "numpy")
            },
        },
        "machine": machine(),
    }


def machine() -> dict[str, Any]:
    """Returns processor, usable cores and system."""
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

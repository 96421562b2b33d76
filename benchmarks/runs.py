"""Runs of `bin/train` that a comparison is made of, to be taken up again."""

from __future__ import annotations

import json
import os
import pathlib
import resource
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import measuring

from lasem_tf.files import write_json

_MEASURED = "measured.json"


def train(title: str, flags: Sequence[str], folder: pathlib.Path) -> None:
    """Trains, or continues; repeats nothing if the run is complete.

    Args:
        title: What to announce it as.
        flags: Of `bin/train`, without `--workdir`.
        folder: The workdir.

    Raises:
        subprocess.CalledProcessError: If it fails or is interrupted.
    """
    command = [sys.executable, "bin/train", *flags]
    print(f"{title}: {' '.join(command[1:])}", flush=True)
    command.append(f"--workdir={folder.resolve()}")
    before = _last_change(folder)
    process = subprocess.Popen(command, cwd=measuring.REPOSITORY)
    interruption = None
    try:
        _, status, used = os.wait4(process.pid, 0)
    except KeyboardInterrupt as asked:
        # The run has been told too; it finishes its epoch.
        interruption = asked
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    # Of a sitting that was interrupted too, but of none that trained nothing:
    # the run was complete, or it was refused, perhaps on another machine.
    if _last_change(folder) != before:
        _keep_measured(folder / _MEASURED, used)
    if interruption is not None:
        raise interruption
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def _last_change(folder: pathlib.Path) -> int:
    """Returns when a run last finished an epoch, in ns; 0 if it never did."""
    path = folder / "metrics.csv"
    return path.stat().st_mtime_ns if path.is_file() else 0


def _keep_measured(path: pathlib.Path, used: resource.struct_rusage) -> None:
    """Adds a sitting of a run to what is known of it, and what ran it."""
    machine = measuring.machine()
    seconds = used.ru_utime + used.ru_stime
    peak = measuring.peak_memory_bytes(used)
    found = {"machine": machine, "peak_memory_bytes": peak}
    if not path.is_file():
        write_json(path, found | {"cpu_seconds": seconds})
        return
    known = json.loads(path.read_text())
    found["peak_memory_bytes"] = max(peak, known["peak_memory_bytes"])
    # Seconds of two machines have no sum.
    if known["machine"] == machine and "cpu_seconds" in known:
        found["cpu_seconds"] = seconds + known["cpu_seconds"]
    write_json(path, found)


def anonymous_command(run: dict[str, Any], folder: pathlib.Path) -> str:
    """Returns a run's command without the place where it lay.

    Args:
        run: What its `run.json` holds.
        folder: Its workdir.
    """
    return run["command"].replace(str(folder.parent.resolve()), "WORKDIR")


def complete_run(folder: pathlib.Path) -> dict[str, Any] | None:
    """Returns what is known of a run, `None` if it is not complete.

    Its `summary`, its `run`, and `measured` where `train` has run it.

    Args:
        folder: Its workdir; need not exist.
    """
    path = folder / "run.json"
    run = json.loads(path.read_text()) if path.is_file() else {}
    if run.get("state") != "complete":
        return None
    run["command"] = anonymous_command(run, folder)
    # `content` tells the data apart; every class of every task is too much.
    run.pop("tasks", None)
    found = {
        "summary": json.loads((folder / "summary.json").read_text()),
        "run": run,
    }
    if (folder / _MEASURED).is_file():
        found["measured"] = json.loads((folder / _MEASURED).read_text())
    return found

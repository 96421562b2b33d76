"""Runs of `bin/train` that a comparison is made of, to be taken up again."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import measuring


def train(title: str, flags: Sequence[str], folder: pathlib.Path) -> None:
    """Trains, or continues; does nothing if the run is complete.

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
    subprocess.run(command, cwd=measuring.REPOSITORY, check=True)


def complete_run(folder: pathlib.Path) -> dict[str, Any] | None:
    """Returns `summary` and `run` of a run, `None` if it is not complete.

    Args:
        folder: Its workdir; need not exist.
    """
    path = folder / "run.json"
    run = json.loads(path.read_text()) if path.is_file() else {}
    if run.get("state") != "complete":
        return None
    # Where it lay on this machine is of no use to anyone else.
    place = str(folder.parent.resolve())
    run["command"] = run["command"].replace(place, "WORKDIR")
    return {
        "summary": json.loads((folder / "summary.json").read_text()),
        "run": run,
    }

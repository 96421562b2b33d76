"""Where a run came from: what `run.json` says beside its state."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import pathlib
import platform
import shlex
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lasem_tf.tasks import TaskStream


def describe_run(seed: int) -> dict[str, Any]:
    """Returns what one needs to know to repeat or to doubt a run.

    Args:
        seed: The one seed of the run.

    Returns:
        What `run.json` holds, `state` excepted: `command`, `seed`,
        `versions`, `device`, `git_revision` and `start` (ISO 8601, UTC).
    """
    return {
        "command": shlex.join(sys.argv),
        "seed": seed,
        **describe_circumstances(),
    }


def describe_circumstances() -> dict[str, Any]:
    """Returns what ran, on what and when.

    Returns:
        `versions`, `device`, `git_revision` and `start` (ISO 8601, UTC).
    """
    now = datetime.datetime.now(datetime.timezone.utc)
    return {
        "versions": _versions(),
        "device": _devices(),
        "git_revision": git_revision(pathlib.Path(__file__).parent),
        "start": now.isoformat(timespec="seconds"),
    }


def describe_tasks(stream: TaskStream) -> list[dict[str, Any]]:
    """Returns what each task is about, and how it was made.

    Args:
        stream: The tasks.

    Returns:
        Per task `name`, `class_names`, `num_train`, `num_validation`,
        `num_test`, and `details` as `Task.details` has them.
    """
    return [
        {
            "name": task.name,
            "class_names": list(task.class_names),
            "num_train": int(task.train.cardinality()),
            "num_validation": int(task.validation.cardinality()),
            "num_test": int(task.test.cardinality()),
            "details": dict(task.details),
        }
        for task in stream
    ]


def git_revision(folder: pathlib.Path) -> str | None:
    """Returns the commit that a folder's files come from.

    Args:
        folder: Any folder.

    Returns:
        The full hash, with `-dirty` behind it if tracked files have changed;
        `None` if git is missing, has no commit yet or does not track the
        folder (a package installed below somebody's project is not part of
        that project).
    """
    if not _git(folder, "ls-files"):
        return None
    return _git(
        folder, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"
    )


def _git(folder: pathlib.Path, *arguments: str) -> str | None:
    # Reading must not take the lock that a commit at the same time needs.
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            check=True,
            text=True,
            timeout=10,
            env=environment,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _versions() -> dict[str, str | None]:
    try:
        own_version = importlib.metadata.version("lasem_tf")
    except importlib.metadata.PackageNotFoundError:
        own_version = None  # Used from a source tree that is not installed.
    return {
        "lasem_tf": own_version,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
    }


def _devices() -> list[str]:
    """Returns the logical devices, each with what it stands for."""
    graphics_cards = [
        tf.config.experimental.get_device_details(device).get("device_name")
        for device in tf.config.list_physical_devices("GPU")
    ]
    meanings = {
        "CPU": [f"{os.cpu_count()} cores"],
        "GPU": graphics_cards,
    }
    return [
        f"{device.name} ({meaning})"
        for kind, of_kind in meanings.items()
        for device, meaning in zip(
            tf.config.list_logical_devices(kind), of_kind, strict=False
        )
    ]

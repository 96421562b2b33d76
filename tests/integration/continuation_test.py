"""A LASEM run of the real bin/train, stopped in every way there is."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from lasem_tf.recipes import REPOSITORY

NUM_EPOCHS = 4
COMMAND = [
    sys.executable,
    str(REPOSITORY / "bin" / "train"),
    "--gin_file=gin/quickstart.gin",
    f"--gin_param=NUM_EPOCHS={NUM_EPOCHS}",
    "--gin_param=NUM_TASKS=2",
    "--gin_param=run_experiment.checkpoint_every=2",
    "--deterministic",
]
# Signal, and the epoch over all tasks after which it is sent.
STOPS = [
    (signal.SIGKILL, 0),
    (signal.SIGINT, 2),
    (signal.SIGKILL, 4),
    (signal.SIGTERM, 5),
]
# What differs between two sittings of the same run.
CLOCKS = ("train_seconds", "total_seconds")


def start(workdir):
    return subprocess.Popen(
        [*COMMAND, f"--workdir={workdir}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def has_finished_epoch(workdir, global_epoch):
    path = workdir / "metrics.csv"
    lines = path.read_text().splitlines() if path.is_file() else []
    return any(line.startswith(f"{global_epoch},") for line in lines)


def stopped(workdir, number, global_epoch):
    """Runs until the epoch, sends the signal, returns the exit code."""
    process = start(workdir)
    deadline = time.monotonic() + 300
    while not has_finished_epoch(workdir, global_epoch):
        assert process.poll() is None, "the run ended before it was stopped"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, number)
    return process.wait(timeout=120)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("continuation")
    alone, again = folder / "alone", folder / "again"
    assert start(alone).wait(timeout=300) == 0
    codes = [stopped(again, *stop) for stop in STOPS]
    assert start(again).wait(timeout=300) == 0
    return alone, again, codes


def test_exit_codes_tell_how_it_was_stopped(runs):
    assert runs[2] == [-signal.SIGKILL, 130, -signal.SIGKILL, 130]


@pytest.mark.parametrize(
    "name", ["metrics.csv", "configurations.csv", "accuracy_matrix.csv"]
)
def test_a_stopped_run_ends_with_the_bytes_of_the_run_left_alone(runs, name):
    alone, again, _ = runs
    assert (again / name).read_bytes() == (alone / name).read_bytes()


def test_its_summary_is_the_same_but_for_the_clock(runs):
    summaries = [
        json.loads((run / "summary.json").read_text()) for run in runs[:2]
    ]
    for summary in summaries:
        for clock in CLOCKS:
            assert summary.pop(clock) > 0
    assert summaries[0] == summaries[1]
    assert json.loads((runs[1] / "run.json").read_text())["state"] == "complete"

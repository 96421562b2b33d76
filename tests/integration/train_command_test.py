"""The real bin/train, with tiny bindings, from another folder."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from lasem_tf.recipes import REPOSITORY

COMMAND = [sys.executable, str(REPOSITORY / "bin" / "train")]
TINY = [
    "--gin_file=gin/quickstart.gin",
    "--gin_file=methods/static.gin",
    "--gin_param=NUM_EPOCHS=2",
    "--gin_param=NUM_TASKS=2",
    "--deterministic",
]


def _environment():
    return {k: v for k, v in os.environ.items() if "TF_CPP" not in k}


def _train(folder, *arguments):
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="module")
def first(folder):
    result = _train(folder, *TINY, "--workdir=first", "--seed=1")
    assert result.returncode == 0, result.stderr
    return result


def _files(workdir):
    return {
        path.relative_to(workdir): path.read_bytes()
        for path in sorted(workdir.rglob("*"))
        if path.is_file()
    }


def test_a_run_ends_with_the_table_and_the_report(first, folder):
    assert "Workdir: first\n" in first.stdout
    assert "static on hps: digits, 2 tasks × 2 epochs, seed 1" in first.stdout
    assert "| mean |" in first.stdout
    assert "Report: first/summary.json" in first.stdout
    summary = json.loads((folder / "first" / "summary.json").read_text())
    assert summary["selected_configurations"] == ["SSS", "SSS"]


def test_nothing_is_told_beside_it_where_there_is_no_terminal(first):
    assert first.stderr == ""


def test_every_file_of_the_contract_is_there(first, folder):
    workdir = folder / "first"
    for name in (
        "operative_config.gin",
        "run.json",
        "metrics.csv",
        "configurations.csv",
        "accuracy_matrix.csv",
        "summary.json",
        "exports/task_00/saved_model.pb",
        "exports/task_01/assets/class_names.txt",
    ):
        assert (workdir / name).is_file(), name
    assert any((workdir / "checkpoints").iterdir())
    assert any((workdir / "tensorboard").iterdir())
    run = json.loads((workdir / "run.json").read_text())
    assert (run["state"], run["seed"]) == ("complete", 1)


def test_the_same_command_does_nothing_more(first, folder):
    before = _files(folder / "first")
    again = _train(folder, *TINY, "--workdir=first", "--seed=1")
    assert again.returncode == 0, again.stderr
    assert again.stdout == first.stdout
    assert _files(folder / "first") == before


def test_another_configuration_is_refused(first, folder):
    before = _files(folder / "first")
    result = _train(
        folder, *TINY, "--workdir=first", "--seed=1", "--gin_param=BATCH_SIZE=5"
    )
    assert result.returncode == 2
    assert result.stderr == (
        "ERROR: A workdir can be continued with the configuration that began "
        "it only: 'first' was begun with `BATCH_SIZE = 10`. Received: "
        "BATCH_SIZE = 5. Choose another `--workdir`, or the earlier value.\n"
    )
    assert _files(folder / "first") == before


def test_the_told_configuration_alone_repeats_the_run(first, folder):
    told = folder / "first" / "operative_config.gin"
    result = _train(folder, f"--gin_file={told}")
    assert result.returncode == 0, result.stderr
    workdir = folder / "runs" / "repeat_of_first_seed1"
    for name in (told.name, "metrics.csv", "configurations.csv"):
        again = (workdir / name).read_text()
        assert again == (folder / "first" / name).read_text(), name


def test_ctrl_c_finishes_the_epoch_saves_and_exits_with_130(folder):
    arguments = [*TINY, "--gin_param=NUM_EPOCHS=100000", "--workdir=long"]
    with subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=folder,
        env=_environment(),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as process:
        metrics = folder / "long" / "metrics.csv"
        deadline = time.monotonic() + 300
        while not (metrics.is_file() and metrics.read_text().count("\n") > 3):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        error = process.communicate(timeout=120)[1]
    assert process.returncode == 130
    assert "the same command continues" in error
    assert "Traceback" not in error
    run = json.loads((folder / "long" / "run.json").read_text())
    assert run["state"] == "interrupted"
    assert any((folder / "long" / "checkpoints").glob("*/progress.json"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "`--gin_file` must name at least one recipe. Received: none."),
        (["--gin_fil=x"], "Unknown command line flag 'gin_fil'."),
        (["--gin_file=gin/no.gin"], "Received: 'gin/no.gin'."),
        ([*TINY, "--seed=one"], "--seed=one"),
        ([*TINY, "stray"], "must be a flag that begins with '--'."),
        ([*TINY, "--gin_param=NUM_EPOCHS"], "must read NAME=VALUE."),
        ([*TINY, "--gin_param=NUM_EPOCH=3"], "Did you mean 'NUM_EPOCHS'?"),
        (
            [*TINY, '--gin_param=Static.configuration="TS"'],
            "one letter per convolutional layer, here 3. Received: 'TS'",
        ),
        ([*TINY, "--workdir=/dev/null/x"], "folder that this user can write"),
    ],
)
def test_wrong_input_exits_with_2_in_one_line(tmp_path, arguments, message):
    result = _train(tmp_path, *arguments)
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    assert result.stderr.startswith("ERROR: ")
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.glob("runs/*"))

import json
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]


def call(script, *arguments):
    return subprocess.run(
        [sys.executable, ROOT / "bin" / script, *arguments],
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The workdir of a short run on real images."""
    workdir = tmp_path_factory.mktemp("runs") / "finished"
    result = call(
        "train",
        "--gin_file=gin/quickstart.gin",
        "--gin_param=NUM_TASKS=2",
        "--gin_param=NUM_EPOCHS=1",
        f"--workdir={workdir}",
    )
    assert result.returncode == 0, result.stderr
    return workdir


@pytest.fixture
def workdir(finished, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(finished, tmp_path / "run")


def final_accuracies(table):
    rows = [line.split("|") for line in table.splitlines()]
    return [row[5].strip() for row in rows if len(row) > 5][2:]


def test_exports_agree_with_the_summary(finished):
    result = call("evaluate", finished)

    summary = json.loads((finished / "summary.json").read_text())
    fractions = [*summary["final_accuracy"], summary["mean_final_accuracy"]]
    assert result.returncode == 0, result.stderr
    assert final_accuracies(result.stdout) == [
        f"{100 * fraction:.1f}" for fraction in fractions
    ]
    assert "answer as summary.json says" in result.stdout


def test_summary_that_promises_more_is_found_out(workdir):
    path = workdir / "summary.json"
    summary = json.loads(path.read_text())
    measured = summary["final_accuracy"][1]
    summary["final_accuracy"][1] = measured + 0.1
    path.write_text(json.dumps(summary))

    result = call("evaluate", f"--workdir={workdir}")

    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("MISMATCH: task 1: the export answers ")
    # The table shows what the exports do, not what the summary says.
    assert final_accuracies(result.stdout)[1] == f"{100 * measured:.1f}"


def test_workdir_with_an_export_missing_is_refused(workdir):
    shutil.rmtree(workdir / "exports" / "task_01")

    result = call("evaluate", workdir)

    assert result.returncode == 2
    assert result.stderr == (
        "ERROR: There must be one export for each of the 2 tasks of 'digits'. "
        f"Received: 1 in {workdir}. Let the run finish: the command that "
        "began it continues it.\n"
    )


def test_folder_without_a_run_is_refused(tmp_path):
    result = call("evaluate", tmp_path)

    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("ERROR: A finished run has a `summary.json`.")


def test_two_workdirs_are_refused(tmp_path):
    result = call("evaluate", tmp_path, tmp_path)

    assert result.returncode == 2
    assert result.stderr == (
        "ERROR: bin/evaluate takes one workdir. Received: 2 of them. "
        "Run `bin/evaluate WORKDIR`.\n"
    )

import dataclasses
import datetime
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
import tensorflow as tf

from lasem_tf.tasks import TaskStream
from lasem_tf.training.provenance import (
    describe_run,
    describe_tasks,
    git_revision,
)
from tests.methods import tiny


def test_says_what_each_task_is_about_and_how_it_was_made():
    task = dataclasses.replace(
        tiny.task(num_images=12), name="birds", details={"noise_mean": -0.1}
    )
    (told,) = json.loads(json.dumps(describe_tasks(TaskStream("t", (task,)))))
    assert told == {
        "name": "birds",
        "class_names": list(task.class_names),
        "num_train": 12,
        "num_validation": len(task.validation),
        "num_test": len(task.test),
        "details": {"noise_mean": -0.1},
    }


def test_describes_where_a_run_came_from(monkeypatch):
    monkeypatch.setattr("sys.argv", ["bin/train", "--gin_param=X = 'a b'"])

    described = json.loads(json.dumps(describe_run(seed=5)))

    assert (
        described["command"] == """bin/train '--gin_param=X = '"'"'a b'"'"''"""
    )
    assert described["seed"] == 5
    assert described["versions"]["tensorflow"] == tf.__version__
    assert described["versions"]["numpy"] == np.__version__
    assert set(described["versions"]) == {
        "lasem_tf",
        "python",
        "tensorflow",
        "keras",
        "numpy",
    }
    start = datetime.datetime.fromisoformat(described["start"])
    assert start.utcoffset() == datetime.timedelta(0)
    assert re.fullmatch(r"/device:CPU:0 \(\d+ cores\)", described["device"][0])


@pytest.fixture
def repository(tmp_path):
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    _git(tmp_path, "init")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "module.py").write_text("x = 1\n")
    return tmp_path


def _git(folder, *arguments):
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    subprocess.run(
        ["git", "-C", folder, *identity, *arguments],
        check=True,
        capture_output=True,
    )


def _commit(repository):
    _git(repository, "add", "-A")
    _git(repository, "commit", "-m", "x", "--no-verify", "--no-gpg-sign")


def test_revision_is_the_commit(repository):
    _commit(repository)

    revision = git_revision(repository / "package")

    assert re.fullmatch("[0-9a-f]{40}", revision)


def test_revision_says_that_files_have_changed(repository):
    _commit(repository)
    clean = git_revision(repository / "package")

    (repository / "package" / "module.py").write_text("x = 2\n")

    assert git_revision(repository / "package") == f"{clean}-dirty"


def test_no_revision_before_the_first_commit(repository):
    _git(repository, "add", "-A")

    assert git_revision(repository / "package") is None


def test_no_revision_for_a_folder_that_is_not_tracked(repository):
    _commit(repository)
    (repository / "site-packages").mkdir()
    (repository / "site-packages" / "module.py").write_text("x = 1\n")

    assert git_revision(repository / "site-packages") is None


def test_no_revision_without_a_repository(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

    assert git_revision(tmp_path) is None


def test_no_revision_without_git(repository, monkeypatch):
    _commit(repository)
    monkeypatch.setenv("PATH", "")

    assert git_revision(repository / "package") is None

"""The example of docs/adding_a_method.md does what the page says."""

import importlib
import json
import re
import subprocess
import sys

import gin
import numpy as np
import pytest
import tensorflow as tf

from lasem_tf.recipes import REPOSITORY
from tests.methods import tiny

PAGE = (REPOSITORY / "docs" / "adding_a_method.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", PAGE, re.DOTALL)
(MODULE, FROM_PYTHON) = [text for kind, text in BLOCKS if kind == "python"]
(RECIPE,) = [text for kind, text in BLOCKS if kind == ""]
(COMMAND,) = [text for kind, text in BLOCKS if kind == "bash"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A user's folder, with the two files of the page.

    One for all tests: gin registers a name once in a process.
    """
    folder = tmp_path_factory.mktemp("user")
    (folder / "warm_start.py").write_text(MODULE)
    (folder / "warm_start.gin").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        # Tests before this one may have read recipes, after which gin takes
        # no new names unless it is told to.
        with gin.unlock_config():
            importlib.import_module("warm_start")
        yield folder
    sys.modules.pop("warm_start", None)


def test_it_takes_forty_lines():
    code = MODULE.split("@gin.register")[1]
    assert len(code.strip().splitlines()) <= 40


def test_the_command_of_the_page(folder):
    words = COMMAND.replace("\\\n", " ").split()
    assert words[0] == "bin/train"
    command = [
        sys.executable,
        str(REPOSITORY / "bin" / "train"),
        *words[1:],
        "--gin_param=NUM_EPOCHS=2",
        "--gin_param=NUM_TASKS=3",
        "--workdir=run",
    ]
    subprocess.run(command, check=True, cwd=folder)
    summary = json.loads((folder / "run" / "summary.json").read_text())
    assert (summary["method"], summary["learner"]) == ("warm_start", "none")
    assert summary["catastrophic_forgetting_ratio"] == [1, 1]
    assert (folder / "run" / "exports" / "task_02").is_dir()


def test_the_python_of_the_page(folder):
    code = FROM_PYTHON.replace("num_epochs=20", "num_epochs=1").replace(
        "data.digits()", "data.digits(num_tasks=2)"
    )
    exec(code, {})
    assert (folder / "runs" / "warm_start" / "summary.json").is_file()


def test_it_continues_as_if_it_had_not_stopped(folder, tmp_path):
    warm_start = importlib.import_module("warm_start")

    def made():
        return warm_start.WarmStart(tiny.backbone, pull=0.5, head=tiny.head)

    method, continued = made(), made()
    method.begin_task(tiny.task())
    method.train_epoch(tiny.batches(tiny.task()), 0)
    method.end_task()
    second = tiny.task("second", seed=1)
    method.begin_task(second)
    method.train_epoch(tiny.batches(second), 1)
    tf.train.Checkpoint(**method.state).write(str(tmp_path / "state"))
    continued.rebuild_task(tiny.task(), method.selection(0))
    continued.begin_task(second)
    checkpoint = tf.train.Checkpoint(**continued.state)
    checkpoint.read(str(tmp_path / "state")).assert_consumed()
    losses = [
        each.train_epoch(tiny.batches(second), 2).loss
        for each in (method, continued)
    ]
    assert losses[0] == losses[1]


def test_it_computes_what_its_docstring_says(folder):
    warm_start = importlib.import_module("warm_start")
    method = warm_start.WarmStart(tiny.backbone, pull=0.5, head=tiny.head)
    method.begin_task(tiny.task())
    method.train_epoch(tiny.batches(tiny.task()), 0)
    method.end_task()
    method.begin_task(tiny.task("second", seed=1, num_classes=4))
    first, second = (method.task_model(i).get_weights() for i in range(2))
    for a, b in zip(first[:-2], second[:-2], strict=True):
        np.testing.assert_array_equal(a, b)
    images, labels = next(iter(tiny.batches(tiny.task(), 12)))
    near = float(method._loss(images, labels))
    method.pull = 0.0
    assert float(method._loss(images, labels)) == pytest.approx(near)
    weight = method._models[-1].weights[0]
    weight.assign_add(np.full(weight.shape, 0.1))
    moved = float(method._loss(images, labels))
    method.pull = 0.5
    added = float(method._loss(images, labels)) - moved
    expected = 0.5 * 0.01 * np.prod(weight.shape)
    assert added == pytest.approx(expected, rel=1e-3)

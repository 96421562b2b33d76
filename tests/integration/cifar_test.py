"""The main command on genuine CIFAR-100: two tasks, one epoch each."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from lasem_tf.recipes import REPOSITORY


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    tfds = pytest.importorskip("tensorflow_datasets")
    builder = tfds.builder("cifar100")
    if not builder.is_prepared():
        pytest.skip(f"CIFAR-100 is not prepared in {builder.data_dir}")
    folder = tmp_path_factory.mktemp("cifar") / "run"
    result = called(
        "train",
        "--gin_file=gin/dfcnn_cifar.gin",
        "--gin_param=NUM_TASKS=2",
        "--gin_param=NUM_EPOCHS=1",
        f"--workdir={folder}",
    )
    assert result.returncode == 0, result.stderr
    return folder


def called(script, *arguments):
    return subprocess.run(
        [sys.executable, str(REPOSITORY / "bin" / script), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def test_summary_tells_what_was_learned(workdir):
    summary = json.loads((workdir / "summary.json").read_text())
    assert summary["method"] == "lasem"
    assert summary["learner"] == "dfcnn"
    assert summary["dataset"] == "cifar100"
    # Each of 1000 test images counts, and one epoch is better than nothing
    # at worst by chance: 10 classes.
    for accuracy in summary["final_accuracy"]:
        assert accuracy * 1000 == pytest.approx(round(accuracy * 1000))
        assert accuracy > 0.05
    assert all(len(c) == 4 for c in summary["selected_configurations"])


def test_every_configuration_of_every_epoch_is_written(workdir):
    lines = (workdir / "configurations.csv").read_text().splitlines()[1:]
    assert len(lines) == 2 * 16
    posteriors = [float(line.split(",")[4]) for line in lines[:16]]
    assert sum(posteriors) == pytest.approx(1, abs=1e-5)


def test_evaluate_agrees_with_the_summary(workdir):
    result = called("evaluate", str(workdir))
    assert result.returncode == 0, result.stderr
    assert "answer as summary.json says" in result.stdout


def test_predict_names_classes_of_the_first_task(workdir, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    result = called(
        "predict",
        f"--workdir={workdir}",
        "--task=0",
        str(tmp_path / "photo.png"),
    )
    assert result.returncode == 0, result.stderr
    names = (workdir / "exports/task_00/assets/class_names.txt").read_text()
    # The authors' first class of the first task is fine label 4.
    assert names.split()[0] == "beaver"
    assert any(name in result.stdout for name in names.split())

import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from lasem_tf.export import export_task
from tests.export.small_task import (
    CLASS_NAMES,
    images_of,
    make_model,
    make_task,
)

ROOT = pathlib.Path(__file__).parents[2]


def predict(*arguments):
    return subprocess.run(
        [sys.executable, ROOT / "bin" / "predict", *arguments],
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs")
    for index in range(2):
        path = workdir / "exports" / f"task_0{index}"
        export_task(make_model(seed=index), make_task(), path)
    return workdir


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(images_of(make_task().test)[0]).save(path)
    return path


@pytest.fixture
def logo(tmp_path):
    path = tmp_path / "logo.png"
    Image.new("RGBA", (90, 40), (200, 0, 0, 128)).save(path)
    return path


def test_names_the_classes_of_every_image(workdir, photo, logo):
    result = predict(f"--workdir={workdir}", "--task=1", photo, logo)

    task = make_task()
    logits = make_model(seed=1)(task.preprocess(images_of(task.test)[:1]))
    exponentials = np.exp(logits[0].numpy() - logits.numpy().max())
    percent = 100 * exponentials / exponentials.sum()
    expected = [
        f"{percent[k]:6.1f} %  {CLASS_NAMES[k]}"
        for k in np.argsort(percent)[::-1]
    ]
    lines = result.stdout.splitlines()
    assert result.returncode == 0, result.stderr
    assert lines[:4] == [str(photo), *expected]
    assert lines[4] == (
        f"{logo} (converted from RGBA to RGB, resized from 90x40)"
    )
    assert len(lines) == 8


def test_bad_file_is_told_in_one_line(workdir, photo, tmp_path):
    (tmp_path / "notes.png").write_text("not pixels")

    result = predict(
        f"--export={workdir / 'exports' / 'task_00'}",
        photo,
        tmp_path / "notes.png",
    )

    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == (
        "ERROR: An image file that Pillow can decode is needed. Received: "
        f"'{tmp_path}/notes.png' (not an image). Check the path, or save the "
        "image anew as PNG or JPEG.\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["photo.png"],
        ["--workdir=run", "photo.png"],
        ["--workdir=run", "--task=0"],
        ["--workdir=run", "--task=0", "--export=path", "photo.png"],
    ],
)
def test_a_task_and_an_image_are_needed(arguments):
    result = predict(*arguments)

    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(
        "ERROR: bin/predict takes `--workdir` and `--task`, or `--export`, "
        "and at least one image file."
    )

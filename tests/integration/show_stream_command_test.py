import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

ROOT = pathlib.Path(__file__).parents[2]
QUICKSTART = f"--gin_file={ROOT / 'gin' / 'quickstart.gin'}"


def show_stream(folder, *arguments):
    return subprocess.run(
        [sys.executable, ROOT / "bin" / "show_stream", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
    )


def test_draws_and_counts_what_the_recipe_trains_on(tmp_path):
    result = show_stream(
        tmp_path, QUICKSTART, "--gin_param=NUM_TASKS=2", "--seed=3"
    )
    assert result.returncode == 0, result.stderr
    rows = [r for r in result.stdout.splitlines() if r.startswith("| digits")]
    assert len(rows) == 2 and " 8x8x1 " in rows[0]
    (picture,) = tmp_path.iterdir()
    assert picture.name == "quickstart-NUM_TASKS=2_stream.png"
    assert str(picture.name) in result.stdout
    with Image.open(picture) as opened:
        pixels = np.asarray(opened)
    # Heading, and two classes of eight images for each of two tasks.
    assert (pixels < 250).mean() > 0.4


def test_what_is_left_out_is_warned_of_and_counted(tmp_path):
    for number in range(20):
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (9, 9, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    path.write_text("no image")
    arguments = [
        f"--gin_file={ROOT / 'gin' / 'image_folder.gin'}",
        '--gin_param=image_folder.path="photos"',
        f'--gin_param=image_folder.cache_dir="{tmp_path / "cache"}"',
    ]
    refused = show_stream(tmp_path, *arguments)
    assert refused.returncode == 2
    assert "19.png" in refused.stderr and refused.stderr.count("\n") == 1
    skip = '--gin_param=image_folder.on_bad_image="skip"'
    shown = show_stream(tmp_path, *arguments, skip, "--output=sheet.png")
    assert shown.returncode == 0, shown.stderr
    assert "Left out as unusable: 1" in shown.stdout
    (line,) = shown.stderr.splitlines()
    assert line.startswith("Warning: Left out 'photos/b/19.png'")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "--gin_file"),
        (["--gin_file=no.gin"], "no.gin"),
        ([QUICKSTART, "--outptu=x.png"], "outptu"),
        ([QUICKSTART, "--output=x.jpg"], "x.jpg"),
        ([QUICKSTART, "--output=missing/x.png"], "missing"),
        ([QUICKSTART, "--images_per_class=0"], "images_per_class"),
        ([QUICKSTART, "--gin_param=NUM_TASKS=7"], "num_tasks=7"),
    ],
)
def test_wrong_input_is_said_in_one_line(tmp_path, arguments, named):
    result = show_stream(tmp_path, *arguments)
    assert result.returncode == 2
    assert named in result.stderr and result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())

import multiprocessing
import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from lasem_tf.checks import InputError
from lasem_tf.data import prepared_images as module
from lasem_tf.data.prepared_images import prepare_images
from lasem_tf.data.problems import BadImageWarning, Problems

SHAPE = (4, 5, 3)


def make(folder, count=5):
    paths = []
    for number in range(count):
        colour = (10 * number, 0, 255 - number)
        paths.append(folder / f"{number}.png")
        Image.new("RGB", (12, 9), colour).save(paths[-1])
    return paths


def prepare(paths, tmp_path, on_bad_image="raise", shape=SHAPE):
    return prepare_images(
        paths, shape, Problems(on_bad_image), tmp_path / "cache"
    )


@pytest.fixture
def reads(monkeypatch):
    """Counts the files that are decoded."""
    counted, read = [], module.read_image_in_thread

    def count(path, shape):
        counted.append(pathlib.Path(path).name)
        return read(path, shape)

    monkeypatch.setattr(module, "read_image_in_thread", count)
    return counted


def test_images_have_the_shape_and_order_that_was_asked_for(tmp_path):
    images, readable = prepare(make(tmp_path), tmp_path)
    assert images.shape == (5, *SHAPE) and images.dtype == np.uint8
    assert readable.all()
    assert images[:, 0, 0, 0].tolist() == [0, 10, 20, 30, 40]


def test_the_second_time_nothing_is_decoded(tmp_path, reads):
    paths = make(tmp_path)
    first, _ = prepare(paths, tmp_path)
    assert sorted(reads) == [path.name for path in paths]
    again, _ = prepare(paths, tmp_path)
    assert len(reads) == 5
    np.testing.assert_array_equal(first, again)
    assert isinstance(again, np.memmap)  # Not once more in memory.


def test_what_differs_is_read_anew(tmp_path, reads):
    paths = make(tmp_path)
    prepare(paths, tmp_path)
    prepare(paths, tmp_path, shape=(2, 2, 3))
    assert len(reads) == 10
    prepare(paths[:4], tmp_path)
    assert len(reads) == 14
    Image.new("RGB", (12, 9), (99, 99, 99)).save(paths[0])
    os.utime(paths[0], ns=(1, 1))  # Even where it has the same size.
    images, _ = prepare(paths, tmp_path)
    assert len(reads) == 19 and (images[0] == 99).all()


@pytest.mark.parametrize("name", ["images.npy", "readable.npy"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_cache_is_made_anew(tmp_path, reads, name, damage):
    paths = make(tmp_path)
    expected = np.array(prepare(paths, tmp_path)[0])
    (file,) = (tmp_path / "cache").rglob(name)
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-3])
    else:
        file.unlink()
    for _ in range(2):
        np.testing.assert_array_equal(prepare(paths, tmp_path)[0], expected)
    assert len(reads) == 10


def test_without_a_place_to_keep_them_images_are_read_each_time(
    tmp_path, reads
):
    (tmp_path / "cache").write_text("a file, where a folder should be")
    for count in (5, 10):
        images, readable = prepare(make(tmp_path), tmp_path)
        assert images.shape == (5, *SHAPE) and readable.all()
        assert len(reads) == count


def test_a_full_disk_does_no_harm(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    images, _ = prepare(make(tmp_path), tmp_path)
    assert images[:, 0, 0, 0].tolist() == [0, 10, 20, 30, 40]
    assert not list((tmp_path / "cache").iterdir())


def test_the_first_bad_file_stops_the_rest(tmp_path, reads):
    paths = make(tmp_path, count=500)
    paths[0].write_text("no image")
    with pytest.raises(InputError, match="0.png' .not an image"):
        prepare(paths, tmp_path)
    assert len(reads) < 499
    assert not list(tmp_path.rglob("*.npy"))


def test_bad_files_are_met_again_when_they_come_from_the_cache(tmp_path):
    paths = make(tmp_path)
    paths[2].write_text("no image")
    for _ in range(2):
        with pytest.warns(BadImageWarning, match="2.png"):
            images, readable = prepare(paths, tmp_path, "skip")
        assert readable.tolist() == [True, True, False, True, True]
        assert images[3, 0, 0, 0] == 30
    with pytest.raises(InputError, match="2.png"):
        prepare(paths, tmp_path)


def test_several_may_prepare_the_same_at_once(tmp_path):
    paths = make(tmp_path, count=40)
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        sums = pool.starmap(_sum_of_prepared, [(paths, tmp_path)] * 4)
    assert len(set(sums)) == 1
    kept = [path.name for path in (tmp_path / "cache").iterdir()]
    assert len(kept) == 1


def _sum_of_prepared(paths, tmp_path):
    return int(prepare(paths, tmp_path)[0].sum())

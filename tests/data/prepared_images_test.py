import io
import os
import pathlib
import resource
import sys

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


def kept_file(tmp_path):
    """Returns the only file in the cache, hidden ones included."""
    (file,) = (tmp_path / "cache").iterdir()
    return file


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
    images, _ = prepare(paths, tmp_path)
    assert len(reads) == 19 and (images[0] == 99).all()


def test_a_file_of_the_same_size_and_time_is_read_anew(tmp_path, reads):
    # As after `cp --preserve` of another one.
    paths = make(tmp_path)
    prepare(paths, tmp_path)
    before = paths[1].stat()
    Image.new("RGB", (12, 9), (11, 0, 253)).save(paths[1])
    os.utime(paths[1], ns=(before.st_atime_ns, before.st_mtime_ns))
    after = paths[1].stat()
    assert (before.st_size, before.st_mtime_ns) == (
        after.st_size,
        after.st_mtime_ns,
    )
    images, _ = prepare(paths, tmp_path)
    assert len(reads) == 10 and images[1, 0, 0].tolist() == [11, 0, 253]


def test_another_pillow_reads_anew(tmp_path, reads, monkeypatch):
    paths = make(tmp_path)
    prepare(paths, tmp_path)
    monkeypatch.setattr(module.PIL, "__version__", "0.0")
    prepare(paths, tmp_path)
    assert len(reads) == 10


@pytest.mark.parametrize("damage", ["cut", "emptied", "longer", "gone"])
def test_a_damaged_cache_is_made_anew(tmp_path, reads, damage):
    paths = make(tmp_path)
    expected = np.array(prepare(paths, tmp_path)[0])
    file = kept_file(tmp_path)
    content = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        damaged = {"cut": content[:-3], "emptied": b"", "longer": content * 2}
        file.write_bytes(damaged[damage])
    for _ in range(2):
        np.testing.assert_array_equal(prepare(paths, tmp_path)[0], expected)
    assert len(reads) == 10
    assert kept_file(tmp_path).read_bytes() == content


# Where it is kept.


def test_the_cache_is_where_caches_are(tmp_path, monkeypatch, reads):
    paths = make(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for place in ("home/.cache", "xdg"):
        if place == "xdg":
            monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        else:
            monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        prepare_images(paths, SHAPE, Problems("raise"))
        assert len(list((tmp_path / place / "lasem_tf").iterdir())) == 1
    assert len(reads) == 10
    prepare_images(paths, SHAPE, Problems("raise"), "~/.cache/lasem_tf")
    assert len(reads) == 10


def test_without_a_home_nothing_is_kept(tmp_path, monkeypatch, reads):
    def homeless(_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(pathlib.Path, "expanduser", homeless)
    monkeypatch.chdir(tmp_path)
    paths = make(tmp_path)
    for count in (5, 10):
        images, _ = prepare_images(paths, SHAPE, Problems("raise"))
        assert images[:, 0, 0, 0].tolist() == [0, 10, 20, 30, 40]
        assert len(reads) == count
    assert sorted(tmp_path.iterdir()) == paths


def test_without_a_place_to_keep_them_images_are_read_each_time(
    tmp_path, reads
):
    (tmp_path / "cache").write_text("a file, where a folder should be")
    for count in (5, 10):
        images, readable = prepare(make(tmp_path), tmp_path)
        assert images.shape == (5, *SHAPE) and readable.all()
        assert len(reads) == count


def test_a_full_disk_does_no_harm(tmp_path):
    paths = make(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        images, _ = prepare(paths, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert images[:, 0, 0, 0].tolist() == [0, 10, 20, 30, 40]
    assert not list((tmp_path / "cache").iterdir())


def test_several_may_prepare_the_same_at_once(tmp_path, monkeypatch, reads):
    paths = make(tmp_path)
    replace, others = os.replace, []

    def after_another(*args):
        # What another process does when this one has written nearly all.
        monkeypatch.setattr(os, "replace", replace)
        others.append(prepare(paths, tmp_path)[0])
        replace(*args)

    monkeypatch.setattr(os, "replace", after_another)
    images, _ = prepare(paths, tmp_path)
    assert len(reads) == 10
    (other,) = others  # Still whole, though its file was replaced.
    np.testing.assert_array_equal(images, other)
    np.testing.assert_array_equal(images, prepare(paths, tmp_path)[0])
    assert len(reads) == 10
    assert kept_file(tmp_path)


def test_a_cache_that_goes_away_at_once_does_no_harm(tmp_path, monkeypatch):
    replace = os.replace

    def clean_up(partial, place):
        replace(partial, place)
        place.unlink()

    monkeypatch.setattr(os, "replace", clean_up)
    images, _ = prepare(make(tmp_path), tmp_path)
    assert images[:, 0, 0, 0].tolist() == [0, 10, 20, 30, 40]


# Files that cannot be read.


def test_the_first_bad_file_stops_the_rest(tmp_path, reads):
    paths = make(tmp_path, count=500)
    paths[0].write_text("no image")
    with pytest.raises(InputError, match="0.png' .not an image"):
        prepare(paths, tmp_path)
    assert len(reads) < 499
    assert not list(tmp_path.rglob("*.images"))


def test_an_interruption_stops_the_rest(tmp_path, monkeypatch):
    reads = []

    def interrupt(path, _):
        reads.append(path)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "read_image_in_thread", interrupt)
    with pytest.raises(KeyboardInterrupt):
        prepare(make(tmp_path, count=500), tmp_path)
    assert len(reads) < 500


def test_bad_files_are_met_again_when_they_come_from_the_cache(tmp_path, reads):
    paths = make(tmp_path)
    paths[2].write_text("no image")
    for _ in range(2):
        with pytest.warns(BadImageWarning, match="2.png"):
            images, readable = prepare(paths, tmp_path, "skip")
        assert readable.tolist() == [True, True, False, True, True]
        assert images[3, 0, 0, 0] == 30
    with pytest.raises(InputError, match="2.png"):
        prepare(paths, tmp_path)
    assert len(reads) == 4


def test_a_bad_file_that_can_be_read_by_now_is_read(
    tmp_path, reads, monkeypatch
):
    # As where another user, who may read it, shares the cache.
    paths = make(tmp_path)
    paths[1].write_text("no image")
    size_of = module.picture_size

    def forbid(path):
        if path == paths[3]:
            raise InputError("Stop.", received="3.png", remedy="Ask.")
        return size_of(path)

    with monkeypatch.context() as patch, pytest.warns(BadImageWarning):
        patch.setattr(module, "picture_size", forbid)
        _, readable = prepare(paths, tmp_path, "skip")
    assert readable.tolist() == [True, False, True, False, True]
    problems = Problems("skip")
    with pytest.warns(BadImageWarning, match="1.png"):
        images, readable = prepare_images(
            paths, SHAPE, problems, tmp_path / "cache"
        )
    assert problems.num_left_out == 1
    assert readable.tolist() == [True, False, True, True, True]
    assert images[[0, 2, 3, 4], 0, 0, 0].tolist() == [0, 20, 30, 40]
    assert sorted(reads[:3]) == ["0.png", "2.png", "4.png"]
    assert reads[3:] == ["3.png"]


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((1, 1), "at least 2 pixels high and wide.*of 1x1"),
        ((30, 1), "at least 2 pixels high and wide.*of 30x1"),
        ((10_000, 10_000), "at most 89,478,485 pixels.*of 10000x10000"),
        ((20_000, 10_000), "200000000 pixels"),  # Pillow's own limit.
    ],
)
def test_too_small_and_too_large_images_are_named(
    tmp_path, reads, size, message
):
    paths = make(tmp_path, count=1)
    Image.new("1", size).save(paths[0])
    with pytest.raises(InputError, match=message) as raised:
        prepare(paths, tmp_path)
    assert "0.png" in str(raised.value)
    assert not reads  # Which would take its time.


def test_two_by_two_pixels_are_enough(tmp_path):
    paths = make(tmp_path, count=1)
    Image.new("RGB", (2, 2), (7, 7, 7)).save(paths[0])
    assert (prepare(paths, tmp_path)[0] == 7).all()


def test_what_does_not_fit_into_memory_is_refused(tmp_path):
    with pytest.raises(
        InputError, match=r"fit into memory.*5 images of shape .* 1,397 GiB"
    ):
        prepare(make(tmp_path), tmp_path, shape=(10**7, 10**4, 3))


def test_pillow_knows_all_formats_before_threads_start(
    tmp_path, reads, monkeypatch
):
    # Threads that make it learn them at one time take some images for none.
    known_after = []
    monkeypatch.setattr(Image, "init", lambda: known_after.append(len(reads)))
    prepare(make(tmp_path), tmp_path)
    assert known_after[0] == 0 and len(reads) == 5


# Who waits.


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_is_for_terminals_only(tmp_path, monkeypatch, capsys):
    paths = make(tmp_path)
    prepare(paths, tmp_path)
    assert capsys.readouterr() == ("", "")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    prepare(paths, tmp_path)
    assert terminal.getvalue() == ""  # Nobody has to wait.
    prepare(paths, tmp_path, shape=(2, 2, 3))
    assert "reading images |" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r")  # It leaves an empty line.

import zipfile
import zlib

import numpy as np
import pytest

from lasem_tf.checks import InputError
from lasem_tf.data import from_arrays
from lasem_tf.data.array_task import read_array_task

IMAGES = np.random.default_rng(0).integers(0, 256, (24, 5, 5, 3), np.uint8)
LABELS = np.arange(24) % 3


def test_a_file_holds_a_task(tmp_path):
    path = tmp_path / "birds.npz"
    np.savez(path, images=IMAGES, labels=LABELS, class_names=["a", "b", "c"])
    task = read_array_task(path)
    np.testing.assert_array_equal(task.train[0], IMAGES)
    np.testing.assert_array_equal(task.train[1], LABELS)
    assert (task.name, task.class_names) == ("birds", ["a", "b", "c"])
    assert task.validation is None and task.test is None


def test_files_make_a_stream(tmp_path):
    for name in ("birds", "fish"):
        np.savez(
            tmp_path / f"{name}.npz",
            images=IMAGES,
            labels=LABELS,
            test_images=255 - IMAGES[:3],
            test_labels=LABELS[:3],
        )
    stream = from_arrays([str(tmp_path / "birds.npz"), tmp_path / "fish.npz"])
    assert [task.name for task in stream] == ["birds", "fish"]
    assert len(stream[0].test) == 3
    assert stream[0].num_train + len(stream[0].validation) == 24


@pytest.mark.parametrize(
    "content", [None, b"", b"no numpy file", b"PK\x03\x04"]
)
def test_refuses_what_is_no_such_file(tmp_path, content):
    path = tmp_path / "birds.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="that `numpy.savez` wrote.*birds.npz"):
        read_array_task(path)


@pytest.mark.parametrize(
    "error",
    [
        zlib.error("invalid block type"),
        zipfile.BadZipFile("Bad CRC-32 for file 'images.npy'"),
        NotImplementedError("That compression method is not supported"),
        RuntimeError("File 'images.npy' is encrypted"),
    ],
)
def test_whatever_damage_raises_names_the_file(tmp_path, monkeypatch, error):
    def raise_it(_):
        raise error

    (tmp_path / "birds.npz").touch()
    monkeypatch.setattr(np, "load", raise_it)
    with pytest.raises(InputError, match=rf"birds.npz' \({error}\)"):
        read_array_task(tmp_path / "birds.npz")


def test_refuses_a_file_of_one_array_and_of_objects(tmp_path):
    np.save(tmp_path / "one.npy", IMAGES)
    np.savez(tmp_path / "objects.npz", images=IMAGES, labels=[{}, None])
    for name in ("one.npy", "objects.npz"):
        with pytest.raises(InputError, match="`numpy.savez` wrote"):
            read_array_task(tmp_path / name)


def test_classes_may_be_numbers(tmp_path):
    path = tmp_path / "birds.npz"
    np.savez(path, images=IMAGES, labels=LABELS, class_names=[1, 5, 7])
    assert read_array_task(path).class_names == ["1", "5", "7"]


@pytest.mark.parametrize("names", ["abc", [b"a", b"b"], [["a", "b"]], [0.5]])
def test_refuses_class_names_that_are_none(tmp_path, names):
    path = tmp_path / "birds.npz"
    np.savez(path, images=IMAGES, labels=LABELS, class_names=names)
    with pytest.raises(InputError, match="`class_names` must be .*birds.npz"):
        read_array_task(path)


@pytest.mark.parametrize(
    "names",
    [
        ("images",),
        ("images", "labels", "names"),
        ("images", "labels", "test_images"),
    ],
)
def test_refuses_other_names_and_half_a_split(tmp_path, names):
    path = tmp_path / "birds.npz"
    np.savez(path, **{name: LABELS for name in names})
    with pytest.raises(InputError, match="must hold `images` and `labels`"):
        read_array_task(path)

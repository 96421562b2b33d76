"""How data sets of TensorFlow Datasets are found, read and decoded."""

import io
import types
import urllib.error

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from lasem_tf.checks import InputError
from lasem_tf.data.tfds_images import (
    decode_images,
    prepared_builder,
    read_encoded,
)
from tests.data.fake_builder import FakeBuilder


def test_reads_what_was_written_in_its_order(tmp_path):
    builder = FakeBuilder(3, (5, 6, 3), train=2, test=1).write(tmp_path)
    train = read_encoded(builder, "train")
    assert sorted(train.labels) == [0, 0, 1, 1, 2, 2]
    images = decode_images(train.images, channels=3)
    for label in range(3):
        np.testing.assert_array_equal(
            images[train.labels == label], builder.of_class("train", label)
        )


def test_other_sizes_are_resized_without_aliasing():
    stripes = np.zeros((64, 64, 1), np.uint8)
    stripes[:, ::2] = 255
    flat = np.full((8, 16, 1), 90, np.uint8)
    encoded = np.array(
        [tf.io.encode_png(image).numpy() for image in (stripes, flat)], object
    )
    images = decode_images(encoded, channels=1, image_size=(8, 4))
    assert images.shape == (2, 8, 4, 1) and images.dtype == np.uint8
    # Every second column white: grey when shrunk, neither black nor white.
    assert 100 < images[0].min() and images[0].max() < 155
    assert (images[1] == 90).all()


def test_images_of_the_wanted_size_stay_as_they_are():
    image = np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)
    encoded = np.array([tf.io.encode_png(image).numpy()], object)
    images = decode_images(encoded, channels=3, image_size=(7, 9))
    np.testing.assert_array_equal(images[0], image)


def test_refuses_a_data_set_that_nobody_knows():
    with pytest.raises(InputError, match="must know the data set.*'cifar1000'"):
        prepared_builder("cifar1000", None)


def test_a_page_that_answers_with_an_error_is_a_network(monkeypatch, tmp_path):
    class Downloaded(Exception):
        pass

    def download(builder):
        raise Downloaded

    def answer(request, timeout):
        raise urllib.error.HTTPError("page", 403, "no", {}, io.BytesIO())

    monkeypatch.setattr("urllib.request.urlopen", answer)
    monkeypatch.setattr(
        tfds.core.DatasetBuilder, "download_and_prepare", download
    )
    with pytest.raises(Downloaded):
        prepared_builder("cifar100", str(tmp_path))


@pytest.mark.parametrize(
    "error",
    [
        urllib.error.URLError("no route to host"),
        ConnectionResetError("no route to host"),
        TimeoutError("no route to host"),
    ],
)
def test_missing_data_without_network_is_said_in_one_line(
    monkeypatch, tmp_path, error
):
    def no_network(request, timeout):
        assert timeout <= 10
        raise error

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    with pytest.raises(
        InputError,
        match="must lie prepared in .*no route to host.*`tfds.load..cifar100..`"
        ".*`--data_dir` or `TFDS_DATA_DIR`",
    ) as raised:
        prepared_builder("cifar100", str(tmp_path / "nothing"))
    assert str(tmp_path / "nothing") in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_missing_data_with_network_is_downloaded_once(monkeypatch, tmp_path):
    class Downloaded(Exception):
        pass

    def download(builder):
        raise Downloaded

    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: io.BytesIO())
    monkeypatch.setattr(
        tfds.core.DatasetBuilder, "download_and_prepare", download
    )
    with pytest.raises(Downloaded):
        prepared_builder("cifar100", str(tmp_path))


def test_a_download_that_breaks_off_is_said_in_one_line(monkeypatch, tmp_path):
    from tensorflow_datasets.core.download.util import DownloadError

    def download(builder):
        raise DownloadError("broken off")

    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: io.BytesIO())
    monkeypatch.setattr(
        tfds.core.DatasetBuilder, "download_and_prepare", download
    )
    with pytest.raises(InputError, match="must lie prepared in .*broken off"):
        prepared_builder("cifar100", str(tmp_path))


def test_refuses_another_file_format(monkeypatch, tmp_path):
    fake = types.SimpleNamespace(
        is_prepared=lambda: True,
        data_dir=str(tmp_path),
        info=types.SimpleNamespace(
            file_format=tfds.core.FileFormat.ARRAY_RECORD
        ),
    )
    monkeypatch.setattr(tfds, "builder", lambda *_, **__: fake)
    with pytest.raises(InputError, match="as 'tfrecord'.*'array_record'"):
        prepared_builder("cifar100", None)


@pytest.mark.parametrize("name", ["", "cifar-10", "cifar10:9.9.9", 3])
def test_refuses_names_that_are_none(name):
    with pytest.raises(InputError, match="must know the data set"):
        prepared_builder(name, None)


def test_images_without_a_label_do_not_count(tmp_path):
    builder = FakeBuilder(3, (5, 6, 3), train=2)
    images, labels = builder._examples["train"]
    labels[labels == 1] = -1
    found = read_encoded(builder.write(tmp_path), "train")
    assert sorted(found.labels) == [0, 0, 2, 2] and len(found.images) == 4

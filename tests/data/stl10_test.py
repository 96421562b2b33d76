"""Tests of the STL-10 stream: with made images, and with the real ones."""

import importlib

import numpy as np
import pytest
import tensorflow as tf

from lasem_tf.checks import InputError
from lasem_tf.data import stl10 as public_stl10
from lasem_tf.data.pipeline import training_batches
from lasem_tf.data.splits import content_digests
from tests.data.fake_builder import (
    FakeBuilder,
    assert_no_image_in_two_splits,
    digests,
    splits,
    stored,
)

# The package exports the function under the name of its module.
module = importlib.import_module("lasem_tf.data.stl10")
PER_CLASS = {"train": 40, "test": 4}


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    fake = FakeBuilder(10, (8, 8, 3), **PER_CLASS)
    return fake.write(tmp_path_factory.mktemp("stl10"))


@pytest.fixture
def stl10(builder, monkeypatch):
    monkeypatch.setattr(module, "prepared_builder", lambda *_: builder)
    return public_stl10


def label_of(name):
    return int(name.split("_")[1])


def test_twenty_tasks_of_three_classes_no_two_alike(stl10):
    stream = stl10(train_fraction=0.5)
    assert len(stream) == 20
    assert [task.num_classes for task in stream] == [3] * 20
    assert len({frozenset(task.class_names) for task in stream}) == 20
    for task in stream:
        counts = [np.bincount(stored(s)[1]).tolist() for s in splits(task)]
        assert counts == [[17] * 3, [3] * 3, [4] * 3]


def test_the_grouped_experiment_has_fifteen_tasks_of_five(stl10):
    stream = stl10(
        num_tasks=15,
        classes_per_task=5,
        train_fraction=0.1,
        validation_fraction=0.5,
    )
    assert len(stream) == 15
    assert len({frozenset(task.class_names) for task in stream}) == 15
    counts = [np.bincount(stored(s)[1]).tolist() for s in splits(stream[7])]
    assert counts == [[2] * 5, [2] * 5, [4] * 5]


def test_fewer_tasks_are_the_first_of_more(stl10):
    more, fewer = stl10(num_tasks=4), stl10(num_tasks=2)
    for task, same in zip(fewer, more, strict=False):
        assert task.class_names == same.class_names
        assert task.details == same.details
        assert digests(task.train) == digests(same.train)


def test_without_transform_images_are_those_of_the_data_set(stl10, builder):
    task = stl10(num_tasks=1, transformed=False)[0]
    assert task.details == {}
    images, labels = stored(task.test)
    for position, name in enumerate(task.class_names):
        np.testing.assert_array_equal(
            np.sort(content_digests(images[labels == position])),
            np.sort(content_digests(builder.of_class("test", label_of(name)))),
        )


def test_noise_and_channel_order_are_those_of_the_record(stl10, builder):
    """Over many pixels, where clipping does not reach."""
    seen = set()
    for task in stl10(num_tasks=12):
        mean, deviation, order = task.details.values()
        seen.add((mean, deviation))
        images, labels = stored(task.test)
        plain = np.concatenate(
            [builder.of_class("test", label_of(n)) for n in task.class_names]
        )
        by_class = np.argsort(labels, kind="stable")
        found = images[by_class].astype(float)
        added = found - plain[..., order]
        middle = (plain[..., order] > 120) & (plain[..., order] < 135)
        assert added[middle].mean() == pytest.approx(255 * mean, abs=4)
        assert added[middle].std() == pytest.approx(255 * deviation, abs=3)
    assert {m for m, _ in seen} <= {-0.1, -0.05, 0.0, 0.05, 0.1}
    assert {d for _, d in seen} == {0.0, 0.05, 0.1}
    assert len({m for m, _ in seen}) > 2


def test_the_noise_of_an_image_is_its_own_and_stays(stl10):
    noisy = next(
        index
        for index, task in enumerate(stl10(num_tasks=12))
        if task.details["noise_deviation"] > 0
    )
    first, again = (stl10(num_tasks=12)[noisy] for _ in range(2))
    assert digests(first.train) == digests(again.train)
    epochs = [
        np.concatenate(
            [images for images, _ in training_batches(first, 3, 0, epoch)]
        )
        for epoch in range(2)
    ]
    assert not np.array_equal(*epochs)  # Another order of the same images.
    np.testing.assert_array_equal(
        *(np.sort(content_digests(images)) for images in epochs)
    )
    # Not one noise for all: with one class's mean taken off, what is left
    # differs from image to image.
    transform = module._Transform(1, 0.0, 0.1, (0, 1, 2))
    grey = np.full((2, 8, 8, 3), 128, np.uint8)
    grey[1, 0, 0, 0] = 127  # Another image, but for the noise nearly the same.
    encoded = np.array([tf.io.encode_png(i).numpy() for i in grey], object)
    one, other = transform(encoded).astype(int)
    assert np.abs(one - other).mean() > 10
    np.testing.assert_array_equal(transform(encoded[1:])[0], other)


def test_noise_is_clipped_to_what_a_raw_image_holds():
    white = np.full((1, 8, 8, 3), 250, np.uint8)
    encoded = np.array([tf.io.encode_png(i).numpy() for i in white], object)
    bright = module._Transform(1, 0.1, 0.0, (0, 1, 2))(encoded)
    assert (bright == 255).all()


def test_pixels_reach_the_network_centred(stl10):
    task = stl10(num_tasks=1)[0]
    images = np.array([0, 255], np.uint8).reshape(2, 1, 1, 1)
    images = np.broadcast_to(images, (2, 8, 8, 3))
    found = np.unique(task.preprocess(images))
    np.testing.assert_allclose(found, [-0.5, 0.5], atol=1e-6)


def test_no_image_is_in_two_splits_and_seeds_differ(stl10):
    stream = stl10(num_tasks=6, train_fraction=1.0)
    assert_no_image_in_two_splits(stream)
    other = stl10(num_tasks=6, seed=1)
    names = [task.class_names for task in stream]
    assert names != [task.class_names for task in other]


def test_refuses_more_tasks_than_there_are_sets_of_classes():
    with pytest.raises(InputError, match="must not exceed 45"):
        public_stl10(num_tasks=46, classes_per_task=2)
    with pytest.raises(InputError, match="must not exceed 0"):
        public_stl10(num_tasks=1, classes_per_task=11)


@pytest.fixture(scope="module")
def real_stream():
    import tensorflow_datasets as tfds

    builder = tfds.builder("stl10")
    if not builder.is_prepared():
        pytest.skip("STL-10 is not prepared; set TFDS_DATA_DIR.")
    # A quarter of the whole data set; of a part of it, as many.
    fraction = 1250 / builder.info.splits["train"].num_examples
    return public_stl10(seed=0, num_tasks=3, train_fraction=fraction)


def test_real_stream_follows_the_protocol(real_stream):
    for task in real_stream:
        assert task.image_shape == (96, 96, 3)
        counts = [np.bincount(stored(s)[1]).tolist() for s in splits(task)]
        assert counts[:2] == [[106] * 3, [19] * 3]
    assert_no_image_in_two_splits(real_stream)

"""Any data set of TensorFlow Datasets: made ones, and real CIFAR-100."""

import importlib
import types

import numpy as np
import pytest
import tensorflow_datasets as tfds

from lasem_tf.checks import InputError
from lasem_tf.data import tfds_classes as public_tfds_classes
from lasem_tf.data.problems import BadImageWarning
from tests.data.fake_builder import (
    FakeBuilder,
    assert_no_image_in_two_splits,
    digests,
    splits,
    stored,
)

module = importlib.import_module("lasem_tf.data.tfds_classes")


def fake(tmp_path, monkeypatch, shape=(6, 6, 3), num_classes=5, **per_class):
    """Lets `tfds_classes` find a made data set, which is returned."""
    builder = FakeBuilder(num_classes, shape, **per_class)
    features = builder.info.features
    features["image"] = tfds.features.Image(shape=shape)
    features["label"] = tfds.features.ClassLabel(names=features["label"].names)
    monkeypatch.setattr(module, "prepared_builder", lambda *_: builder)
    return builder


def test_every_class_is_in_one_task(tmp_path, monkeypatch):
    fake(tmp_path, monkeypatch, train=12, test=3).write(tmp_path)
    stream = public_tfds_classes("things", classes_per_task=2, seed=3)
    assert stream.name == "things"
    # Five classes in pairs: the one that is left goes to the last task.
    assert [task.num_classes for task in stream] == [2, 3]
    names = [name for task in stream for name in task.class_names]
    assert sorted(names) == [f"thing_{label}" for label in range(5)]
    for task in stream:
        counts = [set(np.bincount(stored(s)[1])) for s in splits(task)]
        assert counts == [{10}, {2}, {3}]


def test_labels_stand_for_the_class_names(tmp_path, monkeypatch):
    builder = fake(tmp_path, monkeypatch, train=6, test=2).write(tmp_path)
    for task in public_tfds_classes("things", classes_per_task=2):
        images, labels = stored(task.test)
        for position, name in enumerate(task.class_names):
            own = builder.of_class("test", int(name.split("_")[1]))
            np.testing.assert_array_equal(images[labels == position], own)


def test_without_a_test_split_test_images_are_drawn(tmp_path, monkeypatch):
    fake(tmp_path, monkeypatch, train=12).write(tmp_path)
    stream = public_tfds_classes("things")
    assert len(stream) == 1
    counts = [set(np.bincount(stored(s)[1])) for s in splits(stream[0])]
    assert counts == [{8}, {2}, {2}]
    assert_no_image_in_two_splits(stream)


def test_the_validation_split_tests_where_there_is_no_other(
    tmp_path, monkeypatch
):
    builder = fake(tmp_path, monkeypatch, train=6, validation=2)
    builder.write(tmp_path)
    (task,) = public_tfds_classes("things")
    images, labels = stored(task.test)
    np.testing.assert_array_equal(
        images[labels == 1], builder.of_class("validation", 1)
    )


def test_copies_are_left_out_and_counted(tmp_path, monkeypatch):
    builder = fake(tmp_path, monkeypatch, train=12, test=3)
    builder.plant_copies(label=1)
    builder.write(tmp_path)
    stream = public_tfds_classes("things", classes_per_task=2)
    assert_no_image_in_two_splits(stream)
    for task in stream:
        expected = 3 if "thing_1" in task.class_names else None
        assert task.details.get("copies_left_out") == expected


def test_images_are_resized_where_asked(tmp_path, monkeypatch):
    fake(tmp_path, monkeypatch, train=6, test=2).write(tmp_path)
    (task,) = public_tfds_classes("things", image_size=(4, 5))
    assert task.image_shape == (4, 5, 3)


def test_seeds_draw(tmp_path, monkeypatch):
    fake(tmp_path, monkeypatch, train=6, test=2).write(tmp_path)
    one, again, other = (
        public_tfds_classes("things", seed=seed, train_fraction=0.5)
        for seed in (0, 0, 1)
    )
    assert digests(one[0].train) == digests(again[0].train)
    assert digests(one[0].train) != digests(other[0].train)


def test_images_of_unknown_size_need_one(tmp_path, monkeypatch):
    builder = fake(tmp_path, monkeypatch, train=6, test=2)
    builder.info.features["image"] = tfds.features.Image(shape=(None, None, 3))
    builder.write(tmp_path)
    with pytest.raises(InputError, match="`image_size` must say the size"):
        public_tfds_classes("things")


@pytest.mark.parametrize(
    "change",
    [
        {"supervised_keys": None},
        {"supervised_keys": ("image", "image")},
        {"splits": {"test": None}},
    ],
)
def test_refuses_what_is_no_image_classification(tmp_path, monkeypatch, change):
    builder = fake(tmp_path, monkeypatch, train=6).write(tmp_path)
    builder.info = types.SimpleNamespace(**(vars(builder.info) | change))
    with pytest.raises(InputError, match="must hold images, each of one class"):
        public_tfds_classes("things")


@pytest.mark.parametrize("classes_per_task", [1, 6, "2"])
def test_refuses_tasks_of_one_class_or_too_many(
    tmp_path, monkeypatch, classes_per_task
):
    fake(tmp_path, monkeypatch, train=6, test=2).write(tmp_path)
    with pytest.raises(InputError, match="`classes_per_task` must"):
        public_tfds_classes("things", classes_per_task)


def test_real_cifar100_in_two_lines():
    if not tfds.builder("cifar100").is_prepared():
        pytest.skip("CIFAR-100 is not prepared; set TFDS_DATA_DIR.")
    stream = public_tfds_classes(
        "cifar100", classes_per_task=25, train_fraction=0.04
    )
    assert len(stream) == 4
    assert [stream[0].num_train, len(stream[0].test)] == [25 * 17, 25 * 100]


def relabel(builder, old, new):
    """Takes the images of one class away from it, or gives them another."""
    for _images, labels in builder._examples.values():
        labels[labels == old] = new


def test_classes_without_any_image_are_left_out_with_a_warning(
    tmp_path, monkeypatch
):
    builder = fake(tmp_path, monkeypatch, num_classes=6, train=12, test=3)
    relabel(builder, 0, 1)
    relabel(builder, 5, 1)
    builder.write(tmp_path)
    with pytest.warns(BadImageWarning, match="classes thing_0, thing_5; no"):
        stream = public_tfds_classes("things", classes_per_task=2)
    names = sorted(name for task in stream for name in task.class_names)
    assert names == ["thing_1", "thing_2", "thing_3", "thing_4"]


def test_a_class_that_cannot_be_tested_is_named(tmp_path, monkeypatch):
    builder = fake(tmp_path, monkeypatch, train=12, test=3)
    images, labels = builder._examples["test"]
    labels[labels == 2] = 1
    builder.write(tmp_path)
    with pytest.raises(InputError, match="none to test of class 'thing_2'"):
        public_tfds_classes("things")


def test_a_class_of_too_few_images_is_named(tmp_path, monkeypatch):
    builder = fake(tmp_path, monkeypatch, train=12, test=3)
    images, labels = builder._examples["train"]
    few = np.flatnonzero(labels == 2)
    labels[few[1:]] = 1
    builder.write(tmp_path)
    with pytest.raises(InputError, match="class thing_2 with 1 different"):
        public_tfds_classes("things")

import importlib

import numpy as np
import pytest

from lasem_tf import data
from lasem_tf.checks import InputError
from lasem_tf.data.office_home.office_home_dataset_builder import CLASS_NAMES
from tests.data.fake_builder import (
    FakeBuilder,
    assert_no_image_in_two_splits,
    digests,
    splits,
    stored,
)

module = importlib.import_module("lasem_tf.data.office_home.stream")
PER_CLASS = 20


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    made = FakeBuilder(65, (8, 8, 3), product=PER_CLASS, real_world=PER_CLASS)
    made.info.features["label"].names = list(CLASS_NAMES)
    return made.write(tmp_path_factory.mktemp("office_home"))


@pytest.fixture(autouse=True)
def found(builder, monkeypatch):
    monkeypatch.setattr(module, "prepared_builder", lambda *_: builder)


def test_ten_tasks_of_thirteen_classes_in_two_domains(builder):
    stream = data.office_home()
    assert stream.name == "office_home" and len(stream) == 10
    for index, task in enumerate(stream):
        domain = "product" if index < 5 else "real_world"
        assert task.details == {"domain": domain}
        assert task.class_names == stream[index % 5].class_names
        counts = [set(np.bincount(stored(s)[1])) for s in splits(task)]
        assert counts == [{12}, {2}, {6}]  # 60 / 10 / 30 %
        images, labels = stored(task.train)
        own = {
            image.tobytes()
            for image in builder.of_class(
                domain, CLASS_NAMES.index(task.class_names[4])
            )
        }
        assert {image.tobytes() for image in images[labels == 4]} < own
    in_a_domain = [name for task in stream[:5] for name in task.class_names]
    assert sorted(in_a_domain) == sorted(CLASS_NAMES)
    assert stream[0].class_names[:3] == ("TV", "Sneakers", "Soda")
    assert_no_image_in_two_splits(stream)


def test_pixels_reach_the_network_between_0_and_1():
    task = data.office_home()[0]
    images = np.full((1, 8, 8, 3), 255, np.uint8)
    assert (task.preprocess(images).numpy() == 1).all()
    assert (task.preprocess(0 * images).numpy() == 0).all()


def test_the_seed_draws_images_and_not_classes():
    one, again, other = (data.office_home(seed=seed)[3] for seed in (0, 0, 1))
    assert one.class_names == other.class_names
    assert digests(one.train) == digests(again.train)
    assert digests(one.train) != digests(other.train)


def test_the_incremental_tasks_have_one_class_more_each():
    stream = data.office_home_incremental()
    assert [task.num_classes for task in stream] == [3, 4, 5, 6, 7, 8]
    assert stream[0].class_names == ("Couch", "Table", "Paper_Clip")
    assert stream[5].class_names[3:] == (
        "Clipboards",
        "Bucket",
        "Notebook",
        "Bed",
        "Trash_Can",
    )
    # What tests in one task trains in none.
    trained = set().union(*(digests(task.train) for task in stream))
    tested = set().union(*(digests(task.test) for task in stream))
    assert not trained & tested
    assert digests(stream[0].train) < digests(stream[5].train)


def test_missing_data_are_said_in_one_line(monkeypatch, tmp_path):
    from lasem_tf.data.tfds_images import prepared_builder

    monkeypatch.setattr(module, "prepared_builder", prepared_builder)
    with pytest.raises(
        InputError,
        match="'office_home' must lie prepared in .*by hand.*"
        "OfficeHomeDataset_10072016.zip",
    ) as raised:
        data.office_home(data_dir=str(tmp_path))
    assert "\n" not in str(raised.value)

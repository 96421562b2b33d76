"""Tests of the CIFAR-100 stream: with made images, and with the real ones."""

import numpy as np
import pytest

from lasem_tf.checks import InputError
from lasem_tf.data import cifar100 as public_cifar100
from lasem_tf.data.splits import content_digests
from tests.data.fake_builder import FakeBuilder, digests, splits, stored

# The package exports the function under the name of its module.
import importlib  # isort: skip

module = importlib.import_module("lasem_tf.data.cifar100")
NUM_TRAIN, NUM_TEST = 24, 3


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    fake = FakeBuilder(100, (32, 32, 3), train=NUM_TRAIN, test=NUM_TEST)
    fake.plant_copies(label=4)
    return fake.write(tmp_path_factory.mktemp("cifar100"))


@pytest.fixture
def cifar100(builder, monkeypatch):
    monkeypatch.setattr(module, "prepared_builder", lambda *_: builder)
    return public_cifar100


def test_images_carry_the_class_of_their_position_in_the_list(
    cifar100, builder
):
    stream = cifar100(num_tasks=2, train_fraction=0.5)
    assert stream.name == "cifar100"
    assert stream[0].class_names[:3] == ("thing_4", "thing_1", "thing_54")
    assert stream[1].class_names[-1] == "thing_13"
    for task in stream:
        for split in splits(task):
            images, labels = stored(split)
            source = "test" if split is task.test else "train"
            for position in range(10):
                label = int(task.class_names[position].split("_")[1])
                own = content_digests(images[labels == position]).tolist()
                all_of_class = builder.of_class(source, label)
                assert set(own) <= set(content_digests(all_of_class).tolist())
                assert own


def test_copies_never_stand_in_twosplits(cifar100):
    task = cifar100(num_tasks=1, train_fraction=1.0)[0]
    train, validation, test = map(digests, splits(task))
    assert not train & validation and not train & test
    assert not validation & test
    counts = np.bincount(stored(task.validation)[1])
    # Class 4 is the first of the first task, and holds the three copies.
    assert counts.tolist() == [4] * 10
    counts = np.bincount(stored(task.train)[1])
    assert counts.tolist() == [17] + [20] * 9


def test_preprocessing_uses_training_statistics(cifar100):
    task = cifar100(num_tasks=1, train_fraction=1.0)[0]
    train, test = stored(task.train)[0], stored(task.test)[0]
    mean, std = train.mean((0, 1, 2)), train.std((0, 1, 2))
    np.testing.assert_allclose(
        task.preprocess(test), (test - mean) / std, atol=1e-5
    )


def test_authors_lists_hold_every_class_once_whatever_the_seed():
    dealt = module._deal_classes(0, None, 10)
    assert sorted(label for task in dealt for label in task) == list(range(100))
    assert dealt[0] == (4, 1, 54, 9, 0, 5, 6, 3, 12, 8)
    assert dealt[9] == (87, 71, 38, 75, 99, 98, 93, 80, 96, 89)
    assert module._deal_classes(7, 3, 10) == dealt[:3]


@pytest.mark.parametrize("classes_per_task, num_tasks", [(5, 20), (7, 14)])
def test_other_splits_are_dealt_by_seed(classes_per_task, num_tasks):
    dealt = np.array(module._deal_classes(0, None, classes_per_task))
    assert dealt.shape == (num_tasks, classes_per_task)
    assert len(np.unique(dealt)) == dealt.size
    again = np.array(module._deal_classes(0, None, classes_per_task))
    np.testing.assert_array_equal(dealt, again)
    other = np.array(module._deal_classes(1, None, classes_per_task))
    assert (dealt != other).any()


def test_twenty_tasks_of_ten_meet_every_class_twice():
    dealt = np.array(module._deal_classes(0, 20, 10))
    assert np.bincount(dealt.ravel()).tolist() == [2] * 100
    assert len({frozenset(task.tolist()) for task in dealt}) == 20
    assert all(len(set(task.tolist())) == 10 for task in dealt)


def test_refuses_tasks_of_more_classes_than_there_are():
    with pytest.raises(InputError, match="must lie between 2 and 100"):
        public_cifar100(classes_per_task=101)


@pytest.mark.parametrize("classes_per_task", [1, 2.5, "10", None])
def test_refuses_tasks_of_one_class_or_a_part_of_one(classes_per_task):
    with pytest.raises(InputError, match="must be a whole number not below 2"):
        public_cifar100(classes_per_task=classes_per_task)


def test_refuses_zero_tasks():
    with pytest.raises(InputError, match="`num_tasks` must be a whole number"):
        public_cifar100(num_tasks=0)


def test_refuses_a_fraction_that_leaves_nothing(cifar100):
    with pytest.raises(InputError, match="Every class needs at least one"):
        cifar100(num_tasks=1, train_fraction=0.01)


@pytest.fixture(scope="module")
def real_stream():
    import tensorflow_datasets as tfds

    if not tfds.builder("cifar100").is_prepared():
        pytest.skip("CIFAR-100 is not prepared; set TFDS_DATA_DIR.")
    return public_cifar100(seed=0)


def test_real_stream_follows_the_protocol(real_stream):
    assert len(real_stream) == 10
    assert real_stream[0].class_names[:3] == (
        "beaver",
        "aquarium_fish",
        "orchid",
    )
    for task in real_stream:
        counts = [np.bincount(stored(split)[1]) for split in splits(task)]
        assert [set(count) for count in counts] == [{17}, {3}, {100}]
        assert task.num_train == 170
        assert task.image_shape == (32, 32, 3)


def test_real_stream_never_shares_an_image_betweensplits(real_stream):
    train, validation, test = (
        set().union(*map(digests, split))
        for split in zip(*map(splits, real_stream), strict=True)
    )
    assert len(train) == 1700 and len(validation) == 300
    # Two test images of CIFAR-100 are copies of other test images.
    assert len(test) == 9998
    assert not train & validation and not train & test
    assert not validation & test


def test_real_stream_is_drawn_by_its_seed(real_stream):
    again, other = (public_cifar100(seed=seed, num_tasks=1) for seed in (0, 1))
    assert digests(real_stream[0].train) == digests(again[0].train)
    assert digests(real_stream[0].test) == digests(other[0].test)
    common = digests(real_stream[0].train) & digests(other[0].train)
    assert len(common) < 30

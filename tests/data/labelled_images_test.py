import numpy as np
import pytest

from lasem_tf.checks import InputError
from lasem_tf.data.labelled_images import (
    ImagePool,
    LabelledImages,
    deal_classes,
    deal_every_class,
)
from lasem_tf.data.preprocessing import unit_scaling
from tests.data.fake_builder import digests, splits, stored

NAMES = ("ant", "bee", "cat")


def noise(per_class, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat(np.arange(3), per_class))
    images = generator.integers(0, 256, (len(labels), 4, 4, 3), np.uint8)
    return LabelledImages(images, labels)


def task_of(pool, classes=(2, 0), **fractions):
    return pool.task(
        "task",
        classes,
        seed=0,
        decode=lambda images: images,
        preprocessing=lambda _: unit_scaling(),
        **(dict(validation_fraction=0.25) | fractions),
    )


def test_a_class_has_the_label_of_its_place_in_the_list():
    pool = ImagePool(NAMES, noise(8), noise(4, seed=1))
    task = task_of(pool)
    assert task.class_names == ("cat", "ant")
    images, labels = stored(task.test)
    for place, label in enumerate((2, 0)):
        own = pool.test.images[pool.test.labels == label]
        np.testing.assert_array_equal(images[labels == place], own)


def test_without_test_images_some_are_taken_from_the_others():
    task = task_of(ImagePool(NAMES, noise(8)), test_fraction=0.25)
    assert [len(split) for split in splits(task)] == [8, 4, 4]
    train, validation, test = map(digests, splits(task))
    assert len(train | validation | test) == 16


def test_copies_are_left_out_and_counted():
    train, test = noise(12), noise(4, seed=1)
    cats = np.flatnonzero(train.labels == 2)
    train.images[cats[0]] = test.images[0]
    train.images[cats[3]] = train.images[cats[5]]
    pool = ImagePool(NAMES, train, test)
    assert task_of(pool).details == {"copies_left_out": 2}
    assert task_of(pool, classes=(0, 1)).details == {}
    assert not digests(task_of(pool).train) & digests(task_of(pool).test)


def test_classes_come_back_only_after_all_were_dealt():
    hands = deal_classes(7, 3, 4, np.random.default_rng(0))
    assert [len(hand) for hand in hands] == [3] * 4
    for first in (0, 2):
        deal = np.concatenate(hands[first : first + 2])
        assert len(set(deal.tolist())) == 6


@pytest.mark.parametrize(
    ("num_classes", "classes_per_task", "sizes"),
    [
        (6, 2, [2, 2, 2]),
        (7, 2, [2, 2, 3]),
        (8, 3, [3, 3, 2]),
        (7, 3, [3, 4]),
        (5, 5, [5]),
        (5, 4, [5]),
        (5, None, [5]),
    ],
)
def test_every_class_is_dealt_once(num_classes, classes_per_task, sizes):
    hands = deal_every_class(num_classes, classes_per_task, 0, "things")
    assert [len(hand) for hand in hands] == sizes
    assert sorted(np.concatenate(hands)) == list(range(num_classes))


def test_the_seed_deals():
    one, again, other = (
        deal_every_class(20, 5, seed, "things") for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("classes_per_task", [0, 1, 2.0, 21])
def test_refuses_hands_that_are_too_small_or_too_large(classes_per_task):
    with pytest.raises(InputError, match="`classes_per_task` must"):
        deal_every_class(20, classes_per_task, 0, "things")

"""Tests of the class-balanced splits."""

import numpy as np
import pytest

from lasem_tf.checks import InputError
from lasem_tf.data.splits import (
    content_digests,
    first_copies,
    split_by_class,
)

SIXTH = 1 / 6


def _labels(num_classes=5, per_class=500):
    labels = np.repeat(np.arange(num_classes), per_class)
    return np.random.default_rng(0).permutation(labels)


@pytest.mark.parametrize(
    "fraction, num_train, num_validation", [(0.04, 17, 3), (1.0, 417, 83)]
)
def test_every_class_has_the_protocols_share(
    fraction, num_train, num_validation
):
    labels = _labels()
    split = split_by_class(
        labels, seed=0, validation_fraction=SIXTH, fraction=fraction
    )
    assert np.bincount(labels[split.train]).tolist() == [num_train] * 5
    assert (
        np.bincount(labels[split.validation]).tolist() == [num_validation] * 5
    )
    assert not len(split.test)


def test_splits_are_disjoint_and_use_every_image_once():
    split = split_by_class(
        _labels(), seed=0, validation_fraction=0.1, test_fraction=0.3
    )
    together = np.concatenate([split.train, split.validation, split.test])
    assert sorted(together) == list(range(2500))
    sizes = (len(split.train), len(split.validation), len(split.test))
    assert sizes == (1500, 250, 750)


def test_seed_decides_which_images_are_drawn():
    def draw(seed):
        return split_by_class(
            _labels(), seed=seed, validation_fraction=SIXTH, fraction=0.04
        )

    np.testing.assert_array_equal(draw(3).train, draw(3).train)
    np.testing.assert_array_equal(draw(3).validation, draw(3).validation)
    # 17 of 500 drawn twice by chance agree on less than one image.
    assert len(np.intersect1d(draw(3).train, draw(4).train)) < 20


def test_draw_of_a_class_does_not_depend_on_the_other_classes():
    labels = _labels()
    without = np.flatnonzero(labels != 0)
    whole = split_by_class(labels, seed=0, validation_fraction=SIXTH)
    part = split_by_class(labels[without], seed=0, validation_fraction=SIXTH)
    expected = whole.train[labels[whole.train] != 0]
    np.testing.assert_array_equal(without[part.train], expected)


def test_small_classes_get_one_image_of_each_kind():
    split = split_by_class(
        np.repeat([0, 1], 3),
        seed=0,
        validation_fraction=0.01,
        test_fraction=0.01,
    )
    assert len(split.train) == len(split.validation) == len(split.test) == 2


def test_refuses_a_class_too_small_to_split():
    with pytest.raises(InputError, match="class 1 with 2 different images"):
        split_by_class(
            np.array([0, 0, 0, 1, 1]),
            seed=0,
            validation_fraction=0.2,
            test_fraction=0.2,
        )


@pytest.mark.parametrize("fraction", [0, -0.5, 1.5, float("nan"), "a"])
def test_refuses_a_fraction_out_of_range(fraction):
    with pytest.raises(InputError, match="above 0 and not above 1"):
        split_by_class(
            _labels(), seed=0, validation_fraction=0.1, fraction=fraction
        )


@pytest.mark.parametrize(
    "validation, test", [(0, 0.1), (1, 0), (0.5, 0.5), (0.1, -0.1)]
)
def test_refuses_fractions_that_leave_no_split(validation, test):
    with pytest.raises(InputError, match="leave some images for training"):
        split_by_class(
            _labels(),
            seed=0,
            validation_fraction=validation,
            test_fraction=test,
        )


def test_copies_are_found_by_content():
    images = np.random.default_rng(0).integers(0, 256, [6, 4, 4, 3], np.uint8)
    images[3] = images[1]
    images[5] = images[1]
    digests = content_digests(images)
    assert digests[3] == digests[1] != digests[0]
    expected = [True, True, True, False, True, False]
    assert first_copies(digests).tolist() == expected
    encoded = np.array([b"one", b"two", b"one\0", b"two"], dtype=object)
    assert first_copies(content_digests(encoded)).tolist() == [
        True,
        True,
        True,
        False,
    ]

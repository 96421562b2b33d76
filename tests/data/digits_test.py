"""Tests of the stream of handwritten digits."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from lasem_tf.checks import InputError
from lasem_tf.data import digits
from lasem_tf.data.splits import content_digests


def _stored(dataset):
    (whole,) = dataset.batch(len(dataset)).as_numpy_iterator()
    return whole


def _digests(dataset):
    return set(content_digests(_stored(dataset)[0]).tolist())


def _splits(task):
    return task.train, task.validation, task.test


def test_five_tasks_deal_each_digit_once():
    stream = digits()
    assert (stream.name, len(stream)) == ("digits", 5)
    dealt = [name for task in stream for name in task.class_names]
    assert sorted(dealt) == [str(digit) for digit in range(10)]
    assert {task.image_shape for task in stream} == {(8, 8, 1)}


def test_images_are_the_genuine_ones_with_their_names():
    bunch = load_digits()
    images = np.rint(bunch.images * 255 / 16).astype(np.uint8)[..., None]
    truth = dict(
        zip(content_digests(images).tolist(), bunch.target, strict=True)
    )
    for task in digits(seed=3):
        for split in _splits(task):
            kept, labels = _stored(split)
            names = [str(truth[d]) for d in content_digests(kept).tolist()]
            assert names == [task.class_names[label] for label in labels]
            assert kept.max() == 255


def test_no_image_is_in_two_splits_of_any_task():
    parts = [_digests(split) for task in digits() for split in _splits(task)]
    assert sum(map(len, parts)) == len(set.union(*parts))


def test_a_third_tests_and_few_train_as_many_of_each_class():
    for task in digits():
        counts = [np.bincount(_stored(split)[1]) for split in _splits(task)]
        train, validation, test = counts
        assert set(train) <= {29, 30, 31} and set(validation) == {6}
        assert (58 <= test).all() and (test <= 61).all()


def test_seed_draws_digits_and_images():
    def images(seed):
        return _digests(digits(seed=seed, num_tasks=1)[0].train)

    assert images(0) == images(0) != images(1)
    names = {tuple(t.class_names for t in digits(seed=seed)) for seed in (0, 1)}
    assert len(names) == 2


def test_a_task_does_not_depend_on_how_many_follow():
    short, long = digits(num_tasks=2), digits()
    assert _digests(short[1].train) == _digests(long[1].train)


@pytest.mark.parametrize(
    "num_tasks, classes_per_task", [(6, 2), (2, 6), (None, 11)]
)
def test_refuses_more_tasks_than_there_are_digits_for(
    num_tasks, classes_per_task
):
    with pytest.raises(InputError, match="There are 10 digits for"):
        digits(num_tasks=num_tasks, classes_per_task=classes_per_task)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_tasks", 0),
        ("num_tasks", 1.5),
        ("classes_per_task", 1),
        ("classes_per_task", 2.5),
    ],
)
def test_refuses_numbers_that_count_nothing(name, value):
    with pytest.raises(InputError, match=f"`{name}` must be a whole number"):
        digits(**{name: value})


def test_refuses_a_fraction_that_leaves_nothing_to_train_on():
    with pytest.raises(InputError, match="Every class needs at least one"):
        digits(train_fraction=0.001)

"""Tests of streams made from anyone's arrays."""

import numpy as np
import pytest

from lasem_tf.checks import InputError
from lasem_tf.data import ArrayTask, from_arrays
from lasem_tf.data.resizing import resized_array
from lasem_tf.data.splits import content_digests


def _images(num_images, seed=0, shape=(6, 5, 3)):
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, [num_images, *shape], np.uint8)


def _pair(num_images=36, num_classes=3, seed=0):
    return _images(num_images, seed), np.arange(num_images) % num_classes


def _stored(dataset):
    (whole,) = dataset.batch(len(dataset)).as_numpy_iterator()
    return whole


def _digests(dataset):
    return set(content_digests(_stored(dataset)[0]).tolist())


def test_pairs_are_split_by_class():
    stream = from_arrays([_pair(), _pair(48, num_classes=4, seed=1)])
    assert [task.name for task in stream] == ["arrays_00", "arrays_01"]
    assert [task.num_classes for task in stream] == [3, 4]
    labels = [
        _stored(split)[1]
        for split in (stream[0].train, stream[0].validation, stream[0].test)
    ]
    assert [np.bincount(part).tolist() for part in labels] == [
        [8, 8, 8],
        [2, 2, 2],
        [2, 2, 2],
    ]


def test_images_keep_their_labels_and_values():
    images, labels = _pair()
    by_digest = dict(zip(content_digests(images).tolist(), labels, strict=True))
    task = from_arrays([(images, labels)])[0]
    for split in (task.train, task.validation, task.test):
        kept, kept_labels = _stored(split)
        assert kept.dtype == np.uint8 and kept_labels.dtype == np.int32
        expected = [by_digest[d] for d in content_digests(kept).tolist()]
        assert kept_labels.tolist() == expected


def test_splits_never_share_an_image_even_if_the_arrays_hold_copies():
    images, labels = _pair(90)
    images[60:] = images[:30]  # With the same labels, since 60 = 0 modulo 3.
    task = from_arrays([(images, labels)])[0]
    parts = [_digests(s) for s in (task.train, task.validation, task.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 60
    counts = [len(list(s)) for s in (task.train, task.validation, task.test)]
    assert sum(counts) == 90  # Copies are kept.


def test_given_splits_stay_as_they_are():
    train, validation, test = _pair(9), _pair(4, seed=1), _pair(5, seed=2)
    names = ["cat", "dog", "cow"]
    task = from_arrays([ArrayTask(train, validation, test, names, "pets")])[0]
    assert (task.name, task.class_names) == ("pets", ("cat", "dog", "cow"))
    for split, (images, labels) in (
        (task.train, train),
        (task.validation, validation),
        (task.test, test),
    ):
        np.testing.assert_array_equal(_stored(split)[0], images)
        np.testing.assert_array_equal(_stored(split)[1], labels)


@pytest.mark.parametrize("given", ["validation", "test"])
def test_only_the_missing_split_is_drawn(given):
    arrays = ArrayTask(_pair(30), **{given: _pair(5, seed=2)})
    fractions = dict(validation_fraction=0.1, test_fraction=0.2)
    task = from_arrays([arrays], **fractions)[0]
    drawn = {"validation": 6, "test": 3}[given]
    missing = {"validation": task.test, "test": task.validation}[given]
    assert len(_stored(missing)[1]) == drawn
    assert task.num_train == 30 - drawn
    kept = getattr(task, given)
    np.testing.assert_array_equal(_stored(kept)[0], _images(5, seed=2))


def test_seed_draws_the_splits():
    def train(seed):
        return _digests(from_arrays([_pair()], seed=seed)[0].train)

    assert train(0) == train(0) != train(1)


def test_floating_point_images_are_rounded_to_uint8():
    values = np.array([0, 0.001, 0.5, 0.9999, 1.0], np.float32)
    train = np.tile(values[:, None, None, None], [1, 2, 2, 1])
    validation = _images(3, shape=(2, 2, 1))
    test = _images(3, shape=(2, 2, 1), seed=1)
    arrays = ArrayTask(
        (train, np.arange(5)),
        (validation, np.arange(3)),
        (test, np.arange(3)),
    )
    stored = _stored(from_arrays([arrays])[0].train)[0]
    assert stored[:, 0, 0, 0].tolist() == [0, 0, 128, 255, 255]


def test_grey_images_get_a_channel():
    images = _images(30, shape=(6, 5))
    task = from_arrays([(images, np.arange(30) % 2)])[0]
    assert task.image_shape == (6, 5, 1)


def test_scaling_uses_training_images_only():
    task = from_arrays([_pair()])[0]
    train = _stored(task.train)[0]
    mean, std = train.mean((0, 1, 2)), train.std((0, 1, 2))
    test = _stored(task.test)[0]
    np.testing.assert_allclose(
        task.preprocess(test), (test - mean) / std, atol=1e-6
    )
    task = from_arrays([_pair()], scaling="unit")[0]
    np.testing.assert_allclose(task.preprocess(test), test / 255, atol=1e-6)


IMAGES, LABELS = _pair()
NOT_A_NUMBER = np.full(IMAGES.shape, 0.5)
NOT_A_NUMBER[7, 1, 1, 1] = np.nan


@pytest.mark.parametrize(
    "pair, message",
    [
        (IMAGES, "must be a pair of arrays.*Received: a ndarray"),
        ((IMAGES.reshape(36, -1), LABELS), r"must have the shape .*\(36, 90\)"),
        ((IMAGES[:, :0], LABELS), r"must have the shape .*\(36, 0, 5, 3\)"),
        ((IMAGES[:0], LABELS[:0]), "must hold at least one image"),
        ((IMAGES.astype(int), LABELS), "must be uint8, or .*dtype int64"),
        ((IMAGES.astype(object), LABELS), "must be uint8, or .*dtype object"),
        ((IMAGES.astype(float), LABELS), "must lie between 0 and 1"),
        ((NOT_A_NUMBER, LABELS), "between 0 and 1.*nan in image 7"),
        ((IMAGES, LABELS[:-1]), r"one per image.*\(36,\).*shape \(35,\)"),
        ((IMAGES, LABELS * 1.0), "must be integers.*of float64"),
        ((IMAGES, np.eye(3)[LABELS]), "integers.*argmax"),
        ((IMAGES, LABELS - 1), "between 0 and 1, .*label -1 of image 0"),
        ((IMAGES, LABELS * 2), "must have training images.*none for class 1"),
        ((IMAGES[:7], np.array([0] * 5 + [1] * 2)), "class 1 with 2 differ"),
    ],
)
def test_refuses_arrays_that_are_no_labelled_images(pair, message):
    with pytest.raises(InputError, match=message):
        from_arrays([pair])


def test_refuses_labels_outside_the_heads_range():
    with pytest.raises(
        InputError, match="between 0 and 1, .*2 classes.*label 2 of image 2"
    ):
        from_arrays([ArrayTask(_pair(), class_names=["cat", "dog"])])
    with pytest.raises(InputError, match=r"\(test\) must lie .*label 3"):
        from_arrays([ArrayTask(_pair(), test=_pair(8, num_classes=4, seed=1))])


def test_refuses_two_classes_of_one_name():
    with pytest.raises(InputError, match=r"different.*\['a', 'b', 'a'\]"):
        from_arrays([ArrayTask(_pair(), class_names=["a", "b", "a"])])


def test_refuses_given_splits_that_share_an_image():
    images, labels = _pair()
    with pytest.raises(
        InputError, match="'task 0'.*Received: 4 images both in train and test"
    ):
        from_arrays(
            [ArrayTask((images, labels), test=(images[:4], labels[:4]))]
        )


def test_refuses_zero_tasks():
    with pytest.raises(InputError, match="`tasks` must hold at least one"):
        from_arrays([])


def test_refuses_tasks_of_two_image_shapes():
    other = _images(36, shape=(5, 5, 3)), np.arange(36) % 3
    with pytest.raises(
        InputError, match=r"one shape, here \(6, 5, 3\) .*'arrays_01'"
    ):
        from_arrays([_pair(), other])


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("shape", [(6, 5, 1), (5, 5, 3)])
def test_refuses_splits_of_two_image_shapes(split, shape):
    other = _images(6, shape=shape), np.arange(6) % 3
    task = ArrayTask(_pair(), **{split: other})
    with pytest.raises(
        InputError, match=rf"train on, \(6, 5, 3\)\. Received: .* in {split}"
    ):
        from_arrays([task])


def test_refuses_images_of_different_sizes():
    images, labels = _pair()
    with pytest.raises(InputError, match="images of 'task 0' .* one array"):
        from_arrays([([*images, images[0][:3]], [*labels, 0])])


def test_refuses_a_label_that_would_make_too_many_classes():
    images, labels = _pair()
    labels[7] = 10**9
    with pytest.raises(InputError, match="Received: label 1000000000 of image"):
        from_arrays([(images, labels)])


def test_refuses_two_tasks_of_one_name():
    tasks = [ArrayTask(_pair(), name="a"), ArrayTask(_pair(seed=1), name="a")]
    with pytest.raises(InputError, match="different names"):
        from_arrays(tasks)


def test_refuses_an_unknown_scaling():
    with pytest.raises(InputError, match="`scaling` must be one of"):
        from_arrays([_pair()], scaling="none")


def test_images_of_several_sizes_are_brought_to_one():
    generator = np.random.default_rng(0)
    tasks = [
        (
            generator.integers(0, 256, (30, *size, 3), dtype=np.uint8),
            np.arange(30) % 2,
        )
        for size in ((8, 8), (20, 12))
    ]
    with pytest.raises(InputError, match="Pass `image_size`"):
        from_arrays(tasks)
    stream = from_arrays(tasks, image_size=8)
    assert [task.image_shape for task in stream] == [(8, 8, 3)] * 2
    # What has the size already stays as it is.
    kept = {image.tobytes() for image, _ in stream[0].train.as_numpy_iterator()}
    assert kept < {image.tobytes() for image in tasks[0][0]}


def test_resizing_many_images_does_not_alias():
    stripes = np.zeros((210, 64, 64, 1), np.uint8)
    stripes[:, :, ::2] = 200
    stripes += np.arange(210, dtype=np.uint8)[:, None, None, None] // 8
    found = resized_array(stripes, (8, 4))
    assert found.shape == (210, 8, 4, 1)
    assert 75 < found.min() and found.max() < 150


@pytest.mark.parametrize("tasks", ["birds.npz", ArrayTask(train=None)])
def test_refuses_one_task_in_place_of_a_list(tasks):
    with pytest.raises(InputError, match="must be a list of tasks"):
        from_arrays(tasks)

import functools

import numpy as np
import pytest
import tensorflow as tf

from lasem_tf.checks import InputError
from lasem_tf.data import Augmentation
from lasem_tf.data.augmentation import check_augmentation
from lasem_tf.data.pipeline import training_batches
from tests.methods import tiny

NUM = 400
SEED = np.int32([7, 0])


def images(height=6, width=5, channels=2):
    generator = np.random.default_rng(0)
    shape = (NUM, height, width, channels)
    return generator.integers(0, 256, shape, dtype=np.uint8)


def augmented(augmentation, seed=SEED, examples=None):
    examples = np.arange(NUM) if examples is None else examples
    return augmentation(
        tf.constant(images()[examples]), examples, NUM, seed
    ).numpy()


def test_about_half_of_the_images_are_mirrored_left_to_right():
    found = augmented(Augmentation(flip=True))
    same = (found == images()).all((1, 2, 3))
    mirrored = (found == images()[:, :, ::-1]).all((1, 2, 3))
    assert (same | mirrored).all()
    assert 150 < mirrored.sum() < 250


def test_shifts_reach_every_place_and_mirror_the_margin():
    found = augmented(Augmentation(flip=False, max_shift=2))
    padded = np.pad(
        images(), [(0, 0), (2, 2), (2, 2), (0, 0)], mode="symmetric"
    )
    seen = np.zeros((5, 5), int)
    for image, whole in zip(found, padded, strict=True):
        for y, x in np.ndindex(5, 5):
            if (image == whole[y : y + 6, x : x + 5]).all():
                seen[y, x] += 1
    assert seen.sum() == NUM
    assert seen.min() > 2  # 16 on average.


def test_what_happens_to_an_image_does_not_depend_on_its_mini_batch():
    augmentation = Augmentation(flip=True, max_shift=2)
    whole = augmented(augmentation)
    some = np.array([399, 3, 250])
    np.testing.assert_array_equal(
        augmented(augmentation, examples=some), whole[some]
    )


def test_another_seed_changes_images_otherwise():
    augmentation = Augmentation(flip=True, max_shift=2)
    other = augmented(augmentation, seed=np.int32([8, 0]))
    assert (augmented(augmentation) != other).any((1, 2, 3)).mean() > 0.8


def epoch_of(task, epoch, batch_size=5, augmentation=None):
    batches = training_batches(task, batch_size, 3, epoch, augmentation)
    found, labels = zip(*batches.as_numpy_iterator(), strict=True)
    return np.concatenate(found), np.concatenate(labels)


def test_an_epoch_is_augmented_by_its_number_and_keeps_its_order():
    task = tiny.task(num_images=40)
    make = functools.partial(Augmentation, flip=True, max_shift=1)
    plain, labels = epoch_of(task, 0)
    first, same_labels = epoch_of(task, 0, augmentation=make())
    again, _ = epoch_of(task, 0, augmentation=make())
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(labels, same_labels)
    assert (first != plain).any((1, 2, 3)).mean() > 0.5
    # A mini-batch size changes nothing but where batches end.
    other_size, _ = epoch_of(task, 0, batch_size=10, augmentation=make())
    np.testing.assert_allclose(other_size, first, atol=1e-6)
    next_epoch, _ = epoch_of(task, 1, augmentation=make())
    assert not np.array_equal(np.sort(next_epoch, 0), np.sort(first, 0))


@pytest.mark.parametrize("max_shift", [-1, 1.5, "2"])
def test_refuses_shifts_that_are_no_number_of_pixels(max_shift):
    with pytest.raises(InputError, match="`max_shift` must be a whole number"):
        Augmentation(max_shift=max_shift)


def test_refuses_images_smaller_than_the_shift():
    with pytest.raises(InputError, match="must not exceed the height and"):
        Augmentation(max_shift=6).check_fits((8, 5, 3))
    Augmentation(max_shift=5).check_fits((8, 5, 3))


def test_refuses_what_is_no_augmentation():
    check_augmentation(None)
    check_augmentation(Augmentation())
    with pytest.raises(InputError, match="must be an Augmentation"):
        check_augmentation(Augmentation)


def test_tells_its_settings_and_those_of_a_class_made_of_it():
    class Mine(Augmentation):
        pass

    assert repr(Mine(max_shift=2)) == "Mine(flip=True, max_shift=2)"

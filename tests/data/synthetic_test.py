"""Tests of the made stream with a planted configuration."""

import importlib

import numpy as np
import pytest

from lasem_tf.checks import InputError
from lasem_tf.data import synthetic
from lasem_tf.data.splits import content_digests

# The package exports the function under the name of its module.
module = importlib.import_module("lasem_tf.data.synthetic")
FEW = dict(num_train=60, num_validation=20, num_test=30)


def _stored(dataset):
    (whole,) = dataset.batch(len(dataset)).as_numpy_iterator()
    return whole


def _digests(dataset):
    return set(content_digests(_stored(dataset)[0]).tolist())


def _recipe(planted="TS"):
    parsed = module.TransferConfiguration.parse(planted, len(planted))
    return module._Recipe(parsed, 0, noise=0.2, glare=8.0, glare_fraction=0.1)


def _strokes(planted, channel):
    """Returns the strokes of twelve tasks, one per row."""
    recipe = _recipe(planted)
    strokes = [module._strokes(recipe, channel, task) for task in range(12)]
    return np.concatenate(strokes).reshape(24, 25)


def test_a_channel_per_letter_and_a_class_per_combination_of_bits():
    stream = synthetic(planted="STS", num_tasks=2, **FEW)
    assert (stream.name, len(stream)) == ("synthetic", 2)
    for task in stream:
        assert task.image_shape == (15, 15, 3)
        assert task.num_classes == 8
        counts = np.bincount(_stored(task.train)[1])
        assert counts.max() - counts.min() <= 1
        sizes = [len(s) for s in (task.train, task.validation, task.test)]
        assert sizes == [60, 20, 30]


def test_splits_never_share_an_image():
    splits = [
        _digests(split)
        for task in synthetic(**FEW)
        for split in (task.train, task.validation, task.test)
    ]
    assert sum(map(len, splits)) == len(set.union(*splits))


def test_seed_decides_everything():
    def images(seed):
        return _stored(synthetic(seed=seed, num_tasks=2, **FEW)[1].train)[0]

    np.testing.assert_array_equal(images(0), images(0))
    assert (images(0) != images(1)).mean() > 0.5


def test_strokes_of_a_shared_channel_are_the_same_in_all_tasks():
    strokes = _strokes("TS", channel=1).reshape(12, 2, 25)
    np.testing.assert_array_equal(strokes, strokes[:1].repeat(12, axis=0))
    np.testing.assert_allclose(strokes[0] @ strokes[0].T, np.eye(2), atol=1e-12)


def test_strokes_of_any_other_channel_are_at_right_angles():
    strokes = _strokes("TS", channel=0)
    np.testing.assert_allclose(strokes @ strokes.T, np.eye(24), atol=1e-12)
    np.testing.assert_allclose(strokes.mean(axis=1), 0, atol=1e-12)


def _without_noise(planted, **changes):
    values = dict(planted=planted, num_tasks=3, noise=0.0, num_train=800)
    return synthetic(**(values | changes))


def _energy(task):
    """Mean squared deviation from grey: images, channels."""
    images = _stored(task.train)[0].astype(float) - 128
    return (images**2).mean(axis=(1, 2)) / 20**2


def test_a_channel_tells_its_bit_of_the_class():
    task = _without_noise("TS", glare_fraction=0.0)[1]
    images, labels = _stored(task.train)
    recipe = _recipe("TS")
    for channel in range(2):
        strokes = module._strokes(recipe, channel, task_index=1)
        blocks = images[..., channel].reshape(-1, 3, 5, 3, 5) / 20 - 128 / 20
        found = np.einsum("npiqj,sij->nspq", blocks, strokes).sum((2, 3))
        np.testing.assert_array_equal(found.argmax(1), (labels >> channel) & 1)
        # Three places, each with a stroke of norm 1.
        np.testing.assert_allclose(found.max(1), 3, atol=0.3)


def _accuracy_with(strokes, task):
    """Looks for two strokes wherever a convolution would look for them."""
    images, labels = _stored(task.test)
    padded = np.pad(images[..., 0] / 20 - 128 / 20, ((0, 0), (2, 2), (2, 2)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), (1, 2))
    found = np.einsum("nyxij,sij->nsyx", windows, strokes).max((2, 3))
    return (found.argmax(1) == labels).mean()


@pytest.mark.parametrize("planted", ["S", "T"])
def test_strokes_of_an_earlier_task_are_of_use_where_they_are_shared(planted):
    task = synthetic(planted=planted, num_tasks=2, num_test=1000)[1]
    own, earlier = (
        module._strokes(_recipe(planted), 0, index) for index in (1, 0)
    )
    assert _accuracy_with(own, task) > 0.85
    if planted == "S":
        assert _accuracy_with(earlier, task) == _accuracy_with(own, task)
    else:
        assert 0.4 < _accuracy_with(earlier, task) < 0.6  # Chance: 0.5.


def test_only_later_tasks_and_unshared_channels_glare():
    first, second, third = map(_energy, _without_noise("TS"))
    for task in (first, second, third):
        assert task[:, 1].max() < 0.03  # Three strokes of norm 1 on 225 pixels.
    assert first[:, 0].max() < 0.03
    for task, num_earlier in ((second, 1), (third, 2)):
        glaring = task[:, 0] > 0.3
        assert 0.05 < glaring.mean() < 0.15
        expected = (3 * (1 + 64 * num_earlier)) / 225
        assert task[glaring, 0].mean() == pytest.approx(expected, rel=0.1)


def test_glare_says_nothing_about_the_class():
    task = _without_noise("T", num_train=4000)[1]
    _, labels = _stored(task.train)
    glaring = _energy(task)[:, 0] > 0.3
    assert abs(glaring[labels == 0].mean() - glaring[labels == 1].mean()) < 0.03


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(planted="TX"), "1 to 6 letters S .shared. and T.*'TX'"),
        (dict(planted=""), "1 to 6 letters S .shared. and T"),
        (dict(planted="all"), "1 to 6 letters S .shared. and T.*'all'"),
        (dict(planted=5), "1 to 6 letters S .shared. and T.*=5"),
        (dict(planted="T" * 7), "1 to 6 letters S .shared. and T"),
        (dict(num_tasks=1.5), "`num_tasks` must be a whole .* below 1"),
        (dict(num_tasks=0), "`num_tasks` must be a whole .* below 1"),
        (dict(num_tasks=13), "`num_tasks` must not exceed 12.*num_tasks=13"),
        (dict(num_train=3), "`num_train` must be a whole .* below 4"),
        (dict(num_validation=0), "`num_validation` must be a whole .* below 1"),
        (dict(num_test=0), "`num_test` must be a whole .* below 1"),
        (dict(noise=-1), "`noise` must be a number not below 0"),
        (dict(glare=-1), "`glare` must be a number not below 0"),
        (dict(glare_fraction=-1), "`glare_fraction` must be a number not"),
        (dict(glare_fraction=2), "`glare_fraction` must not exceed 1"),
    ],
)
def test_refuses_numbers_out_of_range(arguments, message):
    with pytest.raises(InputError, match=message):
        synthetic(**arguments)

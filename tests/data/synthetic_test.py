"""Tests of the made stream with a planted configuration."""

import importlib

import numpy as np
import pytest

from lasem_tf.checks import InputError
from lasem_tf.data import synthetic
from lasem_tf.data.splits import content_digests

# The package exports the function under the name of its module.
module = importlib.import_module("lasem_tf.data.synthetic")


def _stored(dataset):
    (whole,) = dataset.batch(len(dataset)).as_numpy_iterator()
    return whole


def _digests(dataset):
    return set(content_digests(_stored(dataset)[0]).tolist())


def _recipe(planted="TS", **changes):
    values = dict(
        configuration=module.TransferConfiguration.parse(planted, len(planted)),
        image_size=12,
        num_channels=3,
        num_parts=8,
        num_classes=4,
        decoy_strength=1.0,
        noise=0.5,
    )
    return module._Recipe(**(values | changes))


def test_first_task_has_many_images_and_later_ones_few():
    stream = synthetic(num_train_first=80, num_train=24, num_test=30)
    assert (stream.name, len(stream)) == ("synthetic", 4)
    assert [task.num_train for task in stream] == [80, 24, 24, 24]
    assert {task.image_shape for task in stream} == {(12, 12, 3)}
    for task in stream:
        counts = np.bincount(_stored(task.train)[1])
        assert counts.max() - counts.min() == 0
        assert len(_stored(task.test)[1]) == 30


def test_splits_never_share_an_image():
    splits = [
        _digests(split)
        for task in synthetic(num_train_first=80)
        for split in (task.train, task.validation, task.test)
    ]
    assert sum(map(len, splits)) == len(set.union(*splits))


def test_seed_decides_everything():
    def images(seed):
        return _stored(synthetic(seed=seed, num_tasks=2)[1].train)[0]

    np.testing.assert_array_equal(images(0), images(0))
    assert (images(0) != images(1)).mean() > 0.9


@pytest.mark.parametrize("planted", ["TS", "ST", "TSTS", "SSS"])
def test_planted_levels_are_the_same_in_all_tasks_and_others_differ(planted):
    recipe = _recipe(planted)
    worlds = [module._make_world(recipe, 0, index) for index in range(3)]
    for level, letter in enumerate(planted):
        for other in worlds[1:]:
            same = np.array_equal(
                worlds[0].dictionaries[level], other.dictionaries[level]
            )
            assert same == (letter == "S")


def test_drawing_is_the_parts_put_at_their_places():
    """One symbol of a one-level world is its stroke pattern, unchanged."""
    recipe = _recipe("S", num_parts=2)
    dictionary = np.random.default_rng(0).normal(size=(3, 3, 3, 2))
    maps = np.zeros((1, 5, 5, 2))
    maps[0, 2, 3, 1] = 1.0
    drawing = module._spread(maps, dictionary)
    expected = np.zeros((5, 5, 3))
    expected[1:4, 2:5] = dictionary[..., 1]
    np.testing.assert_allclose(drawing[0], expected)
    assert recipe.configuration.num_shared == 1


def test_levels_are_composed_from_the_top_down():
    """A part of parts is drawn where its arrangement puts them."""
    strokes = np.random.default_rng(0).normal(size=(3, 3, 1, 2))
    arrangement = np.zeros((3, 3, 2, 1))
    arrangement[0, 0, 1, 0] = 1.0  # Part 1, up and to the left.
    maps = np.zeros((1, 7, 7, 1))
    maps[0, 3, 3, 0] = 1.0
    drawing = module._spread(module._spread(maps, arrangement), strokes)
    expected = np.zeros((7, 7, 1))
    expected[1:4, 1:4] = strokes[..., 1]
    np.testing.assert_allclose(drawing[0], expected)


def test_classes_differ_in_their_symbols():
    for index in range(5):
        symbols = module._make_world(_recipe(), 0, index).symbols
        assert symbols.shape == (4, 2)
        assert len({tuple(sorted(pair)) for pair in symbols.tolist()}) == 4


def _mean_energy_without_noise(planted, task_index):
    stream = synthetic(
        planted=planted, num_tasks=2, noise=0.0, num_train=200, num_test=1
    )
    images = _stored(stream[task_index].train)[0].astype(float) - 128
    return (images**2).mean()


def test_later_tasks_hold_decoys_unless_everything_is_shared():
    ratio = _mean_energy_without_noise("TS", 1) / _mean_energy_without_noise(
        "TS", 0
    )
    assert 1.4 < ratio < 2.6  # A decoy has the energy of a drawing.
    ratio = _mean_energy_without_noise("SS", 1) / _mean_energy_without_noise(
        "SS", 0
    )
    assert 0.6 < ratio < 1.4


def _kernel_of(world):
    """Returns the templates of the symbols, [7, 7, channels, parts]."""
    num_parts = world.dictionaries[-1].shape[-1]
    maps = np.zeros((num_parts, 7, 7, num_parts))
    maps[np.arange(num_parts), 3, 3, np.arange(num_parts)] = 1.0
    for dictionary in reversed(world.dictionaries):
        maps = module._spread(maps, dictionary)
    return np.moveaxis(maps, 0, -1)


def _accuracy_reading_with(world, task, symbols):
    """Looks for each class's symbols with the templates of a world."""
    images, labels = _stored(task.test)
    images = images / 40.0 - 128 / 40.0
    templates = _kernel_of(world)
    templates /= np.sqrt((templates**2).sum((0, 1, 2)))
    scores = np.stack(
        [
            sum(
                np.roll(images, (3 - row, 3 - column), (1, 2))
                @ templates[row, column]
                for row in range(7)
                for column in range(7)
            ).max((1, 2))
        ]
    )[0]  # [num_images, parts]
    answers = scores[:, symbols].min(-1).argmax(-1)
    return (answers == labels).mean()


def test_own_templates_tell_classes_apart_and_an_earlier_tasks_do_not():
    stream = synthetic(planted="TS", num_tasks=2, num_test=400)
    earlier, own = (module._make_world(_recipe(), 0, i) for i in range(2))
    by_own = _accuracy_reading_with(own, stream[1], own.symbols)
    by_earlier = _accuracy_reading_with(earlier, stream[1], own.symbols)
    assert by_own > 0.7
    assert by_earlier < 0.35  # Chance is 0.25.


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(planted="TX"), "letters S .shared. and T.*'TX'"),
        (dict(planted=""), "letters S .shared. and T"),
        (dict(num_tasks=1.5), "`num_tasks` must be a whole .* below 1"),
        (dict(num_tasks=0), "`num_tasks` must be a whole .* below 1"),
        (dict(num_classes=1), "`num_classes` must be a whole .* below 2"),
        (dict(num_train=3), "`num_train` must be a whole .* below 4"),
        (
            dict(num_train_first=3),
            "`num_train_first` must be a whole .* below 4",
        ),
        (dict(num_validation=0), "`num_validation` must be a whole .* below 1"),
        (dict(num_test=0), "`num_test` must be a whole .* below 1"),
        (dict(image_size=2), "`image_size` must be a whole .* below 3"),
        (dict(num_channels=0), "`num_channels` must be a whole .* below 1"),
        (dict(num_parts=1), "`num_parts` must be a whole .* below 2"),
        (dict(noise=-1), "`noise` must be a number not below 0"),
        (dict(decoy_strength=-1), "`decoy_strength` must be a number not"),
        (dict(num_parts=3), "must not exceed 3, the number of pairs of 3"),
    ],
)
def test_refuses_numbers_out_of_range(arguments, message):
    with pytest.raises(InputError, match=message):
        synthetic(**arguments)

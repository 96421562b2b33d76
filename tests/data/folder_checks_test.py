"""Which images can be learned from: here of two pixels, told by their number.

A case is written as rows (place, number): equal numbers are equal images.
"""

import pathlib

import numpy as np
import pytest

from lasem_tf.checks import InputError
from lasem_tf.data.folder_checks import usable_images
from lasem_tf.data.folder_layout import FoundImage
from lasem_tf.data.problems import BadImageWarning, Problems

SIXTHS = {"validation_fraction": 1 / 6, "test_fraction": 1 / 6}


def found_image(place):
    """From `class`, `task/class` or `:split/class` to an image there."""
    top, _, class_name = place.rpartition("/")
    is_split = top.startswith(":")
    return FoundImage(
        path=pathlib.Path("/photos") / place.replace(":", "") / "1.png",
        task="" if is_split else top,
        split=top[1:] if is_split else "",
        class_name=class_name,
    )


def usable(rows, problems=None, fractions=SIXTHS, unreadable=()):
    images = np.array([[[[number]]] * 2 for _, number in rows], np.uint8)
    readable = np.ones(len(rows), bool)
    readable[list(unreadable)] = False
    return usable_images(
        [found_image(place) for place, _ in rows],
        images,
        readable,
        fractions,
        problems or Problems("raise"),
    )


def rest(rows, match, num_left_out, **kwargs):
    """Returns what is usable beside what has to be left out."""
    problems = Problems("skip")
    with pytest.warns(BadImageWarning, match=match) as told:
        numbers = usable(rows, problems, **kwargs)
    assert len(told) == 1
    assert problems.num_left_out == num_left_out
    return numbers


def rows_of(place, count, start):
    return [(place, start + number) for number in range(count)]


GOOD = rows_of("cat", 6, start=0) + rows_of("dog", 6, start=10)
SPLITS = [
    row
    for index, (split, count) in enumerate(
        {"train": 4, "validation": 2, "test": 2}.items()
    )
    for where, name in enumerate(("cat", "dog"))
    for row in rows_of(f":{split}/{name}", count, 100 * where + 10 * index)
]


@pytest.mark.parametrize("rows", [GOOD, SPLITS])
def test_good_images_are_all_usable(rows):
    assert usable(rows) == list(range(len(rows)))


def test_unreadable_images_are_not_usable():
    # Nor are they anything's copy, whatever lies in their place.
    rows = [*GOOD, ("dog", 0), ("cat", 99)]
    expected = [*range(3), *range(4, 12), 13]
    assert usable(rows, unreadable=[3, 12]) == expected


# Copies.


def test_an_image_in_two_classes_is_left_out_of_both():
    rows = [*GOOD, ("cat", 50), ("cat", 50), ("dog", 50)]
    named = "'/photos/cat/1.png' and '/photos/dog/1.png'"
    with pytest.raises(InputError, match=f"one class only.*{named}"):
        usable(rows)
    assert rest(rows, f"all 3 copies.*{named}", 3) == list(range(12))


def test_an_image_may_be_in_two_tasks_and_twice_in_a_class():
    rows = [(f"pets/{name}", number) for name, number in GOOD]
    rows += [(f"zoo/{name}", 19 - number) for name, number in GOOD]
    rows += [("pets/cat", 0)]
    assert usable(rows) == list(range(25))


@pytest.mark.parametrize(
    ("kept", "left_out"),
    [("test", "validation"), ("test", "train"), ("validation", "train")],
)
def test_of_two_splits_the_later_one_keeps_an_image(kept, left_out):
    copies = [(f":{left_out}/cat", 77), (f":{kept}/cat", 77)]
    for pair, expected in ((copies, 17), (copies[::-1], 16)):
        rows = SPLITS + pair
        named = f"/{left_out}/cat/1.png' and '.*/{kept}/cat.*from {left_out}"
        with pytest.raises(InputError, match=f"one split only.*{named}"):
            usable(rows)
        assert rest(rows, named, 1) == [*range(16), expected]


def test_copies_within_a_split_stay():
    rows = [*SPLITS, (":test/cat", 77), (":test/cat", 77)]
    assert usable(rows) == list(range(18))


# Classes.


@pytest.mark.parametrize(
    ("fractions", "fewest"),
    [
        (SIXTHS, 3),
        ({"validation_fraction": 0.4, "test_fraction": 0.4}, 5),
        ({"validation_fraction": 0.01, "test_fraction": 0.01}, 3),
    ],
)
def test_a_class_needs_an_image_for_each_split(fractions, fewest):
    enough = GOOD + rows_of("few", fewest, start=50)
    assert usable(enough, fractions=fractions) == list(range(12 + fewest))
    named = f"class 'few' with {fewest - 1} different images"
    with pytest.raises(InputError, match=named):
        usable(enough[:-1], fractions=fractions)
    left = rest(enough[:-1], named, fewest - 1, fractions=fractions)
    assert left == list(range(12))


def test_copies_count_once():
    rows = [*GOOD, *[("few", 50)] * 5, ("few", 51)]
    assert rest(rows, "class 'few' with 2 different", 6) == list(range(12))


def test_each_task_is_looked_at_alone():
    rows = [(f"pets/{name}", number) for name, number in GOOD]
    rows += [("pets/few", 50), ("pets/few", 51)]
    rows += [("zoo/" + name, number) for name, number in GOOD]
    rows += rows_of("zoo/few", 4, start=60)
    expected = [*range(12), *range(14, 30)]
    assert rest(rows, "class 'few' with 2 different", 2) == expected


@pytest.mark.parametrize("lacking", ["train", "validation", "test"])
def test_a_class_must_be_in_every_split_that_there_is(lacking):
    rows = [row for row in SPLITS if row[0] != f":{lacking}/cat"]
    rows += [
        (row[0].replace("dog", "cow"), row[1] + 50)
        for row in SPLITS[4:]
        if "dog" in row[0]
    ] + rows_of(":train/cow", 4, start=200)
    numbers = [n for n, (place, _) in enumerate(rows) if "cat" not in place]
    named = f"class 'cat' with .*\\b0 different images in {lacking}"
    with pytest.raises(InputError, match=named):
        usable(rows)
    assert rest(rows, named, len(rows) - len(numbers)) == numbers


@pytest.mark.parametrize("missing", ["validation", "test"])
def test_a_split_that_is_missing_needs_images_to_train_on(missing):
    rows = [row for row in SPLITS if not row[0].startswith(f":{missing}")]
    assert usable(rows) == list(range(len(rows)))
    fractions = SIXTHS | {f"{missing}_fraction": 0.9}
    with pytest.raises(InputError, match="class 'cat' with .*\\b4 .* in train"):
        usable(rows, fractions=fractions)


def test_a_class_of_which_nothing_is_left_is_told_of():
    rows = [*GOOD, ("gone", 90)]
    numbers = rest(rows, "class 'gone' with 0 different", 0, unreadable=[12])
    assert numbers == list(range(12))


# Tasks.


def test_a_task_needs_two_classes():
    rows = [(f"pets/{name}", number) for name, number in GOOD]
    rows += rows_of("zoo/lion", 6, start=50)
    named = "two classes .*'lion' in task 'zoo'"
    with pytest.raises(InputError, match=named):
        usable(rows)
    assert rest(rows, f"Left out task 'zoo': .*{named}", 6) == list(range(12))


@pytest.mark.parametrize("top", ["", "zoo/"])
@pytest.mark.parametrize("on_bad_image", ["raise", "skip"])
def test_without_any_task_nothing_goes_on(top, on_bad_image):
    rows = rows_of(f"{top}lion", 6, start=0)
    with pytest.raises(InputError, match="needs at least two classes.*'lion'"):
        usable(rows, Problems(on_bad_image))


def test_without_any_image_nothing_goes_on():
    with (
        pytest.warns(BadImageWarning, match="with 0 different images"),
        pytest.raises(InputError, match="two classes .* Received: none"),
    ):
        usable(GOOD, Problems("skip"), unreadable=range(12))

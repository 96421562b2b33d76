"""Anyone's image files: layouts, modes, bad data, and what is kept on disk."""

import os
import warnings

import numpy as np
import pytest
from PIL import ExifTags, Image

from lasem_tf.checks import InputError
from lasem_tf.data import image_folder, prepared_images
from lasem_tf.data.problems import BadImageWarning
from lasem_tf.tasks import content_digest
from tests.data.fake_builder import (
    assert_no_image_in_two_splits,
    digests,
    splits,
    stored,
)

PER_CLASS = 12


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def picture(number, size=(9, 7)):
    """A picture of noise of its own."""
    shape = (size[1], size[0], 3)
    generator = np.random.default_rng(number)
    return Image.fromarray(generator.integers(0, 256, shape, np.uint8))


def fill(folder, num_images=PER_CLASS, start=0):
    """Puts pictures that are nowhere else into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(num_images):
        offset = sum(map(ord, str(folder.relative_to(folder.parents[2]))))
        picture(100 * offset + start + number).save(
            folder / f"{start + number:02d}.png"
        )


def photos(tmp_path, classes="abcd", **kwargs):
    root = tmp_path / "photos"
    for name in classes:
        fill(root / name, **kwargs)
    return root


def stream_of(root, *args, image_size=8, **kwargs):
    return image_folder(root, image_size, *args, **kwargs)


# Layouts.


def test_classes_are_dealt_to_tasks(tmp_path):
    stream = stream_of(photos(tmp_path), classes_per_task=2)
    assert stream.name == "photos" and stream.num_left_out == 0
    assert [task.name for task in stream] == ["photos_00", "photos_01"]
    names = [name for task in stream for name in task.class_names]
    assert sorted(names) == ["a", "b", "c", "d"]
    for task in stream:
        counts = [np.bincount(stored(s)[1]).tolist() for s in splits(task)]
        assert counts == [[8, 8], [2, 2], [2, 2]]
        assert task.image_shape == (8, 8, 3)
    assert_no_image_in_two_splits(stream)


@pytest.mark.parametrize(
    ("num_classes", "classes_per_task", "expected"),
    [(5, 2, [2, 3]), (7, 3, [3, 4]), (8, 3, [3, 3, 2]), (4, 4, [4])],
)
def test_every_class_is_dealt_once(
    tmp_path, num_classes, classes_per_task, expected
):
    root = photos(tmp_path, "abcdefgh"[:num_classes], num_images=3)
    stream = stream_of(root, classes_per_task)
    assert [task.num_classes for task in stream] == expected
    names = [name for task in stream for name in task.class_names]
    assert sorted(names) == list("abcdefgh"[:num_classes])


def test_all_classes_make_one_task_where_nothing_is_said(tmp_path):
    (task,) = stream_of(photos(tmp_path))
    assert task.class_names == ("a", "b", "c", "d")


def test_folders_may_name_the_tasks(tmp_path):
    root = tmp_path / "photos"
    for place in ("birds/crow", "birds/owl", "cars/bus", "cars/van", "cars/4"):
        fill(root / place, num_images=5 if "4" in place else PER_CLASS)
    birds, cars = stream_of(root)
    assert (birds.name, birds.class_names) == ("birds", ("crow", "owl"))
    assert (cars.name, cars.class_names) == ("cars", ("4", "bus", "van"))
    assert birds.num_train == 16 and cars.num_train == 16 + 3


def test_folders_may_name_the_splits(tmp_path):
    root = tmp_path / "photos"
    for split, count in (("train", 6), ("Val", 2), ("test", 3)):
        for name in "abcd":
            fill(root / split / name, count)
    stream = stream_of(root, classes_per_task=2, seed=1)
    for task in stream:
        counts = [np.bincount(stored(s)[1]).tolist() for s in splits(task)]
        assert counts == [[6, 6], [2, 2], [3, 3]]


def test_a_split_that_is_missing_is_drawn_from_those_to_train_on(tmp_path):
    root = tmp_path / "photos"
    for split, count in (("train", 6), ("test", 3)):
        for name in "ab":
            fill(root / split / name, count)
    (task,) = stream_of(root)
    assert [len(split) for split in splits(task)] == [10, 2, 6]


def test_the_image_is_that_of_its_class(tmp_path):
    root = photos(tmp_path, "ab")
    for path in (root / "b").iterdir():
        path.unlink()
    for number in range(6):
        Image.new("RGB", (20, 20), (10 * number, 200, 0)).save(
            root / "b" / f"{number}.png"
        )
    (task,) = stream_of(root)
    for split in splits(task):
        images, labels = stored(split)
        assert (images[labels == 1][..., 1] == 200).all()
        assert not (images[labels == 0][..., 1] == 200).all()


# What is drawn.


def test_a_seed_gives_the_same_stream_wherever_the_folder_lies(tmp_path):
    one = stream_of(photos(tmp_path), 2, seed=3)
    moved = tmp_path / "elsewhere"
    (tmp_path / "photos").rename(moved)
    again, other = stream_of(moved, 2, seed=3), stream_of(moved, 2, seed=4)
    assert again.name == "elsewhere"
    for a, b in zip(one, again, strict=True):
        assert a.class_names == b.class_names
        assert list(map(digests, splits(a))) == list(map(digests, splits(b)))
    assert [digests(t.train) for t in one] != [digests(t.train) for t in other]


def test_a_seed_gives_the_same_stream_however_the_disk_lists_it(
    tmp_path, monkeypatch
):
    root = photos(tmp_path)
    before = content_digest(stream_of(root, 2))
    scandir = os.scandir

    def backwards(path):
        return sorted(scandir(path), key=lambda entry: entry.name)[::-1]

    monkeypatch.setattr(os, "scandir", backwards)
    assert content_digest(stream_of(root, 2)) == before
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    assert content_digest(stream_of(root, 2)) == before


def test_a_seed_gives_this_stream_on_any_machine(tmp_path):
    root = tmp_path / "photos"
    for value, place in enumerate(
        f"{c}/{n}.png" for c in "abcd" for n in "012"
    ):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), value).save(root / place)
    stream = stream_of(root, 2, seed=5, channels=1)
    drawn = [
        [stored(split)[0][:, 0, 0, 0].tolist() for split in splits(task)]
        for task in stream
    ]
    assert [task.class_names for task in stream] == [("b", "a"), ("c", "d")]
    assert drawn == [[[3, 1], [4, 0], [5, 2]], [[6, 11], [8, 10], [7, 9]]]


def test_the_second_start_decodes_nothing(tmp_path, monkeypatch):
    root = photos(tmp_path)
    before = content_digest(stream_of(root))

    def fail(*_):
        raise AssertionError("decoded again")

    monkeypatch.setattr(prepared_images, "read_image_in_thread", fail)
    monkeypatch.setattr(prepared_images, "picture_size", fail)
    assert content_digest(stream_of(root)) == before


def test_copies_of_an_image_stay_in_one_split(tmp_path):
    root = photos(tmp_path, "ab")
    for number in range(30, 40):
        picture(1).save(root / "a" / f"{number}.png")
    stream = stream_of(root)
    assert_no_image_in_two_splits(stream)
    assert sum(len(split) for split in splits(stream[0])) == 2 * PER_CLASS + 10


def test_sizes_and_modes_are_brought_together(tmp_path):
    root = photos(tmp_path, "ab")
    picture(1, (30, 50)).convert("L").save(root / "a" / "grey.png")
    picture(2).convert("RGBA").save(root / "a" / "alpha.png")
    picture(3).convert("P").save(root / "a" / "palette.gif")
    picture(4).convert("CMYK").save(root / "a" / "print.jpg")
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    picture(5).save(root / "a" / "turned.jpg", exif=turned)
    (task,) = stream_of(root, image_size=(5, 6))
    assert task.image_shape == (5, 6, 3)
    assert sum(len(split) for split in splits(task)) == 2 * PER_CLASS + 5
    (grey,) = stream_of(root, channels=1)
    assert grey.image_shape == (8, 8, 1)


# Bad data: in `raise` an error of one line that names it, in `skip` a warning
# and a count, and the rest goes on.


def truncated(root):
    path = root / "a" / "03.png"
    path.write_bytes(path.read_bytes()[:-40])
    return "a/03.png", 1


def no_image(root):
    (root / "a" / "notes.txt").write_text("no image")
    return "a/notes.txt", 1


def empty_class(root):
    (root / "empty").mkdir()
    return "photos/empty", 1


def two_of_one_name(root):
    fill(root / "A", 5, start=50)
    return "photos/a' beside '.*photos/A'", PER_CLASS


def small_class(root):
    fill(root / "few", 2)
    return "class 'few' with 2 different", 2


def copies_in_two_classes(root):
    picture(77).save(root / "a" / "one.png")
    picture(77).save(root / "a" / "once more.png")
    picture(77).save(root / "b" / "other.png")
    return "a/one.png' and '.*b/other.png", 3


def wrong_format(root):
    (root / "a" / "photo.png").write_bytes(b"GIF89a" + bytes(100))
    return "a/photo.png", 1


def symlink_loop(root):
    (root / "a" / "loop").symlink_to(root)
    return "a/loop': it links to", 1


def link_to_itself(root):
    (root / "a" / "link.png").symlink_to("link.png")
    return "a/link.png': Too many levels", 1


def pipe(root):
    os.mkfifo(root / "a" / "pipe.png")
    return "a/pipe.png", 1


def two_lines_in_a_name(root):
    (root / "a" / "two\nlines.png").write_text("no image")
    return "a/two.+lines.png", 1


def broken_link(root):
    (root / "a" / "link.png").symlink_to(root / "nowhere.png")
    return "a/link.png", 1


def one_pixel(root):
    Image.new("RGB", (1, 1)).save(root / "a" / "pixel.png")
    return "a/pixel.png' of 1x1", 1


def hundred_megapixels(root):
    Image.new("1", (10_000, 10_000)).save(root / "a" / "huge.png")
    return "a/huge.png' of 10000x10000", 1


def other_depth(root):
    fill(root / "a" / "deeper", 1)
    return "a/deeper/00.png", 1


def image_beside_classes(root):
    picture(5).save(root / "lost.png")
    return "photos/lost.png", 1


BAD = [
    truncated,
    no_image,
    empty_class,
    two_of_one_name,
    small_class,
    copies_in_two_classes,
    wrong_format,
    symlink_loop,
    link_to_itself,
    pipe,
    two_lines_in_a_name,
    broken_link,
    one_pixel,
    hundred_megapixels,
    other_depth,
    image_beside_classes,
]


@pytest.mark.parametrize("spoil", BAD)
def test_bad_data_are_an_error_of_one_line_that_names_them(tmp_path, spoil):
    root = photos(tmp_path)
    named, _ = spoil(root)
    with pytest.raises(InputError, match=named) as raised:
        stream_of(root)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("spoil", BAD)
def test_bad_data_may_be_skipped_with_a_warning_and_a_count(tmp_path, spoil):
    root = photos(tmp_path)
    named, count = spoil(root)
    for _ in range(2):  # Read, and from the cache.
        with pytest.warns(BadImageWarning, match=named) as told:
            stream = stream_of(root, on_bad_image="skip")
        (message,) = (str(warning.message) for warning in told)
        assert "\n" not in message
        assert stream.num_left_out == count
        whole = sum(len(split) for split in splits(stream[0]))
        lost = {truncated: 1, two_of_one_name: PER_CLASS - 5}.get(spoil, 0)
        assert whole == 4 * PER_CLASS - lost
        assert_no_image_in_two_splits(stream)


def test_several_problems_are_all_told_and_counted(tmp_path):
    root = photos(tmp_path)
    total = sum(spoil(root)[1] for spoil in (truncated, no_image, one_pixel))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        stream = stream_of(root, on_bad_image="skip")
    assert len(told) == total == stream.num_left_out == 3


def test_an_image_in_two_splits_stays_to_test(tmp_path):
    root = tmp_path / "photos"
    for split in ("train", "test"):
        for name in "ab":
            fill(root / split / name, 6)
    picture(9).save(root / "train" / "a" / "copy.png")
    picture(9).save(root / "test" / "a" / "copy.png")
    with pytest.raises(InputError, match="train/a/copy.png' and '.*test/a"):
        stream_of(root)
    with pytest.warns(BadImageWarning, match="train/a/copy.png"):
        (task,) = stream_of(root, on_bad_image="skip")
    assert len(task.test) == 13
    assert task.num_train + len(task.validation) == 12


def test_an_unreadable_folder_is_named(tmp_path, monkeypatch):
    root = photos(tmp_path)
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("photos/b"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match="photos/b': Permission denied"):
        stream_of(root)
    with pytest.warns(BadImageWarning, match="photos/b"):
        stream = stream_of(root, on_bad_image="skip")
    assert stream[0].class_names == ("a", "c", "d")
    assert stream.num_left_out == 1


def test_what_desktops_leave_behind_does_not_count(tmp_path):
    root = photos(tmp_path)
    for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
        (root / "a" / name).write_text("no image")
    (root / ".git").mkdir()
    assert stream_of(root).num_left_out == 0


def test_strange_names_are_just_names(tmp_path):
    latin = os.fsdecode("ä".encode("latin-1"))
    names = ["it's", 'a "b"', "ünï côdé", "two\nlines", latin]
    (tmp_path / latin).mkdir()
    stream = stream_of(photos(tmp_path / latin, names))
    assert sorted(stream[0].class_names) == [
        'a "b"',
        "it's",
        "two lines",
        "ünï côdé",
        "\N{REPLACEMENT CHARACTER}",
    ]
    assert_no_image_in_two_splits(stream)


def test_a_folder_of_a_strange_name_names_the_stream(tmp_path):
    root = photos(tmp_path)
    strange = root.with_name(os.fsdecode(b"my\nph\xf6tos"))
    root.rename(strange)
    (task,) = stream = stream_of(strange)
    assert stream.name == "my ph\N{REPLACEMENT CHARACTER}tos"
    assert task.name == f"{stream.name}_00"


def test_a_task_that_has_one_class_left_does_not_stop_the_others(tmp_path):
    root = tmp_path / "photos"
    for place in ("birds/crow", "birds/owl", "cars/bus"):
        fill(root / place)
    fill(root / "cars" / "van", 2)
    with pytest.raises(InputError, match="class 'van' with 2 different"):
        stream_of(root)
    with pytest.warns(BadImageWarning) as told:
        stream = stream_of(root, on_bad_image="skip")
    assert [task.name for task in stream] == ["birds"]
    assert stream.num_left_out == 2 + PER_CLASS
    assert len(told) == 2
    assert "task 'cars'" in str(told[1].message)


# Wrong arguments.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 0}, "`image_size` must be"),
        ({"image_size": -3}, "`image_size` must be"),
        ({"image_size": "96"}, "`image_size` must be"),
        ({"image_size": (96,)}, "`image_size` must be a height and a width"),
        ({"image_size": (64, 96, 3)}, "`image_size` must be a height and a"),
        ({"image_size": None}, "`image_size` must say the size"),
        ({"classes_per_task": 1}, "`classes_per_task` must be"),
        ({"classes_per_task": 0}, "`classes_per_task` must be"),
        ({"classes_per_task": "2"}, "`classes_per_task` must be"),
        ({"classes_per_task": 5}, "`classes_per_task` must not exceed 4"),
        ({"channels": 2}, "`channels` must be 1 .* or 3 .*channels=2"),
        ({"channels": "3"}, "`channels` must be .*channels='3'"),
        ({"channels": True}, "`channels` must be .*channels=True"),
        ({"validation_fraction": 0}, "must be above 0 .*fraction=0,"),
        ({"test_fraction": 0.0}, "must be above 0 .*test_fraction=0.0"),
        ({"test_fraction": "0.1"}, "must be above 0 .*test_fraction='0.1'"),
        ({"test_fraction": 0.9}, "leave images to train on.*=0.9"),
        ({"test_fraction": float("nan")}, "leave images to train on.*=nan"),
        ({"on_bad_image": "ignore"}, "`on_bad_image` must be one of"),
        ({"scaling": "none"}, "`scaling` must be one of"),
    ],
)
@pytest.mark.parametrize("on_bad_image", ["raise", "skip"])
def test_refuses_values_that_mean_nothing(
    tmp_path, arguments, message, on_bad_image
):
    arguments = {"on_bad_image": on_bad_image} | arguments
    with pytest.raises(InputError, match=message):
        stream_of(photos(tmp_path, num_images=3), **arguments)


def test_refuses_to_deal_what_folders_have_dealt(tmp_path):
    root = tmp_path / "photos"
    for place in ("birds/crow", "birds/owl"):
        fill(root / place)
    with pytest.raises(InputError, match="no meaning where folders name"):
        stream_of(root, classes_per_task=2)
    assert not (tmp_path / "cache").exists()  # Nobody has waited.


def test_refuses_what_is_no_folder_of_images(tmp_path):
    for path, message in (
        (tmp_path / "missing", "which is not there"),
        (tmp_path / "file", "a file"),
        (tmp_path / "empty", "with no file"),
    ):
        if path.name == "file":
            path.write_text("")
        if path.name == "empty":
            path.mkdir()
        with pytest.raises(InputError, match=message):
            stream_of(path)


def test_refuses_one_class_alone(tmp_path):
    with pytest.raises(InputError, match="at least two classes"):
        stream_of(photos(tmp_path, "a"))


def test_refuses_splits_of_which_none_trains(tmp_path):
    for name in "ab":
        fill(tmp_path / "photos" / "test" / name)
    with pytest.raises(InputError, match="called 'train'"):
        stream_of(tmp_path / "photos")

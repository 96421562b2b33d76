"""Where images may lie: only names count, so the files here are empty."""

import os
import re
import unicodedata

import pytest

from lasem_tf.checks import InputError
from lasem_tf.data.folder_layout import find_images
from lasem_tf.data.problems import BadImageWarning, Problems


def touch(root, *places):
    for place in places:
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def find(root):
    return find_images(root, Problems("raise"))


def find_rest(root, match, num_left_out):
    """Returns what is found beside what has to be left out."""
    problems = Problems("skip")
    with pytest.warns(BadImageWarning) as told:
        found = find_images(root, problems)
    assert any(re.search(match, str(warning.message)) for warning in told)
    assert problems.num_left_out == num_left_out
    return found


def places(root, found):
    return [image.path.relative_to(root).as_posix() for image in found]


@pytest.mark.parametrize("as_given", [str, lambda path: path])
def test_folders_are_classes(tmp_path, as_given):
    touch(tmp_path, "dog/2.png", "dog/1.jpg", "cat/1.png")
    found = find(as_given(tmp_path))
    assert places(tmp_path, found) == ["cat/1.png", "dog/1.jpg", "dog/2.png"]
    assert [image.class_name for image in found] == ["cat", "dog", "dog"]
    assert {(image.task, image.split) for image in found} == {("", "")}


def test_folders_are_tasks(tmp_path):
    touch(tmp_path, "pets/dog/1.png", "pets/cat/1.png", "farm/cow/1.png")
    assert [image[1:] for image in find(tmp_path)] == [
        ("farm", "", "cow"),
        ("pets", "", "cat"),
        ("pets", "", "dog"),
    ]


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("train", "val", "test"), ("test", "train", "validation")),
        (("Training", "valid"), ("train", "validation")),
        (("TRAIN", "Validation", "Testing"), ("test", "train", "validation")),
        (("train",), ("train",)),
    ],
)
def test_folders_are_splits(tmp_path, names, splits):
    touch(tmp_path, *(f"{name}/cat/{name}.png" for name in names))
    found = find(tmp_path)
    assert sorted(image.split for image in found) == list(splits)
    assert {(image.task, image.class_name) for image in found} == {("", "cat")}
    for image in found:  # Which is which.
        assert image.path.name.lower().startswith(image.split[:3])


def test_a_task_may_be_about_trains(tmp_path):
    touch(tmp_path, "train/fast/1.png", "plane/fast/1.png")
    assert [image.task for image in find(tmp_path)] == ["plane", "train"]


def test_splits_beside_other_folders_are_refused(tmp_path):
    touch(tmp_path, "train/cat/1.png", "test/cat/1.png", "spare/cat/1.png")
    with pytest.raises(
        InputError, match=r"not lie beside others.*'train'\] beside \['spare'\]"
    ):
        find(tmp_path)


def test_splits_of_which_none_trains_are_refused(tmp_path):
    touch(tmp_path, "val/cat/1.png", "test/cat/1.png")
    with pytest.raises(InputError, match=r"called 'train'.*\['test', 'val'\]"):
        find(tmp_path)


@pytest.mark.parametrize(
    "places",
    [["train/1.png", "test/1.png"], ["cat/Train/1.png", "cat/val/2.png"]],
)
def test_splits_are_no_classes(tmp_path, places):
    touch(tmp_path, *places)
    with pytest.raises(InputError, match="must lie in a folder of their class"):
        find(tmp_path)


def test_the_order_is_that_of_names_and_not_of_the_disk(tmp_path, monkeypatch):
    touch(tmp_path, *(f"{c}/{n}.png" for c in "ZaéB" for n in range(5)))
    expected = places(tmp_path, find(tmp_path))
    scandir = os.scandir

    def backwards(path):
        return sorted(scandir(path), key=lambda entry: entry.name)[::-1]

    monkeypatch.setattr(os, "scandir", backwards)
    assert places(tmp_path, find(tmp_path)) == expected == sorted(expected)


def test_the_order_is_that_of_a_system_that_writes_accents_apart(tmp_path):
    found = {}
    for form in ("NFC", "NFD"):
        names = [unicodedata.normalize(form, name) for name in ("é", "f", "z")]
        touch(tmp_path / form, *(f"{name}/1.png" for name in names))
        found[form] = [image[1:] for image in find(tmp_path / form)]
    assert found["NFC"] == found["NFD"]


# Files at other depths.


def test_the_depth_of_most_images_counts(tmp_path):
    touch(tmp_path, "a/1.png", "a/2.png", "b/1.png", "b/deep/3.png", "0.png")
    with pytest.raises(InputError, match="one depth, here class/image.*/0.png"):
        find(tmp_path)
    found = find_rest(tmp_path, "b/deep/3.png", num_left_out=2)
    assert places(tmp_path, found) == ["a/1.png", "a/2.png", "b/1.png"]
    touch(tmp_path, *(f"b/deep/{number}.png" for number in range(9)))
    found = find_rest(
        tmp_path, "here task/class/image.*a/1.png", num_left_out=4
    )
    assert {image.task for image in found} == {"b"}


@pytest.mark.parametrize("place", ["1.png", "a/b/c/1.png"])
def test_no_image_at_a_depth_that_means_something(tmp_path, place):
    touch(tmp_path, place)
    with pytest.raises(InputError, match=f"must hold images as .*'{place}'"):
        find(tmp_path)


# What does not count.


@pytest.mark.parametrize(
    "place",
    [
        "cat/.DS_Store",
        "cat/._1.png",
        ".git/config",
        "Thumbs.db",
        "cat/desktop.ini",
        "__MACOSX/cat/._1.png",
    ],
)
def test_what_desktops_leave_behind_does_not_count(tmp_path, place):
    touch(tmp_path, "cat/1.png", place)
    assert places(tmp_path, find(tmp_path)) == ["cat/1.png"]


# What cannot be looked into.


@pytest.mark.parametrize("place", ["empty", "dog/empty"])
def test_empty_folders_are_named(tmp_path, place):
    touch(tmp_path, "cat/1.png", "dog/1.png", f"{place}/.hidden")
    with pytest.raises(InputError, match=f"an empty folder '.*/{place}'"):
        find(tmp_path)
    assert len(find_rest(tmp_path, place, num_left_out=1)) == 2


def forbid(monkeypatch, name):
    """Makes a folder unreadable: root, who tests, may read any."""
    scandir = os.scandir

    def refuse(path):
        if os.path.basename(path) == name:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)


def test_unreadable_folders_are_named(tmp_path, monkeypatch):
    touch(tmp_path, "cat/1.png", "dog/1.png")
    forbid(monkeypatch, "dog")
    with pytest.raises(InputError, match="/dog': Permission denied"):
        find(tmp_path)
    found = find_rest(tmp_path, "Left out '.*/dog'", num_left_out=1)
    assert places(tmp_path, found) == ["cat/1.png"]


def test_an_unreadable_root_is_named(tmp_path, monkeypatch):
    forbid(monkeypatch, tmp_path.name)
    with pytest.raises(
        InputError, match=f"{tmp_path.name}': Permission denied"
    ):
        find(tmp_path)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("..", "it links to '.*'"),
        ("../dog", "it links to '.*/dog'"),
        ("loop", "Too many levels of symbolic links"),
        ("nowhere", "a broken link"),
    ],
)
def test_links_that_lead_nowhere_are_named(tmp_path, target, reason):
    touch(tmp_path, "cat/1.png", "dog/1.png")
    (tmp_path / "dog" / "loop").symlink_to(target)
    with pytest.raises(InputError, match=f"/dog/loop': {reason}"):
        find(tmp_path)
    found = find_rest(tmp_path, "Left out '.*/dog/loop'", num_left_out=1)
    assert places(tmp_path, found) == ["cat/1.png", "dog/1.png"]


def test_links_elsewhere_are_followed(tmp_path):
    touch(tmp_path, "store/1.png", "root/cat/1.png")
    (tmp_path / "root" / "dog").symlink_to("../store")
    (tmp_path / "root" / "cow").symlink_to("../store")  # Twice is no loop.
    found = find(tmp_path / "root")
    assert [image.class_name for image in found] == ["cat", "cow", "dog"]


def test_a_pipe_is_named_and_not_waited_for(tmp_path):
    touch(tmp_path, "cat/1.png", "dog/1.png")
    os.mkfifo(tmp_path / "dog" / "pipe")
    with pytest.raises(InputError, match="/dog/pipe': .* no file"):
        find(tmp_path)


# Names.


@pytest.mark.parametrize(
    ("one", "other"),
    [("Cat", "cat"), ("cat", "cat "), ("fish", "ﬁsh"), ("SS", "ß")],
)
def test_two_classes_of_one_name_are_named(tmp_path, one, other):
    touch(tmp_path, f"{one}/1.png", f"{other}/1.png", f"{other}/2.png")
    with pytest.raises(InputError, match=f"/{other}' beside '.*/{one}'"):
        find(tmp_path)
    found = find_rest(tmp_path, other, num_left_out=2)
    assert places(tmp_path, found) == [f"{one}/1.png"]


def test_classes_of_two_tasks_may_have_one_name(tmp_path):
    touch(tmp_path, "pets/Cat/1.png", "zoo/cat/1.png", "zoo/Lion/1.png")
    assert len(find(tmp_path)) == 3


def test_classes_of_two_splits_must_have_the_very_same_name(tmp_path):
    touch(tmp_path, "train/cat/1.png", "test/cat/1.png")
    assert len(find(tmp_path)) == 2
    touch(tmp_path, "train/Dog/1.png", "test/dog/1.png")
    with pytest.raises(InputError, match="train/Dog' beside '.*test/dog'"):
        find(tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b'it\'s "big"', 'it\'s "big"'),
        (b"two\nlines\t", "two lines"),
        (b" ", "' '"),
        (b"caf\xe9", "caf\ufffd"),  # Latin-1
        ("cafe\u0301".encode(), "caf\xe9"),
    ],
)
def test_any_name_becomes_text_that_can_be_written(tmp_path, name, text):
    touch(tmp_path, "a task/a/1.png")
    for task in (b"a task", name):
        folder = os.path.join(os.fsencode(tmp_path), task, name)
        os.makedirs(folder)
        with open(os.path.join(folder, b"\xff.png"), "wb"):
            pass
    found = find(tmp_path)
    assert {image[1:] for image in found} == {
        ("a task", "", "a"),
        ("a task", "", text),
        (text, "", text),
    }
    assert all(image.path.exists() for image in found)


def test_names_that_become_one_text_are_two_classes(tmp_path):
    for name in (b"\xfe", b"\xff"):
        folder = os.path.join(os.fsencode(tmp_path), name)
        os.makedirs(folder)
        with open(os.path.join(folder, b"1.png"), "wb"):
            pass
    with pytest.raises(InputError, match="must not have one name"):
        find(tmp_path)


# The folder itself.


@pytest.mark.parametrize(
    ("path", "received"),
    [
        ("gone", "'.*gone', which is not there"),
        ("file", "'.*file', a file"),
        ("loop", "'.*loop', which is not there"),
    ],
)
def test_refuses_what_is_no_folder(tmp_path, path, received):
    touch(tmp_path, "file")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError, match=f"folder of images.*{received}"):
        find(tmp_path / path)


@pytest.mark.parametrize(
    ("path", "received"),
    [
        ("", "'', which is not there"),  # Not the folder one happens to be in.
        ("a\0b", "which is not there"),
        (None, "'None', which is no path"),
        (5, "'5', which is no path"),
        (b"photos", "which is no path"),
    ],
)
def test_refuses_what_is_no_path(path, received):
    with pytest.raises(InputError, match=f"folder of images.*{received}"):
        find(path)


def test_refuses_a_folder_without_files(tmp_path):
    with pytest.raises(InputError, match="with no file"):
        find(tmp_path)

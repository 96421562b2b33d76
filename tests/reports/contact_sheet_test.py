import dataclasses

import numpy as np
import pytest
from PIL import Image

from lasem_tf.checks import InputError
from lasem_tf.data import from_arrays
from lasem_tf.reports import contact_sheet as module
from lasem_tf.reports.contact_sheet import (
    check_output,
    contact_sheet,
    counts_table,
)
from lasem_tf.tasks import TaskStream

TILE, STEP, LABEL, MARGIN = 64, 68, 132, 16
HEADING = 2 * 18 + 4


def arrays(num_images=30, size=8, channels=3, num_classes=3, seed=0):
    generator = np.random.default_rng(seed)
    shape = (num_images, size, size, channels)
    images = generator.integers(0, 256, shape, dtype=np.uint8)
    return images, np.arange(num_images) % num_classes


def stream_of(*tasks, **kwargs):
    return from_arrays(tasks or [arrays(), arrays(seed=1)], **kwargs)


def tile(sheet, row, column, heading=HEADING):
    """A tile of the first task, as pixels."""
    left = MARGIN + LABEL + column * STEP
    top = MARGIN + heading + row * STEP
    return np.asarray(sheet)[top : top + TILE, left : left + TILE]


def first_of_class(task, label, number=0):
    of_class = [x for x, y in task.train.as_numpy_iterator() if y == label]
    return of_class[number]


def test_a_small_image_is_enlarged_pixel_by_pixel():
    stream = stream_of()
    sheet = contact_sheet(stream, images_per_class=3)
    for row in range(3):
        for column in range(3):
            expected = first_of_class(stream[0], row, column)
            expected = expected.repeat(8, 0).repeat(8, 1)
            np.testing.assert_array_equal(tile(sheet, row, column), expected)


def test_a_grey_image_is_grey():
    stream = stream_of(arrays(channels=1))
    expected = first_of_class(stream[0], 0).repeat(8, 0).repeat(8, 1)
    found = tile(contact_sheet(stream), 0, 0)
    np.testing.assert_array_equal(found, expected.repeat(3, -1))


def test_of_other_channels_the_mean_is_shown_and_said():
    stream = stream_of(arrays(channels=5))
    assert "shown: the mean over channels" in module._heading(stream[0])
    expected = first_of_class(stream[0], 0).mean(-1).round()
    expected = expected.repeat(8, 0).repeat(8, 1)
    found = tile(contact_sheet(stream), 0, 0, HEADING + 18)
    np.testing.assert_array_equal(found[..., 0], expected)


def test_a_large_image_is_reduced_to_a_tile():
    images, labels = arrays(num_images=9, size=200)
    images[:] = labels[:, None, None, None] * 100
    sheet = contact_sheet(
        stream_of(
            (images + np.arange(9, dtype=np.uint8)[:, None, None, None], labels)
        )
    )
    assert (np.abs(tile(sheet, 1, 0).astype(int) - 100) < 10).all()


def test_every_task_is_there_and_the_picture_is_no_strip():
    one = contact_sheet(stream_of(arrays()))
    many = contact_sheet(stream_of(*(arrays(seed=s) for s in range(20))))
    area = (one.width - 2 * MARGIN) * (one.height - 2 * MARGIN)
    assert many.width * many.height >= 20 * area
    assert 0.5 < many.width / many.height < 2


def test_a_class_with_fewer_images_leaves_room():
    images, labels = arrays(num_images=12)
    sheet = contact_sheet(stream_of((images, labels)), images_per_class=8)
    assert (tile(sheet, 0, 7) == 255).all()
    assert not (tile(sheet, 0, 1) == 255).all()


def test_of_many_classes_some_are_shown_and_all_are_counted():
    stream = stream_of(arrays(num_images=300, size=4, num_classes=60))
    sheet = contact_sheet(stream, images_per_class=1)
    assert sheet.height < 25 * STEP
    assert "|      60 |" in counts_table(stream)


def test_long_names_are_cut_to_fit():
    font = module._font(False)
    text = module._shortened("a" * 200, font, 100)
    assert text.endswith("...") and font.getlength(text) <= 100
    assert module._shortened("short", font, 100) == "short"


def test_the_same_stream_gives_the_same_picture():
    assert contact_sheet(stream_of()).tobytes() == (
        contact_sheet(stream_of()).tobytes()
    )


def test_the_table_counts():
    images, labels = arrays(num_images=31)
    stream = stream_of((images, labels), arrays(num_images=60, seed=1))
    rows = counts_table(stream).splitlines()
    cells = [[c.strip() for c in row.split("|")[1:-1]] for row in rows[2:]]
    assert cells[0] == [
        "arrays_00",
        "8x8x3",
        "",
        "3",
        "19",
        "6",
        "6",
        "6 to 7",
    ]
    assert cells[1][3:] == ["3", "42", "9", "9", "14"]
    assert cells[2] == ["all tasks", "", "", "6", "61", "15", "15", ""]


def test_details_and_what_was_left_out_are_told():
    task = dataclasses.replace(
        stream_of()[0], details={"noise_mean": -0.1, "channel_order": [2, 0, 1]}
    )
    table = counts_table(TaskStream("t", (task,), num_left_out=7))
    assert "noise mean -0.1, channel order [2, 0, 1]" in table
    assert table.endswith("Left out as unusable: 7")
    assert module._heading(task)[-1].startswith("noise mean -0.1")


def test_refuses_no_images():
    with pytest.raises(InputError, match="`images_per_class` must be"):
        contact_sheet(stream_of(), images_per_class=0)


@pytest.mark.parametrize("name", ["stream.jpg", "stream", "folder.png"])
def test_refuses_names_of_other_files(tmp_path, name):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(InputError, match="must be a file whose name ends"):
        check_output(tmp_path / name)


def test_refuses_a_folder_that_is_not_there(tmp_path):
    check_output(tmp_path / "stream.PNG")
    with pytest.raises(InputError, match="must be there and writable"):
        check_output(tmp_path / "missing" / "stream.png")


def test_saves_as_a_picture(tmp_path):
    contact_sheet(stream_of()).save(tmp_path / "stream.png")
    with Image.open(tmp_path / "stream.png") as picture:
        assert picture.format == "PNG" and picture.mode == "RGB"

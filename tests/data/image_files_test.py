import struct

import numpy as np
import pytest
from PIL import ExifTags, Image, PngImagePlugin

from lasem_tf.checks import InputError
from lasem_tf.export import read_image

SHAPE = (4, 6, 3)


def colours(height=4, width=6):
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_pixels_of_the_right_size_are_taken_as_they_are(tmp_path):
    Image.fromarray(colours()).save(tmp_path / "photo.png")

    image = read_image(tmp_path / "photo.png", SHAPE)

    np.testing.assert_array_equal(image.pixels, colours())
    assert image.pixels.dtype == np.uint8
    assert image.note == ""


def test_other_sizes_are_resized_with_a_note(tmp_path):
    # Left half black, right half white: the halves must survive.
    pixels = np.zeros((40, 90, 3), np.uint8)
    pixels[:, 45:] = 255
    Image.fromarray(pixels).save(tmp_path / "photo.png")

    image = read_image(tmp_path / "photo.png", SHAPE)

    assert image.note == "resized from 90x40"
    assert image.pixels.shape == SHAPE
    assert image.pixels[:, :2].max() < 20
    assert image.pixels[:, 4:].min() > 235


def test_resizing_does_not_alias(tmp_path):
    # A fine checkerboard is grey from afar; picking pixels would give 0 or 255.
    board = np.indices((400, 600)).sum(axis=0) % 2 * 255
    Image.fromarray(board.astype(np.uint8)).save(tmp_path / "board.png")

    pixels = read_image(tmp_path / "board.png", SHAPE).pixels.astype(int)

    assert abs(pixels - 127).max() <= 8


def test_grey_becomes_colours(tmp_path):
    grey = colours()[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")

    image = read_image(tmp_path / "grey.png", SHAPE)

    np.testing.assert_array_equal(image.pixels, np.stack([grey] * 3, axis=-1))
    assert image.note == "converted from L to RGB"


def test_colours_become_grey(tmp_path):
    pixels = np.full((4, 6, 3), (255, 0, 0), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "red.png")

    image = read_image(tmp_path / "red.png", (4, 6, 1))

    # ITU-R 601: red counts for 0.299 of the luminance.
    np.testing.assert_array_equal(image.pixels, np.full((4, 6, 1), 76))


def test_sixteen_bit_grey_keeps_its_range(tmp_path):
    grey = np.linspace(0, 65535, 24).reshape(4, 6).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "deep.png")

    pixels = read_image(tmp_path / "deep.png", (4, 6, 1)).pixels[..., 0]

    np.testing.assert_array_equal(pixels, np.round(grey / 257))


def test_transparent_parts_become_white(tmp_path):
    pixels = np.zeros((4, 6, 4), np.uint8)
    pixels[:, :3] = (10, 20, 30, 255)
    Image.fromarray(pixels).save(tmp_path / "logo.png")

    image = read_image(tmp_path / "logo.png", SHAPE)

    assert (image.pixels[:, :3] == (10, 20, 30)).all()
    assert (image.pixels[:, 3:] == 255).all()
    assert image.note == "converted from RGBA to RGB"


def test_palette_is_resolved_before_resizing(tmp_path):
    colour = np.full((8, 12, 3), (0, 51, 102), np.uint8)
    Image.fromarray(colour).quantize(4).save(tmp_path / "icon.gif")

    image = read_image(tmp_path / "icon.gif", SHAPE)

    assert (image.pixels == (0, 51, 102)).all()
    assert "converted from P to RGB, resized from 12x8" == image.note


def test_photographs_are_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # 90 degrees clockwise to view
    lying = np.rot90(colours(), k=1)
    Image.fromarray(lying).save(tmp_path / "photo.png", exif=exif)

    image = read_image(tmp_path / "photo.png", SHAPE)

    np.testing.assert_array_equal(image.pixels, colours())
    assert image.note == "turned upright"


@pytest.mark.parametrize(
    "turn",
    [
        b"\x00\x03" + b"\x00\x00\x00\x01" + b"\x00\x00\x00\x00",
        b"\x00\x03" + b"\x00\x00\x00\x01" + b"\x00\x09\x00\x00",
        b"\x00\x02" + b"\x00\x00\x00\x03" + b"up\x00\x00",  # A text.
    ],
)
def test_a_turn_that_means_nothing_is_none(tmp_path, turn):
    # One entry: the tag 0x0112, its type, how many values, and these.
    exif = b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12" + turn + bytes(4)
    upended = colours(height=6, width=4)
    Image.fromarray(upended).save(tmp_path / "photo.png", exif=exif)

    image = read_image(tmp_path / "photo.png", (6, 4, 3))

    np.testing.assert_array_equal(image.pixels, upended)
    assert image.note == ""
    assert read_image(tmp_path / "photo.png", SHAPE).note == "resized from 4x6"


def test_cmyk_print_is_read(tmp_path):
    cyan = Image.new("CMYK", (6, 4), (255, 0, 0, 0))
    cyan.save(tmp_path / "print.jpg", quality=100)

    image = read_image(tmp_path / "print.jpg", SHAPE)

    np.testing.assert_allclose(image.pixels[0, 0], (0, 255, 255), atol=3)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="gone.png.*No such file"):
        read_image(tmp_path / "gone.png", SHAPE)


def test_file_that_is_no_image_is_refused(tmp_path):
    (tmp_path / "notes.png").write_text("not pixels")

    with pytest.raises(InputError, match=r"notes.png' \(not an image\)"):
        read_image(tmp_path / "notes.png", SHAPE)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_file_that_is_cut_short_is_refused(tmp_path, suffix):
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(colours(64, 64)).save(path)
    path.write_bytes(path.read_bytes()[:-500])

    with pytest.raises(InputError, match="truncated"):
        read_image(path, SHAPE)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("Failed to decode frame 0"), "Failed to decode frame 0"),
        (NotImplementedError("Unknown pixel format"), "Unknown pixel format"),
        (struct.error("unpack requires 4 bytes"), "unpack requires 4 bytes"),
        (SyntaxError("broken PNG file"), "broken PNG file"),
        (EOFError(), "EOFError"),
    ],
)
def test_whatever_a_decoder_raises_names_the_file(
    tmp_path, monkeypatch, error, reason
):
    def raise_it(*_):
        raise error

    Image.fromarray(colours()).save(tmp_path / "photo.png")
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", raise_it)
    with pytest.raises(InputError, match=rf"photo.png' \({reason}\)"):
        read_image(tmp_path / "photo.png", SHAPE)


def test_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="Is a directory"):
        read_image(tmp_path, SHAPE)


def test_pixels_without_a_known_range_are_refused(tmp_path):
    Image.new("F", (6, 4)).save(tmp_path / "heights.tiff")

    with pytest.raises(InputError, match="of unknown range"):
        read_image(tmp_path / "heights.tiff", SHAPE)


def test_models_of_other_channels_are_refused(tmp_path):
    with pytest.raises(InputError, match="take 1 or 3 channels"):
        read_image(tmp_path / "any.png", (4, 6, 2))

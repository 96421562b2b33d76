"""Image files of any size and mode as the pixels that a task takes."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import warnings
from collections.abc import Iterator

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from lasem_tf.checks import InputError

# EXIF orientations other than upright; cameras write other values as well.
_TURNED = range(2, 9)
_ON_ITS_SIDE = range(5, 9)  # Width and height change places.
_MODES = {1: "L", 3: "RGB"}


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """An image as it was read.

    Attributes:
        pixels: uint8 [height, width, channels].
        note: What was done to make it fit, such as `"resized from 640x480"`
            (width first, as image viewers say it); `""` if nothing was.
    """

    pixels: np.ndarray
    note: str


def read_image(
    path: str | os.PathLike, image_shape: tuple[int, int, int]
) -> ImageFile:
    """Reads an image file as raw pixels of a given shape.

    The picture is turned as its EXIF orientation says, transparent parts
    become white, colours become grey or grey becomes colours where the shape
    asks for it, and another size is resized with antialiasing, whatever its
    aspect ratio. Of an animation the first picture counts.

    Args:
        path: Any image that Pillow can decode.
        image_shape: Height, width and channels (1 or 3) to return.

    Returns:
        The pixels, and in words what was changed.

    Raises:
        InputError: If the file is missing, is no image, is cut short or
            holds pixels without a known range, or if `image_shape` has
            neither 1 nor 3 channels.
    """
    with pillow_without_warnings():
        return read_image_in_thread(path, image_shape)


def read_image_in_thread(
    path: str | os.PathLike, image_shape: tuple[int, int, int]
) -> ImageFile:
    """Does what `read_image` does, in one of several threads.

    Warnings are silenced for all threads or none: whoever starts them does it
    with `pillow_without_warnings`.

    Args:
        path: As for `read_image`.
        image_shape: As for `read_image`.

    Raises:
        InputError: As `read_image`.
    """
    height, width, channels = image_shape
    if channels not in _MODES:
        raise InputError(
            "Image files can be read for models that take 1 or 3 channels.",
            received=f"image_shape={tuple(image_shape)}",
            remedy="Load the export with `lasem_tf.export.load_task` and pass "
            "it an array.",
        )
    with _decoding(path):
        picture, size, notes = _upright_picture(
            path, _MODES[channels], 2 * max(width, height)
        )
    if picture.size != (width, height):
        notes.append("resized from {}x{}".format(*size))
        picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    pixels = np.asarray(picture, dtype=np.uint8).reshape(image_shape)
    return ImageFile(pixels, ", ".join(notes))


def picture_size(path: str | os.PathLike) -> tuple[int, int]:
    """Returns the height and width that an image file says it has.

    Args:
        path: Any image that Pillow knows; its pixels are not decoded.

    Raises:
        InputError: If the file is missing or is no image.
    """
    with _decoding(path), Image.open(path) as opened:
        return opened.height, opened.width


@contextlib.contextmanager
def pillow_without_warnings() -> Iterator[None]:
    """Silences warnings: a doubtful tag is no reason to refuse an image."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _decoding(path: str | os.PathLike) -> Iterator[None]:
    """Turns whatever Pillow raises into one kind of error.

    On broken files its decoders raise nearly everything that Python knows.
    """
    try:
        yield
    except Exception as error:
        raise InputError(
            "An image file that Pillow can decode is needed.",
            received=f"{os.fspath(path)!r} ({_reason(error)})",
            remedy="Check the path, or save the image anew as PNG or JPEG.",
        ) from error


def _upright_picture(
    path: str | os.PathLike, mode: str, least_side: int
) -> tuple[Image.Image, tuple[int, int], list[str]]:
    """Returns the picture in `mode`, its size, and what was done to it.

    A JPEG that is far larger than `least_side` is decoded at a half, a quarter
    or an eighth of its size, which takes a third of the time.
    """
    with Image.open(path) as opened:
        size = opened.size
        opened.draft(None, (least_side, least_side))
        # Decodes to the last row: a file that is cut short is found here.
        picture = ImageOps.exif_transpose(opened)
        turns = opened.getexif().get(ExifTags.Base.Orientation, 1)
    notes = ["turned upright"] if turns in _TURNED else []
    if turns in _ON_ITS_SIDE:
        size = size[::-1]
    if picture.mode != mode:
        notes.append(f"converted from {picture.mode} to {mode}")
        picture = _converted(picture, mode)
    return picture, size, notes


def _converted(picture: Image.Image, mode: str) -> Image.Image:
    """Returns the picture in another mode, transparency over white."""
    if picture.mode.startswith("I"):
        # Pillow would clip deeper grey values at 255; 65535 becomes 255.
        values = np.asarray(picture, dtype=np.float64) / 257
        picture = Image.fromarray(values.clip(0, 255).round().astype(np.uint8))
    if picture.mode == "F":
        raise ValueError("pixels are floating-point numbers of unknown range")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return picture.convert(mode)


def _reason(error: Exception) -> str:
    """Returns why, in a few words that do not repeat the path."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    words = getattr(error, "strerror", None) or str(error)
    return words or type(error).__name__

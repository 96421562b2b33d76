"""A picture of what a stream trains on, and a table of how much it is."""

from __future__ import annotations

import dataclasses
import math
import os
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lasem_tf.checks import InputError, check_count
from lasem_tf.data.in_memory import tensors_of
from lasem_tf.reports.table import aligned_rows
from lasem_tf.tasks import Task, TaskStream

_TILE = 64  # pixels a side; all sizes below are pixels too
_GAP = 4
_LABEL_WIDTH = 132
_LINE_HEIGHT = 18
_MARGIN = 16
_MOST_CLASSES = 20  # of a task; further ones are only counted
_BACKGROUND, _INK, _FAINT = "white", "black", (110, 110, 110)


def check_output(path: str | os.PathLike[str]) -> None:
    """Raises an `InputError` if no picture can be written there.

    Args:
        path: Of the file to be.

    Raises:
        InputError: If its name does not end in ".png", or its folder is not
            there or cannot be written.
    """
    path = pathlib.Path(path)
    if path.suffix.lower() != ".png" or path.is_dir():
        raise InputError(
            "The picture must be a file whose name ends in '.png'.",
            received=f"'{path}'",
            remedy="Pass for example `--output=stream.png`.",
        )
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError(
            "The folder of the picture must be there and writable.",
            received=f"'{path.parent}'",
            remedy="Make the folder, or choose another `--output`.",
        )


def contact_sheet(stream: TaskStream, images_per_class: int = 8) -> Image.Image:
    """Returns a few training images of every class of every task.

    Raw pixels, as they lie in memory before preprocessing. Small images are
    enlarged, large ones reduced. Of a task at most 20 classes are shown.

    Args:
        stream: The tasks.
        images_per_class: How many images of a class, at least 1.

    Raises:
        InputError: If `images_per_class` is no whole number or below 1.
    """
    check_count("images_per_class", images_per_class, 1)
    blocks = [_block(task, images_per_class) for task in stream]
    columns = _in_columns(blocks)
    width = blocks[0].width + 2 * _MARGIN
    heights = [sum(b.height + _MARGIN for b in column) for column in columns]
    sheet = Image.new(
        "RGB",
        (width * len(columns), max(heights) + _MARGIN),
        _BACKGROUND,
    )
    for number, column in enumerate(columns):
        top = _MARGIN
        for block in column:
            sheet.paste(block, (number * width + _MARGIN, top))
            top += block.height + _MARGIN
    return sheet


def counts_table(stream: TaskStream) -> str:
    """Returns how many classes and images each task has, as a table.

    Args:
        stream: The tasks.
    """
    header = ["task", "image", "details", "classes"]
    header += ["train", "validation", "test", "train per class"]
    rows, totals = [], np.zeros(4, int)
    for task in stream:
        counts = _counts(task)
        totals += counts
        labels = tensors_of(task.train)[1].numpy()
        per_class = np.bincount(labels, minlength=task.num_classes)
        spread = sorted({int(per_class.min()), int(per_class.max())})
        rows.append(
            [
                task.name,
                "x".join(map(str, task.image_shape)),
                _details(task),
                *map(str, counts),
                " to ".join(map(str, spread)),
            ]
        )
    rows.append(["all tasks", "", "", *map(str, totals), ""])
    table = "\n".join(aligned_rows(header, rows, num_text_columns=3))
    if stream.num_left_out:
        table += f"\n\nLeft out as unusable: {stream.num_left_out}"
    return table


def _counts(task: Task) -> list[int]:
    splits = task.train, task.validation, task.test
    return [task.num_classes, *(int(s.cardinality()) for s in splits)]


def _details(task: Task) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {value}"
        for name, value in task.details.items()
    )


@dataclasses.dataclass(frozen=True)
class _Row:
    """A class: its name and some of its images."""

    name: str
    tiles: Sequence[Image.Image]


def _block(task: Task, images_per_class: int) -> Image.Image:
    """Returns the part of the sheet that shows one task."""
    rows = _rows(task, images_per_class)
    heading = _heading(task)
    if len(rows) < task.num_classes:
        heading.append(f"first {len(rows)} of {task.num_classes} classes")
    width = _LABEL_WIDTH + images_per_class * (_TILE + _GAP)
    top = _LINE_HEIGHT * len(heading) + _GAP
    block = Image.new(
        "RGB", (width, top + len(rows) * (_TILE + _GAP)), _BACKGROUND
    )
    draw = ImageDraw.Draw(block)
    for number, text in enumerate(heading):
        font, ink = _font(bold := number == 0), _INK if bold else _FAINT
        text = _shortened(text, font, width)
        draw.text((0, number * _LINE_HEIGHT), text, ink, font)
    for row in rows:
        name = _shortened(row.name, _font(False), _LABEL_WIDTH - _GAP)
        middle = top + _TILE // 2
        draw.text((0, middle), name, _INK, _font(False), anchor="lm")
        for number, tile in enumerate(row.tiles):
            left = _LABEL_WIDTH + number * (_TILE + _GAP)
            block.paste(tile, (left, top))
        top += _TILE + _GAP
    return block


def _heading(task: Task) -> list[str]:
    """Returns the lines above a task's images."""
    _, train, validation, test = _counts(task)
    shape = " x ".join(map(str, task.image_shape))
    lines = [
        task.name,
        f"{shape}; {train} to train, {validation} to validate, {test} to test",
    ]
    if task.image_shape[-1] not in (1, 3):
        lines.append("shown: the mean over channels")
    return [*lines, _details(task)] if task.details else lines


def _rows(task: Task, images_per_class: int) -> list[_Row]:
    images, labels = (tensor.numpy() for tensor in tensors_of(task.train))
    found = []
    for label in range(min(task.num_classes, _MOST_CLASSES)):
        chosen = np.flatnonzero(labels == label)[:images_per_class]
        tiles = [*map(_tile, images[chosen])]
        found.append(_Row(task.class_names[label], tiles))
    return found


def _tile(pixels: np.ndarray) -> Image.Image:
    """Returns an image [height, width, channels] in the size of a tile."""
    channels = pixels.shape[-1]
    if channels not in (1, 3):
        pixels = pixels.mean(-1, keepdims=True).round().astype(np.uint8)
    image = Image.fromarray(pixels if channels == 3 else pixels[..., 0])
    if max(image.size) > _TILE:
        image.thumbnail((_TILE, _TILE))
    else:
        # By a whole number, so that every pixel stays a square.
        factor = _TILE // max(image.size)
        size = image.width * factor, image.height * factor
        image = image.resize(size, Image.Resampling.NEAREST)
    tile = Image.new("RGB", (_TILE, _TILE), _BACKGROUND)
    tile.paste(image, (0, 0))
    return tile


def _in_columns(blocks: Sequence[Image.Image]) -> list[list[Image.Image]]:
    """Puts blocks into columns, top to bottom, of about a square in all."""
    area = sum(block.width * block.height for block in blocks)
    num_columns = max(1, round(math.sqrt(area) / blocks[0].width))
    per_column = math.ceil(len(blocks) / num_columns)
    return [
        [*blocks[start : start + per_column]]
        for start in range(0, len(blocks), per_column)
    ]


def _font(large: bool) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(15 if large else 13)


def _shortened(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Cuts a text so that it fits, and shows that it was cut."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."

"""Image files, resized once: read again, they come from a cache on disk."""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Sequence

import numpy as np

from lasem_tf.checks import InputError
from lasem_tf.data.image_files import (
    picture_size,
    pillow_without_warnings,
    read_image_in_thread,
)
from lasem_tf.data.problems import Problems

_VERSION = 1  # Of what is done to an image; another one is another cache.
_IMAGES, _READABLE = "images.npy", "readable.npy"
_LEAST_SIDE = 2  # pixels
_MOST_PIXELS = 89_478_485  # A quarter of a gibibyte in three channels.


def prepare_images(
    paths: Sequence[pathlib.Path],
    image_shape: tuple[int, int, int],
    problems: Problems,
    cache_dir: str | os.PathLike[str] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Reads image files as pixels of one shape.

    What was read is kept in `cache_dir` and found there again for as long as
    the files' paths, sizes and times of change are the same.

    Args:
        paths: The files.
        image_shape: Height, width and channels (1 or 3) to give them.
        problems: Meets files that are no image, are cut short, are less than
            2 pixels high or wide, or have more than 89 million pixels.
        cache_dir: Where to keep what was read. `None`: `lasem_tf` in
            `XDG_CACHE_HOME`, or in `~/.cache`. Where nothing can be written,
            nothing is kept.

    Returns:
        uint8 [num_paths, *image_shape], mapped from disk where it can be,
        and bool [num_paths]: which of them could be read.

    Raises:
        InputError: By `problems`.
    """
    folder = _cache_folder(cache_dir) / _key(paths, image_shape)
    try:
        return _load(folder, paths, image_shape, problems)
    except (OSError, ValueError):
        pass  # Nothing there, or not whole.
    images = np.empty((len(paths), *image_shape), np.uint8)
    readable = _read_all(paths, images, problems)
    if _save(folder, images, readable):
        # From disk, so that tasks are the only ones to hold them in memory.
        images = np.load(folder / _IMAGES, mmap_mode="r")
    return images, readable


def _read_all(
    paths: Sequence[pathlib.Path], images: np.ndarray, problems: Problems
) -> np.ndarray:
    """Fills `images`; returns which could be read, bool [num_paths]."""
    errors = {}
    with (
        pillow_without_warnings(),
        concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads,
    ):
        reads = [
            threads.submit(_read, path, images, index)
            for index, path in enumerate(paths)
        ]
        for index, read in enumerate(reads):
            if error := read.result():
                errors[index] = error
                if not problems.are_skipped:
                    threads.shutdown(cancel_futures=True)
                    break
    readable = np.ones(len(paths), bool)
    for index, error in errors.items():
        problems.meet(error, f"'{paths[index]}'")
        readable[index] = False
    return readable


def _read(
    path: pathlib.Path, images: np.ndarray, index: int
) -> InputError | None:
    """Puts one image in its place, or says why not."""
    try:
        height, width = picture_size(path)
        if min(height, width) < _LEAST_SIDE or height * width > _MOST_PIXELS:
            raise InputError(
                f"An image must be at least {_LEAST_SIDE} pixels high and "
                f"wide, and have at most {_MOST_PIXELS:,} pixels.",
                received=f"'{path}' of {width}x{height}",
                remedy="Resize the image, or remove it.",
            )
        read = read_image_in_thread(path, images.shape[1:])
        images[index] = read.pixels
    except InputError as error:
        return error
    return None


def _cache_folder(cache_dir: str | os.PathLike[str] | None) -> pathlib.Path:
    if cache_dir is not None:
        return pathlib.Path(cache_dir)
    usual = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return pathlib.Path(usual).expanduser() / "lasem_tf"


def _key(
    paths: Sequence[pathlib.Path], image_shape: tuple[int, int, int]
) -> str:
    """Returns a name that changes when a file does, or what is wanted."""
    digest = hashlib.sha256(repr((_VERSION, tuple(image_shape))).encode())
    for path in paths:
        try:
            stat = path.stat()
            state = stat.st_size, stat.st_mtime_ns
        except OSError:
            state = None  # A broken link: it is met when it is read.
        digest.update(repr((os.path.abspath(path), state)).encode())
    return digest.hexdigest()[:32]


def _load(
    folder: pathlib.Path,
    paths: Sequence[pathlib.Path],
    image_shape: tuple[int, int, int],
    problems: Problems,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns what was kept; meets again what could not be read then."""
    readable = np.load(folder / _READABLE)
    images = np.load(folder / _IMAGES, mmap_mode="r")
    if images.shape != (len(paths), *image_shape):
        raise ValueError("not what this cache is named for")
    for index in np.flatnonzero(~readable):
        one = np.empty((1, *image_shape), np.uint8)
        with pillow_without_warnings():
            error = _read(paths[index], one, 0)
        if error is None:
            raise ValueError("readable again, under another user perhaps")
        problems.meet(error, f"'{paths[index]}'")
    return images, readable


def _save(
    folder: pathlib.Path, images: np.ndarray, readable: np.ndarray
) -> bool:
    """Keeps what was read, whole or not at all; returns whether it is kept."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            whole = pathlib.Path(temporary) / "whole"
            whole.mkdir()
            np.save(whole / _IMAGES, images)
            np.save(whole / _READABLE, readable)
            shutil.rmtree(folder, ignore_errors=True)
            os.rename(whole, folder)
    except OSError:
        return False
    return True

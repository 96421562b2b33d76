"""Image files, resized once: read again, they come from a cache on disk."""

from __future__ import annotations

import concurrent.futures
import hashlib
import math
import os
import pathlib
import secrets
from collections.abc import Sequence

import numpy as np
import PIL
from PIL import Image
from tqdm import tqdm

from lasem_tf.checks import InputError
from lasem_tf.data.image_files import (
    picture_size,
    pillow_without_warnings,
    read_image_in_thread,
)
from lasem_tf.data.problems import Problems

_VERSION = 1  # Of what is done to an image; another one is another cache.
_LEAST_SIDE = 2  # pixels
_MOST_PIXELS = 89_478_485  # A quarter of a gibibyte in three channels.
_MOST_THREADS = 16  # Each may hold a few images that large.
_BAR_FORMAT = "reading images |{bar}| {percentage:3.0f} % · {remaining} left"


def prepare_images(
    paths: Sequence[pathlib.Path],
    image_shape: tuple[int, int, int],
    problems: Problems,
    cache_dir: str | os.PathLike[str] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Reads image files as pixels of one shape.

    What was read is kept in `cache_dir` and found there again for as long as
    the files' paths, sizes and times of change are the same. Meanwhile a bar
    shows how far it is, if the standard error is a terminal.

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
        InputError: If all together do not fit into memory, or by `problems`.
    """
    shape = len(paths), *image_shape
    place = _cache_folder(cache_dir) / _key(paths, image_shape)
    kept = _load(place, shape)
    images, readable = kept or (_room_for(shape), np.zeros(len(paths), bool))
    # Those that could not be read are met again, or have become readable.
    missing = np.flatnonzero(~readable).tolist()
    errors = _read_all(paths, images, missing, problems.are_skipped)
    for index, error in errors.items():
        problems.meet(error, f"'{paths[index]}'")
    readable = np.ones(len(paths), bool)
    readable[list(errors)] = False
    if kept is None:
        _save(place, images, readable)
        # From disk, so that tasks are the only ones to hold them in memory.
        images, _ = _load(place, shape) or (images, readable)
    return images, readable


def _room_for(shape: tuple[int, ...]) -> np.ndarray:
    try:
        return np.zeros(shape, np.uint8)
    except (MemoryError, ValueError) as error:
        raise InputError(
            "All images of a folder, resized, must fit into memory.",
            received=f"{shape[0]} images of shape {shape[1:]}, "
            f"{math.prod(shape) / 2**30:,.0f} GiB",
            remedy="Choose a smaller `image_size`.",
        ) from error


def _read_all(
    paths: Sequence[pathlib.Path],
    images: np.ndarray,
    indices: Sequence[int],
    to_the_end: bool,
) -> dict[int, InputError]:
    """Fills some of `images`; returns what is wrong with which of them.

    Unless `to_the_end` is asked for, the first that is wrong is the last.
    """
    if not indices:
        return {}
    errors = {}
    # Threads that do this at one time take good images for none.
    Image.init()
    num_threads = min(os.cpu_count() or 1, _MOST_THREADS)
    threads = concurrent.futures.ThreadPoolExecutor(num_threads)
    with pillow_without_warnings(), threads:
        reads = [threads.submit(_read, paths[i], images, i) for i in indices]
        bar = tqdm(reads, bar_format=_BAR_FORMAT, disable=None, leave=False)
        try:
            for index, read in zip(indices, bar, strict=True):
                if error := read.result():
                    errors[index] = error
                    if not to_the_end:
                        break
        finally:  # Whoever interrupts does not want to wait for the others.
            bar.close()
            threads.shutdown(cancel_futures=True)
    return errors


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
        images[index] = read_image_in_thread(path, images.shape[1:]).pixels
    except InputError as error:
        return error
    return None


def _cache_folder(cache_dir: str | os.PathLike[str] | None) -> pathlib.Path:
    if cache_dir is None:
        usual = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        cache_dir = os.path.join(usual, "lasem_tf")
    try:
        return pathlib.Path(cache_dir).expanduser()
    except RuntimeError:  # Nobody's home, as in some containers: nowhere.
        return pathlib.Path(os.devnull)


def _key(
    paths: Sequence[pathlib.Path], image_shape: tuple[int, int, int]
) -> str:
    """Returns a name that changes when a file does, or what is wanted."""
    # Another Pillow may decode to other pixels.
    wanted = _VERSION, PIL.__version__, tuple(image_shape)
    digest = hashlib.sha256(repr(wanted).encode())
    for path in paths:
        try:
            stat = path.stat()
            # What is copied over another file may keep its size and time.
            state = stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
        except OSError:
            state = None  # Gone since it was found: it is met when it is read.
        digest.update(repr((os.path.abspath(path), state)).encode())
    return f"{digest.hexdigest()[:32]}.images"


def _load(
    place: pathlib.Path, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns what was kept; `None` if nothing is there, or not all of it."""
    try:
        # What is written into it stays in memory.
        stored = np.memmap(place, np.uint8, mode="c")
    except (OSError, ValueError):
        return None
    if len(stored) != shape[0] + math.prod(shape):
        return None
    readable = np.array(stored[: shape[0]], bool)
    return stored[shape[0] :].reshape(shape), readable


def _save(
    place: pathlib.Path, images: np.ndarray, readable: np.ndarray
) -> None:
    """Keeps what was read, whole or not at all.

    Bytes and no more: whether each could be read, then all pixels.
    """
    partial = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("wb") as file:
                file.write(readable.data)
                file.write(images.data)
            os.replace(partial, place)
        finally:
            partial.unlink(missing_ok=True)
    except OSError:
        pass  # A full disk, or no right to write: the next start reads again.

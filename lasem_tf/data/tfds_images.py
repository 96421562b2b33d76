"""Classification data sets of TensorFlow Datasets, read as they lie on disk.

All images of a split are read as they are encoded, and only those that tasks
draw are decoded.
"""

from __future__ import annotations

import contextlib
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import absl.logging
import numpy as np
import tensorflow as tf

from lasem_tf.checks import InputError
from lasem_tf.data.labelled_images import LabelledImages
from lasem_tf.data.resizing import resized
from lasem_tf.tf_data import untuned

_NETWORK_TIMEOUT_SECONDS = 5
# What TFDS raises on names, configurations and versions that it does not know;
# its own DatasetNotFoundError is a ValueError.
_NO_SUCH_DATA_SET = (AssertionError, TypeError, ValueError)


def prepared_builder(
    name: str,
    data_dir: str | None,
    make: Callable[..., Any] | None = None,
) -> Any:
    """Returns the `tfds.core.DatasetBuilder` of a data set, then on disk.

    Args:
        name: What TensorFlow Datasets calls the data set.
        data_dir: Where TensorFlow Datasets keeps its data. `None`: where it
            does by default, which `TFDS_DATA_DIR` sets.
        make: Makes the builder, called with `data_dir`. `None`:
            TensorFlow Datasets knows it by name.

    Raises:
        InputError: If there is no such data set; if it is not there and
            cannot be prepared; or if it is there in another file format than
            TFDS's usual one.
    """
    # Imported here: it takes a second that other streams need not wait.
    import tensorflow_datasets as tfds

    # It warns of a folder that is not there; our error says more.
    with _quiet_logs():
        try:
            builder = (
                make(data_dir=data_dir)
                if make
                else tfds.builder(name, data_dir=data_dir, try_gcs=False)
            )
        except _NO_SUCH_DATA_SET as error:
            reason = str(error).splitlines()[0] if str(error) else "no reason"
            raise InputError(
                "TensorFlow Datasets must know the data set.",
                received=f"{name!r} ({reason})",
                remedy="tensorflow.org/datasets/catalog lists them.",
            ) from error
        is_prepared = builder.is_prepared()
    if not is_prepared:
        _prepare(builder)
    file_format = builder.info.file_format.value
    if file_format != "tfrecord":
        raise InputError(
            f"'{name}' in {builder.data_dir} must be stored as 'tfrecord'.",
            received=repr(file_format),
            remedy=f"Run `tfds.builder('{name}', file_format='tfrecord')"
            ".download_and_prepare()` in Python.",
        )
    return builder


def _prepare(builder: Any) -> None:
    """Downloads and prepares, or says in one error why that fails."""
    from tensorflow_datasets.core.download import (
        download_manager,
        extractor,
        util,
    )

    is_manual = bool(builder.MANUAL_DOWNLOAD_INSTRUCTIONS)
    failures = (
        OSError,
        download_manager.NonMatchingChecksumError,
        extractor.ExtractError,
        util.DownloadError,
    )
    if is_manual:  # What TFDS raises where the download is missing.
        failures += (AssertionError,)
    try:
        if not is_manual:
            _check_network(builder.info.homepage)
        builder.download_and_prepare()
    except failures as error:
        raise _not_there(builder, error) from error


def _check_network(home_page: str) -> None:
    """Raises an `OSError` without a network: TFDS itself tries for long."""
    if not home_page:
        return
    request = urllib.request.Request(home_page, method="HEAD")
    # A page that answers with an error has answered.
    with contextlib.suppress(urllib.error.HTTPError):
        urllib.request.urlopen(
            request, timeout=_NETWORK_TIMEOUT_SECONDS
        ).close()


def _not_there(builder: Any, error: Exception) -> InputError:
    name, path = builder.name, builder.data_dir
    reason = " ".join(str(error).split())
    instructions = builder.MANUAL_DOWNLOAD_INSTRUCTIONS
    if instructions:
        return InputError(
            f"'{name}' must lie prepared in {path}, or be downloaded by hand "
            "to be prepared.",
            received=f"no such data ({reason.partition('. ')[0]})",
            remedy=instructions,
        )
    return InputError(
        f"'{name}' must lie prepared in {path}, or the network must answer "
        "to download it.",
        received=f"no such data, and {reason}",
        remedy=f"On a machine with network run `tfds.load('{name}')` in "
        f"Python, copy its folder {name} here, and name the folder that "
        "holds it with "
        "`--data_dir` or `TFDS_DATA_DIR`.",
    )


@contextlib.contextmanager
def _quiet_logs() -> Iterator[None]:
    verbosity = absl.logging.get_verbosity()
    absl.logging.set_verbosity(absl.logging.ERROR)
    try:
        yield
    finally:
        absl.logging.set_verbosity(verbosity)


def read_encoded(
    builder: Any, split: str, image_key: str = "image", label_key: str = "label"
) -> LabelledImages:
    """Returns the labelled images of a split, as they are encoded on disk.

    Args:
        builder: Of a data set that is prepared as 'tfrecord'.
        split: Name of the split.
        image_key: Name of the images' feature.
        label_key: Name of the classes' feature.
    """
    # Parsing many records at once is ten times cheaper than TFDS's way of
    # one by one, which would take most of the time until training starts.
    features = {
        image_key: tf.io.FixedLenFeature([], tf.string),
        label_key: tf.io.FixedLenFeature([], tf.int64),
    }
    records = tf.data.TFRecordDataset(builder.info.splits[split].filepaths)
    parsed = records.batch(5000).map(
        lambda batch: tf.io.parse_example(batch, features)
    )
    chunks = [
        (chunk[image_key], chunk[label_key])
        for chunk in untuned(parsed).as_numpy_iterator()
    ]
    found = LabelledImages(*map(np.concatenate, zip(*chunks, strict=True)))
    # Some test sets keep their labels to themselves, as -1.
    return found.take(found.labels >= 0)


def decode_images(
    encoded: np.ndarray,
    channels: int,
    image_size: tuple[int, int] | None = None,
) -> np.ndarray:
    """Decodes images, and brings them to one size where asked to.

    Args:
        encoded: `bytes` [num_images], PNG or JPEG.
        channels: 1 or 3.
        image_size: Height and width; another size is resized with
            antialiasing, whatever its aspect ratio. `None`: all images have
            the size of the first.

    Returns:
        uint8 [num_images, height, width, channels].
    """

    def decode(content):
        image = tf.io.decode_image(content, channels, expand_animations=False)
        if image_size is None:
            return image
        return resized(image, image_size)

    dataset = tf.data.Dataset.from_tensor_slices(encoded).map(
        decode, num_parallel_calls=tf.data.AUTOTUNE
    )
    return dataset.batch(len(encoded)).get_single_element().numpy()

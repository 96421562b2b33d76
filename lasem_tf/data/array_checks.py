"""Says in plain words what is wrong with somebody's arrays."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from lasem_tf.checks import InputError
from lasem_tf.data.in_memory import Examples
from lasem_tf.data.splits import content_digests


def checked_examples(examples: object, where: str) -> Examples:
    """Returns images as uint8 with channels, and labels, or complains.

    Args:
        examples: A pair of arrays `(images, labels)`, as `from_arrays` takes.
        where: Which arrays these are, for the complaint.

    Raises:
        InputError: If the pair cannot be read as images with labels.
    """
    if not isinstance(examples, (tuple, list)) or len(examples) != 2:
        raise InputError(
            f"{where} must be a pair of arrays `(images, labels)`.",
            received=f"a {type(examples).__name__}",
            remedy="Pass for example `from_arrays([(images, labels)])`.",
        )
    images = _checked_images(_array(examples[0], f"images of {where}"), where)
    labels = _array(examples[1], f"labels of {where}")
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
        raise InputError(
            f"The labels of {where} must be integers, one per image, of shape "
            f"{images.shape[:1]}.",
            received=f"shape {labels.shape} of {labels.dtype}",
            remedy="Number the classes from 0; undo one-hot coding with "
            "`labels.argmax(axis=-1)`.",
        )
    return images, labels


def check_labels(
    labels: np.ndarray, class_names: Sequence[str], where: str
) -> None:
    """Raises an `InputError` if a label is not the number of a class.

    Args:
        labels: Integers [num_images].
        class_names: One name per class.
        where: Which labels these are, for the complaint.
    """
    outside = (labels < 0) | (labels >= len(class_names))
    if outside.any():
        raise InputError(
            f"The labels of {where} must lie between 0 and "
            f"{len(class_names) - 1}, one number for each of the "
            f"{len(class_names)} classes.",
            received=f"label {labels[outside][0]} of image "
            f"{np.flatnonzero(outside)[0]}",
            remedy="Number the classes of each task from 0, or pass one class "
            "name per class.",
        )


def check_every_class_trains(
    labels: np.ndarray, class_names: Sequence[str], where: str
) -> None:
    """Raises an `InputError` if a class has no training image.

    Args:
        labels: Integers [num_train], below `len(class_names)`.
        class_names: One name per class.
        where: Which task this is, for the complaint.
    """
    counts = np.bincount(labels, minlength=len(class_names))
    missing = np.flatnonzero(counts == 0)
    if len(missing):
        raise InputError(
            f"Every class of {where} must have training images.",
            received=f"none for class {missing[0]} "
            f"('{class_names[missing[0]]}')",
            remedy="Number the classes of each task from 0 without gaps.",
        )


def check_class_names(names: Sequence[str], where: str) -> None:
    """Raises an `InputError` if two classes of a task share a name.

    Args:
        names: One name per class.
        where: Which task this is, for the complaint.
    """
    if len(set(names)) != len(names) or not names:
        raise InputError(
            f"The class names of {where} must be different and at least one.",
            received=f"class_names={list(names)}",
            remedy="Give every class a name of its own.",
        )


def check_disjoint(images: Mapping[str, np.ndarray], where: str) -> None:
    """Raises an `InputError` if two splits of a task share an image.

    Args:
        images: By the name of the split, any dtype [num_images, ...].
        where: Which task this is, for the complaint.
    """
    digests = {
        split: set(content_digests(of_split).tolist())
        for split, of_split in images.items()
    }
    for split, other in itertools.combinations(digests, 2):
        common = digests[split] & digests[other]
        if common:
            raise InputError(
                f"'{where}' must have no image in two of its splits.",
                received=f"{len(common)} images both in {split} and {other}",
                remedy=f"Remove them from {split}.",
            )


def _array(values: object, what: str) -> np.ndarray:
    try:
        return np.asarray(values)
    except ValueError as error:
        raise InputError(
            f"The {what} must form one array.",
            received="rows of different sizes",
            remedy="Bring all to one size, for example with `tf.image.resize`.",
        ) from error


def _checked_images(images: np.ndarray, where: str) -> np.ndarray:
    """Returns uint8 [num_images, height, width, channels]."""
    if images.ndim not in (3, 4) or 0 in images.shape[1:]:
        raise InputError(
            f"The images of {where} must have the shape [num_images, height, "
            "width, channels], or [num_images, height, width] if grey.",
            received=f"shape {images.shape}",
            remedy="Stack the images along a first axis, all of one size.",
        )
    if not len(images):
        raise InputError(
            f"{where} must hold at least one image.",
            received=f"images of shape {images.shape}",
            remedy="Add images, or leave the task out.",
        )
    if images.dtype.kind == "f":
        images = _from_unit_range(images, where)
    elif images.dtype != np.uint8:
        raise InputError(
            f"The images of {where} must be uint8, or floating-point numbers "
            "from 0 to 1.",
            received=f"dtype {images.dtype}",
            remedy="Convert pixels from 0 to 255 with "
            "`images.astype(np.uint8)`.",
        )
    return images if images.ndim == 4 else images[..., np.newaxis]


def _from_unit_range(images: np.ndarray, where: str) -> np.ndarray:
    # Not-a-number is neither below 0 nor above 1: ask for what is good.
    good = (images >= 0) & (images <= 1)
    if not good.all():
        index = np.argwhere(~good)[0]
        raise InputError(
            f"The floating-point images of {where} must lie between 0 and 1.",
            received=f"{images[tuple(index)]} in image {index[0]}",
            remedy="Divide pixels from 0 to 255 by 255, and replace what is "
            "not a number.",
        )
    return np.rint(images * 255).astype(np.uint8)

"""Which images train, which validate and which test: pure NumPy, by seed."""

from __future__ import annotations

import dataclasses
import hashlib
import numbers
from collections.abc import Sequence

import numpy as np

from lasem_tf.checks import InputError
from lasem_tf.seeding import numpy_generator


@dataclasses.dataclass(frozen=True)
class Split:
    """Disjoint indices into one array of images, grouped by class.

    Attributes:
        train: int64 [num_train].
        validation: int64 [num_validation].
        test: int64 [num_test]; empty if no test images were asked for.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split_by_class(
    labels: np.ndarray,
    *,
    seed: int,
    validation_fraction: float,
    test_fraction: float = 0.0,
    fraction: float = 1.0,
    class_names: Sequence[str] | None = None,
) -> Split:
    """Draws the same share of every class for training and evaluation.

    Of a class with `n` images `round(fraction * n)` are drawn; of those the
    fractions for validation and test are rounded, at least one image each,
    and the rest trains. So 4 % of CIFAR-100's 500 images per class are 20:
    3 for validation and 17 for training; all 500 are 83 and 417.

    Args:
        labels: Integers [num_images].
        seed: Draws the images; a class does not depend on the others.
        validation_fraction: Share of the drawn images, in (0, 1).
        test_fraction: Share of the drawn images, in [0, 1); 0 draws none.
        fraction: Share of each class to draw, in (0, 1].
        class_names: What a complaint calls the classes. `None`: their labels.

    Returns:
        The indices of the images drawn.

    Raises:
        InputError: If a fraction is out of range, the fractions leave no
            training images, or a class is too small to be split.

    Example:

    >>> split = split_by_class(
    ...     np.repeat([0, 1], 500), seed=0, validation_fraction=1 / 6,
    ...     fraction=0.04,
    ... )
    >>> len(split.train), len(split.validation), len(split.test)
    (34, 6, 0)
    """
    _check_fractions(fraction, validation_fraction, test_fraction)
    parts = []
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        num_drawn = round(fraction * len(of_class))
        num_validation = max(1, round(validation_fraction * num_drawn))
        num_test = (
            max(1, round(test_fraction * num_drawn)) if test_fraction else 0
        )
        num_train = num_drawn - num_validation - num_test
        name = class_names[label] if class_names is not None else label
        _check_class_size(name, len(of_class), num_drawn, num_train)
        generator = numpy_generator(seed, "split", int(label))
        drawn = generator.permutation(of_class)
        ends = np.cumsum([num_train, num_test, num_validation])
        parts.append(np.split(drawn, ends)[:3])
    train, test, validation = map(np.concatenate, zip(*parts, strict=True))
    return Split(train, validation, test)


def content_digests(images: np.ndarray) -> np.ndarray:
    """Returns a digest per image; equal digests mean equal images.

    Args:
        images: Any dtype [num_images, ...], or an object array of `bytes`.

    Returns:
        bytes [num_images], 16 bytes each.
    """
    return np.array(
        [_digest(image) for image in images], dtype=np.dtype((np.void, 16))
    )


def first_copies(digests: np.ndarray) -> np.ndarray:
    """Says of each image whether no image before it is the same.

    Args:
        digests: As `content_digests` returns them.

    Returns:
        bool [num_images].
    """
    is_first = np.zeros(len(digests), bool)
    is_first[np.unique(digests, return_index=True)[1]] = True
    return is_first


def _digest(image: np.ndarray | bytes) -> bytes:
    content = image if isinstance(image, bytes) else image.tobytes()
    return hashlib.blake2b(content, digest_size=16).digest()


def _check_fractions(
    fraction: float, validation_fraction: float, test_fraction: float
) -> None:
    if not isinstance(fraction, numbers.Real) or not 0 < fraction <= 1:
        raise InputError(
            "The fraction of training data must lie above 0 and not above 1.",
            received=fraction,
            remedy="Pass for example 0.04 for 4 %.",
        )
    shares = validation_fraction, test_fraction
    is_share = all(isinstance(share, numbers.Real) for share in shares) and (
        0 < validation_fraction < 1 and 0 <= test_fraction < 1
    )
    if not is_share or validation_fraction + test_fraction >= 1:
        raise InputError(
            "`validation_fraction` and `test_fraction` must be shares between "
            "0 and 1 that leave some images for training.",
            received=f"validation_fraction={validation_fraction!r}, "
            f"test_fraction={test_fraction!r}",
            remedy="Pass for example 1/6 each.",
        )


def _check_class_size(
    name: str | int, num_images: int, num_drawn: int, num_train: int
) -> None:
    if num_train < 1:
        raise InputError(
            "Every class needs at least one image each to train, to validate "
            "and, where asked for, to test.",
            received=f"class {name} with {num_images} different images, "
            f"{num_drawn} of them drawn",
            remedy="Add images, draw a larger fraction, or leave the class "
            "out.",
        )

"""One root seed, many independent named streams of randomness.

A stream is named by what it is for and where it stands in the run, so that
its numbers do not depend on what was drawn before: a run that continues from
a checkpoint draws what the uninterrupted run would have drawn.
"""

from __future__ import annotations

import hashlib

import numpy as np


def derive_seed(root_seed: int, *name: str | int) -> int:
    """Returns the seed of the stream called `name`.

    Args:
        root_seed: The one seed of the run.
        *name: Words and indices that name the stream, such as
            `("data_order", task_index, epoch)`.

    Returns:
        An integer in [0, 2**31), the same on every machine.

    Example:

    >>> derive_seed(0, "data_order", 1, 2) == derive_seed(0, "data_order", 1, 2)
    True
    >>> derive_seed(0, "data_order", 1, 2) == derive_seed(0, "data_order", 2, 1)
    False
    """
    text = "/".join(map(str, (root_seed, *name)))
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def numpy_generator(root_seed: int, *name: str | int) -> np.random.Generator:
    """Returns a NumPy generator for the stream called `name`.

    Args:
        root_seed: The one seed of the run.
        *name: As in `derive_seed`.

    Returns:
        A generator that no other name shares.
    """
    return np.random.default_rng(derive_seed(root_seed, *name))

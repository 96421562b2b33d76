"""What is done about images that cannot be used: stop, or warn and go on."""

from __future__ import annotations

import warnings

from lasem_tf.checks import InputError, check_one_of


class BadImageWarning(UserWarning):
    """Warns of an image, a folder or a class that is left out."""


class Problems:
    """Meets what is wrong with somebody's images.

    Args:
        on_bad_image: `"raise"` stops at the first problem; `"skip"` warns and
            counts what is left out.

    Attributes:
        are_skipped: Whether problems are skipped.
        num_left_out: Files and folders that were left out so far.

    Raises:
        InputError: If `on_bad_image` is neither.
    """

    def __init__(self, on_bad_image: str):
        check_one_of("on_bad_image", on_bad_image, ("raise", "skip"))
        self.are_skipped = on_bad_image == "skip"
        self.num_left_out = 0

    def meet(self, error: InputError, what: str, num_left_out: int = 1) -> None:
        """Raises the error, or warns that `what` is left out.

        Args:
            error: Says what is wrong.
            what: What is left out in that case, such as
                `"class 'cat'"`.
            num_left_out: How many files or folders that is.

        Raises:
            InputError: If problems are not to be skipped.
        """
        if not self.are_skipped:
            raise error
        self.num_left_out += num_left_out
        message = " ".join(f"Left out {what}: {error}".split())  # One line.
        warnings.warn(message, BadImageWarning, stacklevel=2)

"""What size images are to have."""

from __future__ import annotations

from collections.abc import Sequence

from lasem_tf.checks import InputError, check_count


def checked_size(
    image_size: int | Sequence[int] | None,
    own_size: Sequence[int | None],
    what: str,
) -> tuple[int, int] | None:
    """Returns the height and width to resize to.

    Args:
        image_size: As the user says it: both, or one number for both.
        own_size: Height and width that all images have, `None` where they
            differ.
        what: Which images these are, for the complaint.

    Returns:
        Height and width; `None` if images stay as they are.

    Raises:
        InputError: If it is no size, or missing though images differ in size.
    """
    if image_size is None:
        if None in own_size:
            raise InputError(
                f"`image_size` must say the size to give the {what}, which "
                "differ in size.",
                received="image_size=None",
                remedy="Pass for example `image_size=96`.",
            )
        return None
    is_pair = isinstance(image_size, Sequence) and not isinstance(
        image_size, str
    )
    if is_pair and len(image_size) != 2:
        raise InputError(
            "`image_size` must be a height and a width, or one number.",
            received=f"image_size={image_size!r}",
            remedy="Pass for example `image_size=96`.",
        )
    height, width = image_size if is_pair else (image_size, image_size)
    check_count("image_size", height, 1)
    check_count("image_size", width, 1)
    return int(height), int(width)

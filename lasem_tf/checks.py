"""One format for every complaint about what the user gave us."""

from __future__ import annotations

import numbers


class InputError(ValueError):
    """Says in one line what was expected, what was received, what to do.

    The command line turns this error, and only this one, into exit code 2
    without a traceback; anything else is taken for a fault of ours.

    Args:
        expectation: A full sentence, such as "`num_tasks` must be positive."
        received: The offending value; its `repr` unless it is a string.
        remedy: A full sentence in the imperative.

    Example:

    >>> raise InputError(
    ...     "`num_tasks` must be at least 1.",
    ...     received="num_tasks=0",
    ...     remedy="Pass for example `num_tasks=3`.",
    ... )
    Traceback (most recent call last):
    ...
    lasem_tf.checks.InputError: `num_tasks` must be at least 1. \
Received: num_tasks=0. Pass for example `num_tasks=3`.
    """

    def __init__(self, expectation: str, *, received: object, remedy: str):
        if not isinstance(received, str):
            received = repr(received)
        message = f"{expectation} Received: {received}. {remedy}"
        super().__init__(" ".join(message.split()))


def check_at_least(name: str, value: float, minimum: float) -> None:
    """Raises an `InputError` if `value` is below `minimum`.

    Args:
        name: What the user calls the value.
        value: The value received.
        minimum: The smallest value allowed.

    Raises:
        InputError: If `value` is not a number or lies below `minimum`.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not value >= minimum:
        raise InputError(
            f"`{name}` must be a number not below {minimum}.",
            received=f"{name}={value!r}",
            remedy=f"Pass for example `{name}={minimum}`.",
        )


def check_fraction(name: str, value: float) -> None:
    """Raises an `InputError` if `value` does not lie between 0 and 1.

    Args:
        name: What the user calls the value.
        value: The value received.

    Raises:
        InputError: If `value` is not a number in [0, 1].
    """
    check_at_least(name, value, 0)
    if value > 1:
        raise InputError(
            f"`{name}` must lie between 0 and 1.",
            received=f"{name}={value}",
            remedy=f"Pass for example `{name}=0.9`.",
        )


def check_whole_number(name: str, value: int) -> None:
    """Raises an `InputError` if `value` is not a whole number.

    Args:
        name: What the user calls the value.
        value: The value received.

    Raises:
        InputError: If `value` is no integer; a truth value is none either.
    """
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise InputError(
            f"`{name}` must be a whole number.",
            received=f"{name}={value!r}",
            remedy=f"Pass for example `{name}=1`.",
        )


def check_count(name: str, value: int, minimum: int) -> None:
    """Raises an `InputError` if `value` does not count at least `minimum`.

    Args:
        name: What the user calls the value.
        value: The value received.
        minimum: The smallest value allowed.

    Raises:
        InputError: If `value` is no integer (a truth value is none either) or
            lies below `minimum`.
    """
    is_whole = isinstance(value, numbers.Integral)
    if not is_whole or isinstance(value, bool) or value < minimum:
        raise InputError(
            f"`{name}` must be a whole number not below {minimum}.",
            received=f"{name}={value!r}",
            remedy=f"Pass for example `{name}={minimum}`.",
        )


def check_one_of(name: str, value: object, allowed: tuple[object, ...]) -> None:
    """Raises an `InputError` if `value` is none of the `allowed` values.

    Args:
        name: What the user calls the value.
        value: The value received.
        allowed: Every value that would have done.

    Raises:
        InputError: If `value` is not in `allowed`.
    """
    if value not in allowed:
        raise InputError(
            f"`{name}` must be one of {', '.join(map(repr, allowed))}.",
            received=f"{name}={value!r}",
            remedy=f"Pass for example `{name}={allowed[0]!r}`.",
        )

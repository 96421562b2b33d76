"""Settings as text, by which a continued run is told from another one."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import re
import types
from collections.abc import Callable, Collection, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")
_ARRAYS = (np.ndarray, tf.Tensor, tf.Variable, keras.Variable)


def described(thing: object, function: Callable) -> dict[str, str]:
    """Returns the attributes named like `function`'s parameters, as text.

    Args:
        thing: Keeps each argument of `function` under the argument's name.
        function: Usually a constructor.
    """
    return {
        parameter.name: _text(getattr(thing, parameter.name))
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name != "self"
        and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }


def _text(value: Any, within: tuple[int, ...] = ()) -> str:
    """Returns a text that is the same in every process.

    Args:
        value: Anything.
        within: The ids of what holds it, which may hold itself.
    """
    if id(value) in within:
        return "..."
    text = functools.partial(_text, within=(*within, id(value)))

    def pairs(of: Mapping[str, Any]) -> list[str]:
        return [f"{name}={text(part)}" for name, part in of.items()]

    if isinstance(value, functools.partial):
        arguments = [*map(text, value.args), *pairs(value.keywords)]
        return f"{text(value.func)}({', '.join(arguments)})"
    if inspect.ismethod(value):
        of = text(value.__self__)
        return f"{value.__module__}.{value.__qualname__} of {of}"
    if callable(value) and hasattr(value, "__qualname__"):
        told = _told_apart(value, text)
        return f"{value.__module__}.{value.__qualname__}{told}"
    if isinstance(value, _ARRAYS):
        return _text_of_array(np.asarray(value), text)
    if isinstance(value, list | tuple | set | frozenset | Mapping):
        return _text_of_container(value, text)
    parts = _parts(value)
    if parts is None:
        return _ADDRESS.sub("", repr(value))
    return f"{type(value).__qualname__}({', '.join(pairs(parts))})"


def _told_apart(function: Callable, text: Callable[[Any], str]) -> str:
    """Returns what tells nameless functions apart; "" for one with a name."""
    if "<" not in function.__qualname__ or not hasattr(function, "__code__"):
        return ""
    # By what they do, with what.
    held = [_held_in(cell) for cell in function.__closure__ or ()]
    held += function.__defaults__ or ()
    held += (function.__kwdefaults__ or {}).values()
    told = repr((_code(function.__code__), list(map(text, held))))
    return f"#{hashlib.sha256(told.encode()).hexdigest()[:8]}"


def _text_of_array(array: np.ndarray, text: Callable[[Any], str]) -> str:
    """Returns kind, shape and a digest; NumPy's own text leaves numbers out."""
    if array.dtype == object:
        return text(array.tolist())
    digest = hashlib.sha256(array.tobytes()).hexdigest()[:8]
    return f"{array.dtype}{list(array.shape)}#{digest}"


def _text_of_container(value: Collection, text: Callable[[Any], str]) -> str:
    if isinstance(value, Mapping):
        items = [f"{text(key)}: {text(part)}" for key, part in value.items()]
        return "{" + ", ".join(items) + "}"
    if isinstance(value, set | frozenset):
        # Its order is another one in every process.
        return "{" + ", ".join(sorted(map(text, value))) + "}"
    opened, closed = "[]" if isinstance(value, list) else "()"
    return opened + ", ".join(map(text, value)) + closed


def _parts(value: Any) -> Mapping[str, Any] | None:
    """Returns what an object is made of; `None`: its own text tells."""
    if isinstance(value, keras.initializers.Initializer):
        # Attributes hold a random seed, but not every class tells the others.
        return value.get_config() or vars(value)
    # What its own text would tell is where in memory something lies.
    if dataclasses.is_dataclass(value) or _ADDRESS.search(repr(value)):
        return getattr(value, "__dict__", None)
    return None


def _held_in(cell: types.CellType) -> Any:
    """Returns what a nameless function took from around it."""
    try:
        return cell.cell_contents
    except ValueError:  # It is yet to be filled.
        return None


def _code(code: types.CodeType) -> tuple:
    """Returns what a function does, and those that it defines."""
    constants = [
        _code(c) if isinstance(c, types.CodeType) else c for c in code.co_consts
    ]
    return code.co_code, code.co_names, constants

"""Turns what gin says of a wrong recipe into our one line.

gin's complaints are long and of many kinds; they are told apart by their
words. What is not recognised is left as it is: it may come from the user's
own module, and then the traceback is what helps.
"""

from __future__ import annotations

import re
import tokenize
from collections.abc import Callable, Sequence

from lasem_tf.checks import InputError
from lasem_tf.recipes import nearest

_PLACE = re.compile(
    r"In (?:file \"(?P<file>.+)\",|bindings string) line (?P<line>\d+)"
    r"\n\s*(?P<text>.*)"
)
_UNKNOWN_NAME = re.compile(r"No configurable matching .*?'@?([^'()]+)")
_UNKNOWN_PARAMETER = re.compile(
    r"Configurable '(.+?)' (?:doesn't|has) .*?'(\w+)'"
)
_AMBIGUOUS = re.compile(r"Ambiguous selector '(.+?)', matches \[(.+?)\]")
_NO_FILE = re.compile(r"Unable to open file: (.+?)\. Searched")
_NO_MACRO = re.compile(r"No bindings specified for '(.+?)/gin\.macro'")
_REQUIRED = re.compile(r"^(\S+) set to `%gin.REQUIRED`")


def as_input_error(
    error: Exception,
    names: Sequence[str],
    parameters_of: Callable[[str], Sequence[str]],
) -> InputError | None:
    """Returns the error to show instead, `None` if `error` is not gin's.

    Args:
        error: What was raised while recipes were read.
        names: Every name that a recipe may use.
        parameters_of: From a name to the parameters that a recipe may set;
            empty if they are not known.
    """
    if isinstance(error, ImportError):
        return _unknown_module(error)
    if isinstance(error, (SyntaxError, tokenize.TokenError)):
        return _bad_syntax(error)
    message = str(error)
    if match := _UNKNOWN_NAME.search(message):
        expectation = f"A recipe may use known names only, not '{match[1]}'."
        remedy = nearest(match[1].rpartition("/")[2], names)
    elif match := _UNKNOWN_PARAMETER.search(message):
        expectation = f"'{match[1]}' has no parameter '{match[2]}' to set."
        remedy = nearest(match[2], parameters_of(match[1]))
    elif match := _AMBIGUOUS.search(message):
        expectation = f"A name must be unique; '{match[1]}' is not."
        remedy = f"Write one of {match[2]}."
    elif match := _NO_FILE.search(message):
        expectation = "A recipe may include only files that are there."
        remedy = "Give the path from its own folder or from 'gin/'."
    elif match := _NO_MACRO.search(message):
        expectation = "Every macro that is used must have a value."
        remedy = f"Set it: `--gin_param='{match[1]}=...'`."
    elif match := _REQUIRED.search(message):
        expectation = "Every required value must be set."
        remedy = f"Set it: `--gin_param='{match[1]}=...'`."
    else:
        return None
    received = _place(message) or f"'{match[1]}' without a value"
    return InputError(expectation, received=received, remedy=remedy)


def _unknown_module(error: ImportError) -> InputError:
    return InputError(
        "A recipe may import only modules that Python finds.",
        received=_place(str(error)) or str(error).splitlines()[0],
        remedy=f"{str(error).splitlines()[0]}: install it, or run from the "
        "folder that holds it.",
    )


def _bad_syntax(error: SyntaxError | tokenize.TokenError) -> InputError:
    text = getattr(error, "text", None) or str(error.args[0])
    place = getattr(error, "filename", None)
    line = getattr(error, "lineno", None)
    return InputError(
        "A binding must read `name = value`, with texts in quotes.",
        received=f"`{text.strip()}`"
        + (f" ({place}, line {line})" if place else ""),
        remedy="Write for example "
        "`--gin_param='Static.configuration=\"TSTS\"'`.",
    )


def _place(message: str) -> str | None:
    """Returns the line that gin complains of, and the file it stands in."""
    match = _PLACE.search(message)
    if match is None:
        return None
    if match["file"] is None:
        return f"`{match['text'].strip()}`"
    return f"`{match['text'].strip()}` ({match['file']}, line {match['line']})"

"""Two texts of gin bindings held against each other.

Only their form is read: this needs no gin, and a text that did not come from
gin serves as well.
"""

from __future__ import annotations

import re

# Where data and results lie says nothing about what is computed.
_PLACES = ("workdir", "data_dir", "cache_dir")
_BINDING = re.compile(r"([\w./-]+)\s*=\s*(.*)", re.DOTALL)


def first_difference(before: str, now: str) -> tuple[str, str, str] | None:
    """Returns the first binding in which two texts differ.

    Bindings of `workdir`, `data_dir` and `cache_dir` and a macro `DATA_DIR` do
    not count, nor do comments, order and line breaks.

    Args:
        before: Bindings `name = value`, each beginning a line; the lines that
            go on with a value are indented, as gin writes them.
        now: Bindings to compare.

    Returns:
        Name, value in `before`, value in `now`, with `(not set)` for a value
        that is missing; `None` if the two say the same.

    Example:

    >>> first_difference("f.a = 1\\nf.b = 2", "# Comment\\nf.b = 3\\nf.a = 1")
    ('f.b', '2', '3')
    """
    earlier, later = _bindings(before), _bindings(now)
    for name in (earlier | later).keys():
        values = [each.get(name, "(not set)") for each in (earlier, later)]
        if values[0] != values[1]:
            return name, *values
    return None


def _bindings(text: str) -> dict[str, str]:
    lines = [
        line
        for line in text.splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    ]
    statements = re.split(r"\n(?=\S)", "\n".join(lines))
    matches = [_BINDING.match(statement) for statement in statements]
    values = {
        match[1]: " ".join(match[2].replace("\\\n", " ").split())
        for match in matches
        if match
    }
    return {
        name: value
        for name, value in values.items()
        if re.split(r"[./]", name)[-1].lower() not in _PLACES
    }

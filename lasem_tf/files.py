"""Files that are either whole or not there."""

from __future__ import annotations

import json
import os
import pathlib


def write_atomically(path: pathlib.Path, text: str) -> None:
    """Writes `text` so that a reader sees the old file or the new one whole.

    Args:
        path: Where to write; its folder must exist.
        text: The new content, written as UTF-8.
    """
    temporary = path.with_name(f".{path.name}.partial")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def write_json(path: pathlib.Path, content: dict) -> None:
    """Writes `content` as indented JSON, atomically.

    Args:
        path: Where to write; its folder must exist.
        content: What `json` can write; not-a-number is refused, since most
            readers of JSON refuse it too.
    """
    text = json.dumps(content, indent=2, allow_nan=False)
    write_atomically(path, text + "\n")

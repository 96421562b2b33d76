"""Tells at once, and in one line, that the library was not installed.

The scripts in bin/ run from a checkout, where Python finds this package but
not always what it needs. This module needs nothing but Python.
"""

from __future__ import annotations

import importlib.util
import sys

MODULES = (
    "PIL",
    "absl",
    "gin",
    "importlib_resources",
    "keras",
    "numpy",
    "pandas",
    "scipy",
    "sklearn",
    "tensorboard",
    "tensorflow",
    "tensorflow_datasets",
    "tqdm",
)


def check_installed() -> None:
    """Makes sure that every module the library imports can be found.

    Raises:
        SystemExit: With code 2 and one line on stderr that names what is
            missing and what to do, if one cannot be found.
    """
    missing = [
        name for name in MODULES if importlib.util.find_spec(name) is None
    ]
    if missing:
        print(
            f"ERROR: this Python ({sys.executable}) lacks what lasem_tf needs. "
            f"Missing: {', '.join(missing)}. Activate the virtual environment "
            "it was installed in, or run `python3 -m pip install -e .` in its "
            "folder.",
            file=sys.stderr,
        )
        sys.exit(2)

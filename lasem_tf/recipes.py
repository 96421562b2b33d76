"""What the command line says of a run, before TensorFlow is loaded.

A recipe is a gin file. One that is not found from the current folder is
looked for in the repository, so that `--gin_file=gin/hps_cifar.gin` works
from anywhere.
"""

from __future__ import annotations

import difflib
import hashlib
import pathlib
import re
from collections.abc import Sequence

from lasem_tf.checks import InputError

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
GIN_FOLDER = REPOSITORY / "gin"

_BINDING = re.compile(r"\s*[A-Za-z_][\w./-]*\s*=\s*\S")
_OPERATIVE_CONFIG = "operative_config.gin"
_LONGEST_NAME = 80


def find_recipes(gin_files: Sequence[str]) -> list[pathlib.Path]:
    """Returns where the gin files lie, in the order given.

    Args:
        gin_files: Paths as the user wrote them: absolute, or relative to the
            current folder, the repository, or the repository's `gin/`; the
            first place that has the file counts.

    Raises:
        InputError: If there is none, or one of them is not to be found.
    """
    if not gin_files:
        raise InputError(
            "`--gin_file` must name at least one recipe.",
            received="none",
            remedy="Pass for example `--gin_file=gin/quickstart.gin`.",
        )
    return [_find(gin_file) for gin_file in gin_files]


def check_bindings(gin_params: Sequence[str]) -> None:
    """Makes sure that each binding has a name and a value.

    Whether the name is known turns out when the recipes are read.

    Args:
        gin_params: Bindings as the user wrote them.

    Raises:
        InputError: If one is not of the form `NAME=VALUE`.
    """
    for binding in gin_params:
        if not _BINDING.match(binding):
            raise InputError(
                "`--gin_param` must read NAME=VALUE.",
                received=repr(binding),
                remedy="Pass for example `--gin_param='NUM_EPOCHS=20'`.",
            )


def run_name(
    gin_files: Sequence[str | pathlib.Path], gin_params: Sequence[str] = ()
) -> str:
    """Returns a name for a run, the same whenever the same command is given.

    Args:
        gin_files: The recipes.
        gin_params: The bindings given beside them.

    Returns:
        A name for a folder: what tells one run from another, seed excepted.

    Example:

    >>> run_name(["gin/hps_cifar.gin", "gin/methods/static.gin"])
    'hps_cifar-static'
    >>> run_name(["gin/quickstart.gin"], ["NUM_EPOCHS = 3"])
    'quickstart-NUM_EPOCHS=3'
    """
    words = [_recipe_name(pathlib.Path(gin_file)) for gin_file in gin_files]
    words += [_as_file_name(binding) for binding in gin_params]
    name = "-".join(words)
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256("\n".join([name, *gin_params]).encode())
    return f"{name[:_LONGEST_NAME]}-{digest.hexdigest()[:8]}"


def nearest(name: str, known: Sequence[str]) -> str:
    """Returns a sentence that suggests what the user may have meant.

    Args:
        name: What the user wrote.
        known: Every name that would have done.
    """
    by_last_part = {re.split(r"[./]", each)[-1]: each for each in known}
    candidates = by_last_part | {each: each for each in known}
    found = difflib.get_close_matches(name, candidates, n=1, cutoff=0.6)
    if found:
        return f"Did you mean '{candidates[found[0]]}'?"
    return f"Choose one of {', '.join(sorted(known))}."


def _find(gin_file: str) -> pathlib.Path:
    # An absolute path swallows what stands before it.
    for folder in (pathlib.Path.cwd(), REPOSITORY, GIN_FOLDER):
        if (folder / gin_file).is_file():
            return folder / gin_file
    known = sorted(
        str(path.relative_to(REPOSITORY)) for path in GIN_FOLDER.rglob("*.gin")
    )
    raise InputError(
        "`--gin_file` must name a file in the current folder or in "
        f"'{GIN_FOLDER}'.",
        received=repr(gin_file),
        remedy=nearest(gin_file, known),
    )


def _recipe_name(gin_file: pathlib.Path) -> str:
    if gin_file.name == _OPERATIVE_CONFIG:
        # Every run has one of this name; the folder says whose it is.
        return f"repeat_of_{gin_file.resolve().parent.name}"
    return gin_file.stem


def _as_file_name(binding: str) -> str:
    without_quotes = re.sub(r"[\s'\"]", "", binding)
    return re.sub(r"[^\w.=-]", "_", without_quotes)

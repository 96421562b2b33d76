"""Imports point downward: from a higher level to a lower one.

1 foundations < 2 parts < 3 networks < 4 methods < 5 time, files, output
< 6 composition
"""

import ast
import pathlib

import pytest

import lasem_tf

PACKAGE = pathlib.Path(lasem_tf.__file__).parent
# Packages, and the modules that stand beside them. The public names of the
# whole package (`__init__`) belong to no level.
LEVELS = {
    "checks": 1,
    "dependencies": 1,
    "files": 1,
    "seeding": 1,
    "tasks": 1,
    "tf_data": 1,
    "transfer": 1,
    "data": 2,
    "evaluation": 2,
    "layers": 2,
    "networks": 3,
    "methods": 4,
    "export": 5,
    "reports": 5,
    "training": 5,
    "choices": 6,
    "command_line": 6,
    "configuration": 6,
    "experiment": 6,
    "gin_errors": 6,
    "recipe_names": 6,
    "recipes": 6,
}
# Levels of modules rather than packages: these may import each other.
MODULE_LEVELS = (1, 6)


def _sources():
    return sorted(PACKAGE.rglob("*.py"))


def _room(path):
    """The package or module directly below `lasem_tf` that holds a file."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def _imported_modules(source):
    """Every module that a source imports, wherever the statement stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            prefix = "." * node.level + (node.module or "")
            if prefix == "lasem_tf":
                yield from (f"lasem_tf.{alias.name}" for alias in node.names)
            else:
                yield prefix


def _violations(room, source):
    """The imports of a source that its room does not allow."""
    for module in _imported_modules(source):
        if module.startswith("."):
            yield f"{module}: relative"
        if module.split(".")[0] == "gin" and room != "configuration":
            yield f"{module}: only configuration.py knows gin"
        if not module.startswith("lasem_tf"):
            continue
        if module == "lasem_tf":
            yield f"{module}: name the module that is meant"
            continue
        other = module.split(".")[1]
        is_neighbour = LEVELS[other] == LEVELS[room] and other != room
        if LEVELS[other] > LEVELS[room]:
            yield f"{module}: upward"
        elif is_neighbour and LEVELS[room] not in MODULE_LEVELS:
            yield f"{module}: sideways"
        elif room == "methods" and other == "data":
            yield f"{module}: a method asks nobody where images come from"


def test_there_is_something_to_check():
    assert len(_sources()) > 30


@pytest.mark.parametrize(
    "path", _sources(), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_imports_point_downward(path):
    room = _room(path)
    if room == "__init__":
        return
    assert room in LEVELS, f"give {room} a level"
    assert list(_violations(room, path.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("tasks", "import lasem_tf.data.cifar100"),
        ("layers", "from lasem_tf.data import digits"),
        ("layers", "from lasem_tf import evaluation"),
        ("training", "def f():\n    from lasem_tf.reports import table"),
        ("methods", "from lasem_tf.data.pipeline import training_batches"),
        ("methods", "from lasem_tf.training.runner import Runner"),
        ("methods", "from . import em"),
        ("reports", "import lasem_tf"),
        ("layers", "import gin"),
        ("experiment", "from gin import config"),
    ],
)
def test_a_wrong_import_would_be_found(room, source):
    assert len(list(_violations(room, source))) == 1


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("experiment", "from lasem_tf.recipes import nearest"),
        ("methods", "from lasem_tf.methods import em"),
        ("training", "from lasem_tf.data.pipeline import training_batches"),
        ("configuration", "import gin"),
        ("layers", "import keras"),
    ],
)
def test_a_right_import_is_allowed(room, source):
    assert list(_violations(room, source)) == []

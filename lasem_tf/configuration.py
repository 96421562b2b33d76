"""Everything about gin: names, recipes, what is in force.

The library itself is plain Python. Here its classes and functions get the
names by which recipes choose them, and `run_experiment` becomes the one root
that gin calls. A recipe may `import` any module, from the current folder or
from the folder of a recipe, that registers more with `@gin.register`.
"""

from __future__ import annotations

import functools
import inspect
import os
import pathlib
import re
import sys
from collections.abc import Callable, Sequence

import gin

from lasem_tf.checks import InputError
from lasem_tf.choices import made
from lasem_tf.evaluation.history import AccuracyHistory
from lasem_tf.experiment import TOLD_BY_PYTHON, run_experiment
from lasem_tf.gin_errors import as_input_error
from lasem_tf.recipe_names import (
    LIBRARY,
    is_same,
    names,
    parameters_of,
    settable,
)
from lasem_tf.recipes import GIN_FOLDER, REPOSITORY, nearest
from lasem_tf.tasks import TaskStream

# Where a recipe's own modules lie; the recipes' folders may be far from there.
_IMPORTED_FROM = "# Imported from: "
_own_folders: set[str] = set()

_IMPORT = re.compile(r"^import ([\w.]+)", re.MULTILINE)
_MACRO = re.compile(r"^([A-Za-z_]\w*) = ", re.MULTILINE)
_USE_OF_MACRO = re.compile(r"%([A-Za-z_]\w*)")
_BINDING = re.compile(r"^\s*([\w./]+)\s*=", re.MULTILINE)


def train(
    gin_files: Sequence[str | pathlib.Path],
    gin_params: Sequence[str] = (),
    *,
    workdir: str | None = None,
    run_name: str = "run",
    seed: int | None = None,
    data_dir: str | None = None,
    deterministic: bool = False,
) -> AccuracyHistory:
    """Runs the experiment that recipes describe.

    Args:
        gin_files: Recipes; of two that set the same, the later wins.
        gin_params: Bindings `NAME=VALUE`, which win over the recipes.
        workdir: Folder of the run. `None`: see
            `lasem_tf.experiment.run_experiment`.
        run_name: Names the folder where `workdir` does not.
        seed: Wins over the recipes' `run_experiment.seed`.
        data_dir: Wins over the recipes' macro `DATA_DIR`.
        deterministic: Wins over `run_experiment.deterministic` if true.

    Returns:
        Every accuracy measured.

    Raises:
        InputError: If a recipe cannot be read, does not say enough, or holds
            values that cannot be used.
        Interrupted: If Ctrl-C or SIGTERM asked to stop.
    """
    overrides = [*gin_params, *_seed_binding(seed)]
    if deterministic:
        overrides.append("run_experiment.deterministic = True")
    parse(gin_files, overrides, data_dir=data_dir)
    return _run_experiment(
        workdir,
        run_name=run_name,
        config_text=functools.partial(_operative_config, gin_params),
    )


def parse(
    gin_files: Sequence[str | pathlib.Path],
    gin_params: Sequence[str] = (),
    *,
    data_dir: str | None = None,
) -> None:
    """Reads recipes, in place of all that gin has read before.

    Args:
        gin_files: As in `train`.
        gin_params: As in `train`.
        data_dir: As in `train`; ignored by recipes that read no data.

    Raises:
        InputError: If a recipe uses an unknown name, parameter, macro, module
            or file, sets a macro that nothing uses, is not written as gin
            wants it, or leaves out what every run needs.
    """
    gin.clear_config()
    _search_path(gin_files)
    # A binding may replace one that used a macro: it was used all the same.
    macros = set()
    try:
        for gin_file in gin_files:
            gin.parse_config_file(str(gin_file))
            macros |= _macros_used()
        gin.parse_config(list(gin_params))
        if data_dir is not None and "DATA_DIR" in _macros_used():
            gin.parse_config(f"DATA_DIR = {data_dir!r}")
        _check_macros(macros | _macros_used())
        _check_complete()
        gin.finalize()
    except InputError:
        raise
    except Exception as error:
        known = as_input_error(error, names(), parameters_of)
        if known is None:
            raise
        raise known from error


def stream_of_recipes(
    gin_files: Sequence[str | pathlib.Path],
    gin_params: Sequence[str] = (),
    *,
    seed: int | None = None,
    data_dir: str | None = None,
) -> TaskStream:
    """Makes the stream of tasks that recipes describe.

    Args:
        gin_files: As in `train`.
        gin_params: As in `train`.
        seed: As in `train`.
        data_dir: As in `train`.

    Raises:
        InputError: As `train`.
    """
    parse(gin_files, [*gin_params, *_seed_binding(seed)], data_dir=data_dir)
    return _bound_stream()


def load_stream(
    workdir: str | os.PathLike[str], data_dir: str | None = None
) -> TaskStream:
    """Makes the stream of tasks of a run once more.

    Args:
        workdir: Folder of a run that `bin/train` began.
        data_dir: As in `train`. `None`: where the run found its data.

    Raises:
        InputError: If the folder holds no such run.
    """
    path = pathlib.Path(workdir) / "operative_config.gin"
    text = path.read_text("utf-8") if path.is_file() else ""
    if not text or text.startswith(TOLD_BY_PYTHON):
        raise InputError(
            "The workdir must be that of a run of bin/train.",
            received=f"'{workdir}', "
            + ("begun from Python" if text else f"without '{path.name}'"),
            remedy="Pass the workdir of another run.",
        )
    parse([path], data_dir=data_dir)
    return _bound_stream()


def _bound_stream() -> TaskStream:
    bound = gin.get_bindings(_run_experiment)
    seed = bound.get("seed", 0)
    stream = made("stream", bound["stream"], TaskStream, seed=seed)
    return stream.first(bound.get("num_tasks"))


def _seed_binding(seed: int | None) -> list[str]:
    return [] if seed is None else [f"run_experiment.seed = {seed}"]


def operative_config() -> str:
    """Returns every binding that was in force since `parse`, as gin text.

    It holds the values that the recipes set and the defaults of what they
    left alone, for all that was called; recipes that are read from this text
    alone repeat the run.
    """
    text = gin.operative_config_str() + "\n"
    folders = {_folder_of(name) for name in _IMPORT.findall(text)}
    told = [f"{_IMPORTED_FROM}{f}\n" for f in sorted(folders & _own_folders)]
    return "".join(told) + text


def _operative_config(gin_params: Sequence[str]) -> str:
    """Returns `operative_config`; tells of parameters that did nothing."""
    text = operative_config()
    in_force = _BINDING.findall(text)
    for name in _BINDING.findall("\n".join(gin_params)):
        if not any(is_same(name, other) for other in in_force):
            print(f"Note: `{name}` has no effect here: nothing uses it.")
    return text


def _search_path(gin_files: Sequence[str | pathlib.Path]) -> None:
    """Lets recipes find what they include and import."""
    folders = [pathlib.Path(f).resolve().parent for f in gin_files]
    _read_plain_files_only()
    for folder in (GIN_FOLDER, REPOSITORY, *folders):
        _add_to_search_path(str(folder))
    for folder in (pathlib.Path.cwd(), *folders, *_told_folders(gin_files)):
        _own_folders.add(str(folder))
        # At the end: nobody's `random.py` may take the place of Python's.
        if str(folder) not in sys.path:
            sys.path.append(str(folder))


def _told_folders(gin_files: Sequence[str | pathlib.Path]) -> list[str]:
    """Returns the folders that `operative_config` told of."""
    return [
        line.removeprefix(_IMPORTED_FROM)
        for path in map(pathlib.Path, gin_files)
        if path.is_file()
        for line in path.read_text("utf-8", "replace").splitlines()
        if line.startswith(_IMPORTED_FROM)
    ]


def _folder_of(module: str) -> str:
    """Returns the folder from which a module was imported by its name."""
    file = pathlib.Path(getattr(sys.modules.get(module), "__file__", "") or "")
    depth = module.count(".") + (file.name == "__init__.py")
    return str(file.resolve().parents[depth]) if file.name else ""


def _read_plain_files_only() -> None:
    # gin also looks for `datasets/digits.gin` inside a Python package called
    # `datasets`: it logs an error where there is none, and fails where there
    # is just a folder of that name. It offers no other way to leave that out.
    gin.config._FILE_READERS[:] = [(open, os.path.isfile)]


@functools.cache
def _add_to_search_path(folder: str) -> None:
    # Once: gin's list grows with each call and is never cleared.
    gin.add_config_file_search_path(folder)


def _macros_used() -> set[str]:
    return set(_USE_OF_MACRO.findall(gin.config_str()))


def _check_macros(used: set[str]) -> None:
    """Refuses a macro that nothing uses: gin takes any name for one."""
    for name in _MACRO.findall(gin.config_str()):
        if name not in used:
            raise InputError(
                "A macro must be one that the recipes use.",
                received=name,
                remedy=nearest(name, sorted(used)),
            )


def _check_complete() -> None:
    """Refuses recipes that leave out what every run needs."""
    parameters = inspect.signature(run_experiment).parameters
    bound = gin.get_bindings(_run_experiment, resolve_references=False)
    for name, parameter in parameters.items():
        needed = parameter.default is inspect.Parameter.empty
        if needed and name in settable(run_experiment) and name not in bound:
            raise InputError(
                "Recipes must say what to run: "
                f"`run_experiment.{name}` must be set.",
                received="no value for it",
                remedy="Begin with a whole recipe, such as "
                "`--gin_file=gin/quickstart.gin`.",
            )


def _register(name: str, function: Callable) -> None:
    module, _, short_name = name.rpartition(".")
    gin.register(short_name, module=module, allowlist=settable(function))(
        function
    )


_run_experiment = gin.configurable(
    "run_experiment", module="lasem_tf", allowlist=settable(run_experiment)
)(run_experiment)
for _name, _function in LIBRARY.items():
    _register(_name, _function)

import ast
import pathlib
import re
import subprocess
import sys

import pytest

from lasem_tf import dependencies

ROOT = pathlib.Path(__file__).parents[1]
# Under which name a module is installed, where it is not its own.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "absl": "absl_py",
    "gin": "gin_config",
    "sklearn": "scikit_learn",
}


def imported_modules():
    """Top-level names that the package and the scripts import."""
    files = [*ROOT.glob("lasem_tf/**/*.py"), *ROOT.glob("bin/*")]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                yield node.module.split(".")[0]


def test_every_imported_module_is_looked_for():
    foreign = set(imported_modules()) - sys.stdlib_module_names - {"lasem_tf"}

    # What TensorFlow Datasets imports without declaring it; we do not.
    assert foreign | {"importlib_resources"} == set(dependencies.MODULES)


def test_every_imported_module_is_declared():
    declared = re.findall(
        r'^ +"([\w-]+)>=', (ROOT / "setup.py").read_text("utf-8"), re.M
    )

    needed = {DISTRIBUTIONS.get(m, m) for m in dependencies.MODULES}
    assert needed <= {name.replace("-", "_") for name in declared}


def test_nothing_is_said_where_all_is_installed(capsys):
    dependencies.check_installed()

    assert capsys.readouterr().err == ""


def test_missing_module_ends_the_program_with_a_remedy(monkeypatch, capsys):
    monkeypatch.setattr(dependencies, "MODULES", ("sys", "no_such_module"))

    with pytest.raises(SystemExit) as exit_info:
        dependencies.check_installed()

    assert exit_info.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "Missing: no_such_module. Activate the virtual" in line


@pytest.mark.parametrize("script", ["train", "evaluate", "predict"])
def test_scripts_say_so_in_a_bare_python(script):
    # -S leaves out site-packages, -I the environment's paths.
    result = subprocess.run(
        [sys.executable, "-I", "-S", ROOT / "bin" / script],
        capture_output=True,
        text=True,
    )

    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert "pip install -e ." in line

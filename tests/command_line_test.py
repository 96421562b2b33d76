"""Flags and exit codes."""

import os
import subprocess
import sys

import pytest

from lasem_tf import command_line
from lasem_tf.checks import InputError
from lasem_tf.recipes import REPOSITORY
from lasem_tf.training.interruption import Interrupted


def _exit_code(function, *arguments):
    with pytest.raises(SystemExit) as caught:
        command_line.main(function, ["program", *arguments])
    return caught.value.code


def test_a_function_that_returns_exits_with_0_and_gets_the_arguments():
    received = []
    assert _exit_code(received.extend, "one", "two") == 0
    assert received == ["program", "one", "two"]


def test_wrong_input_exits_with_2_and_one_line(capsys):
    def function(argv):
        raise InputError("It must be odd.", received=2, remedy="Pass 3.")

    assert _exit_code(function) == 2
    assert capsys.readouterr().err == (
        "ERROR: It must be odd. Received: 2. Pass 3.\n"
    )


def test_lines_that_gin_appends_are_left_out(capsys):
    class FromGin(InputError):
        def __str__(self):
            return super().__str__() + "\n  In call to configurable 'x'"

    def function(argv):
        raise FromGin("It must be odd.", received=2, remedy="Pass 3.")

    assert _exit_code(function) == 2
    assert "configurable" not in capsys.readouterr().err


def test_an_unknown_flag_exits_with_2_and_one_line(capsys):
    assert _exit_code(pytest.fail, "--no_such_flag=1") == 2
    error = capsys.readouterr().err
    assert error.startswith("ERROR: Unknown command line flag 'no_such_flag'")
    assert error.count("\n") == 1


def test_help_exits_with_0(capsys):
    assert _exit_code(pytest.fail, "--help") == 0
    assert "flags" in capsys.readouterr().out


def test_an_interrupted_run_exits_with_130_and_says_how_to_go_on(capsys):
    def function(argv):
        raise Interrupted("Stopped; the same command continues.")

    assert _exit_code(function) == 130
    assert capsys.readouterr().err == "Stopped; the same command continues.\n"


def test_a_second_ctrl_c_exits_with_130():
    def function(argv):
        raise KeyboardInterrupt

    assert _exit_code(function) == 130


def test_anything_else_exits_with_1_and_a_traceback(capsys):
    def function(argv):
        raise ValueError("a fault of ours")

    assert _exit_code(function) == 1
    error = capsys.readouterr().err
    assert "Traceback" in error and "a fault of ours" in error


def test_a_wrong_value_that_is_not_an_input_error_is_a_fault():
    # Only what we checked on purpose counts as the user's mistake.
    assert _exit_code(lambda argv: int("x")) == 1


def test_arguments_that_are_no_flags_are_refused():
    command_line.no_arguments(["program"])
    with pytest.raises(InputError, match="must be a flag .* Received: 'stray'"):
        command_line.no_arguments(["program", "stray"])


def _python(code, *, first_on_path=()):
    environment = {k: v for k, v in os.environ.items() if "TF_CPP" not in k}
    path = os.pathsep.join([*map(str, first_on_path), str(REPOSITORY)])
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment | {"PYTHONPATH": path},
        check=False,
    )


def test_the_command_line_itself_does_not_load_tensorflow():
    result = _python(
        "import sys, lasem_tf.command_line, lasem_tf.recipes\n"
        "print('tensorflow' in sys.modules)"
    )
    assert result.stdout == "False\n", result.stderr


def test_tensorflow_loads_without_a_word():
    result = _python(
        "from lasem_tf import command_line\n"
        "command_line.load_tensorflow()\n"
        "import tensorflow as tf\n"
        "print(int(tf.constant(1) + 1))"
    )
    assert (result.stdout, result.stderr) == ("2\n", "")


def test_what_was_said_is_shown_if_loading_fails(tmp_path):
    (tmp_path / "tensorflow.py").write_text(
        "import os\n"
        "os.write(2, b'from the depths\\n')\n"
        "raise ImportError('broken')\n"
    )
    result = _python(
        "from lasem_tf import command_line\ncommand_line.load_tensorflow()",
        first_on_path=[tmp_path],
    )
    assert result.returncode == 1
    assert "from the depths" in result.stderr
    assert "ImportError: broken" in result.stderr

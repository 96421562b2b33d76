"""What every script in bin/ does around its work: flags and exit codes.

| exit code | meaning |
|---|---|
| 0 | done |
| 2 | the user's input was wrong: one line on stderr, no traceback |
| 130 | interrupted, by Ctrl-C or SIGTERM |
| 1 | anything else, with its traceback |

TensorFlow takes seconds to import, so this module does without it: a script
that imports it inside its function answers a mistyped flag at once.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence

from absl import app, flags

from lasem_tf.checks import InputError

_DONE, _FAULT, _WRONG_INPUT, _INTERRUPTED = 0, 1, 2, 130


def main(
    function: Callable[[list[str]], None], argv: Sequence[str] | None = None
) -> None:
    """Parses the flags, calls `function`, and exits.

    Args:
        function: What the script does. It receives what absl's `app.run`
            passes: the program's name, then the arguments that are no flags.
        argv: The command line. `None`: that of the process.

    Raises:
        SystemExit: Always, with one of the exit codes above.
    """
    app.define_help_flags()
    warnings.formatwarning = _one_line
    sys.exit(_exit_code(function, list(sys.argv if argv is None else argv)))


def _one_line(message: Warning | str, *_: object, **__: object) -> str:
    """Formats a warning without the place in the code it came from."""
    return f"Warning: {' '.join(str(message).split())}\n"


def no_arguments(argv: Sequence[str]) -> None:
    """Refuses arguments that are no flags.

    Args:
        argv: What `main` passed.

    Raises:
        InputError: If there is any.
    """
    if len(argv) > 1:
        raise InputError(
            "Every argument must be a flag that begins with '--'.",
            received=repr(argv[1]),
            remedy="Run with --help to see the flags.",
        )


def load_tensorflow() -> None:
    """Imports TensorFlow without the lines it prints about the processor.

    It writes them past every logging level before it can be configured. Set
    `TF_CPP_MIN_LOG_LEVEL` in the environment to see them.

    Raises:
        ImportError: If TensorFlow cannot be imported; then all it said is
            printed.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        import tensorflow as tf
    else:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
        with _silent_unless_it_fails():
            import tensorflow as tf

            # Looks for a GPU now, and says here that there is none.
            tf.config.list_physical_devices()


@contextlib.contextmanager
def _silent_unless_it_fails() -> Iterator[None]:
    # C++ writes to the descriptor, which `contextlib.redirect_stderr` does
    # not reach.
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(stderr, 2)
            file.seek(0)
            shutil.copyfileobj(file, sys.stderr.buffer)
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _exit_code(function: Callable[[list[str]], None], argv: list[str]) -> int:
    try:
        return _parse_and_call(function, argv)
    except InputError as error:
        return _complain(error)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Exception as error:
        if _is_interruption(error):
            print(_first_line(error), file=sys.stderr)
            return _INTERRUPTED
        traceback.print_exc()
        return _FAULT


def _parse_and_call(
    function: Callable[[list[str]], None], argv: list[str]
) -> int:
    try:
        arguments = flags.FLAGS(argv)
    except flags.Error as error:
        return _complain(f"{_first_line(error)} Run with --help for the flags.")
    except SystemExit:
        # Only absl's help flags exit while parsing, and they say 1: but who
        # asked for help and got it has made no mistake.
        return _DONE
    function(arguments)
    return _DONE


def _is_interruption(error: Exception) -> bool:
    """Whether the runner stopped because it was asked to."""
    # Looked up rather than imported, because `training` imports TensorFlow;
    # where it is not loaded nothing can have raised this.
    module = sys.modules.get("lasem_tf.training.interruption")
    return module is not None and isinstance(error, module.Interrupted)


def _complain(error: Exception | str) -> int:
    print(f"ERROR: {_first_line(error)}", file=sys.stderr)
    return _WRONG_INPUT


def _first_line(error: Exception | str) -> str:
    # gin appends lines that say which configurable was being called.
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__

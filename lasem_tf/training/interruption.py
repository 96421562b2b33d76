"""Ctrl-C and SIGTERM ask a run to stop after its epoch."""

from __future__ import annotations

import os
import signal
import types

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):
    """The run stopped on request, after saving; it can be continued."""


class StopRequest:
    """Context in which a first signal is remembered and a second one obeyed.

    Inside it SIGINT (Ctrl-C) and SIGTERM only set `requested`, which the
    runner looks at after each epoch; a second signal raises
    `KeyboardInterrupt` wherever the program stands. The earlier handlers are
    put back afterwards. Outside of the main thread Python allows no handlers,
    so there the context changes nothing.

    Attributes:
        requested: Whether a signal has arrived.

    Example:

    >>> with StopRequest() as stop:
    ...     signal.raise_signal(signal.SIGTERM)
    ...     stop.requested
    True
    """

    def __init__(self):
        self.requested = False
        self._earlier_handlers = {}

    def __enter__(self) -> StopRequest:
        try:
            for number in _SIGNALS:
                earlier = signal.signal(number, self._handle)
                self._earlier_handlers[number] = earlier
        except ValueError:  # We are not in the main thread.
            pass
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._earlier_handlers.items():
            # `None` stands for a handler that was not set from Python, and
            # Python cannot put it back.
            signal.signal(number, handler or signal.SIG_DFL)

    def _handle(self, number: int, frame: types.FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        # Not `print`: the signal may have arrived in the middle of one, and
        # Python's buffered streams cannot be entered twice.
        os.write(2, b"\nStopping after this epoch; again to stop at once.\n")

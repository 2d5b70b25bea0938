"""Servers that take SIGTERM for themselves, and at their end restore what was there and raise it again: uvicorn.

What was there is the system's own action, which ends the process at once: neither a handler runs nor what is called at
the end of the interpreter. So once such a server has heard SIGTERM, the signal is held back from the main thread until
logs are closed; then it ends the process as the server meant it to.

>>> is_raised_again(signal.SIG_DFL)
False
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

__all__ = ["HeldBack", "is_raised_again"]

_LOOK = 0.05  # seconds between two looks at what the server restored
LONGEST = 5.0  # seconds in which the interpreter ends after the server, or logs are closed without that


def is_raised_again(handler: Any) -> bool:
    """Is this the signal handler of a server that will raise the signal again?"""
    kinds = type(getattr(handler, "__self__", None)).__mro__
    return any((kind.__module__, kind.__name__) == ("uvicorn.server", "Server") for kind in kinds)


class HeldBack:
    """A signal that such a server heard, until logs are closed.

    State: whether it is held back from the main thread.
    Invariant: it is let through in any case, at the end of the interpreter or a few seconds after the server's.
    """

    def __init__(self, close: Callable[[], None]) -> None:
        """Take what closes all logs."""
        self._close = close
        self._number: int | None = None

    def wrap(self, number: int) -> None:
        """Handle a signal as its handler does, and hold it back from then on; called in the main thread."""
        handler: Any = signal.getsignal(number)

        def heard(number: int, frame: FrameType | None) -> None:
            handler(number, frame)
            if self._number is None:
                self._number = number
                # Started first: it must be able to hear what the main thread does not.
                threading.Thread(target=self._watch, args=(number, heard), daemon=True).start()
                signal.pthread_sigmask(signal.SIG_BLOCK, {number})

        signal.signal(number, heard)

    def let_through(self) -> None:
        """Let it through, if it was held back; logs are closed."""
        if self._number is not None:
            number, self._number = self._number, None
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})

    def _watch(self, number: int, heard: object) -> None:
        """Where the program goes on for long after the server's end, close logs and end it as the server would."""
        while signal.getsignal(number) is heard:
            time.sleep(_LOOK)
        until = time.monotonic() + LONGEST
        while self._number is not None:
            if time.monotonic() > until:
                self._close()
                os.kill(os.getpid(), number)  # this thread hears it
                return
            time.sleep(_LOOK)

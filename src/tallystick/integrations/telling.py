"""Trouble of loggers, said on standard error: the same once an hour at most.

>>> telling = Telling()
>>> with contextlib.redirect_stderr(sys.stdout):
...     telling.tell("the disk is full")
...     telling.tell("the disk is full")
tallystick: the disk is full
"""

import contextlib
import sys
import time

__all__ = ["Telling"]

_MOST = 100  # troubles that are remembered
_AGAIN = 3600.0  # seconds after which the same trouble is news again


class Telling:
    """Says trouble, and remembers when it said it."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}

    def tell(self, message: str) -> None:
        """Say it on standard error, which may be gone."""
        now = time.monotonic()
        if now - self._told.get(message, -_AGAIN) < _AGAIN or len(self._told) > _MOST:
            return
        self._told[message] = now  # before it is said: standard error may be a logger, too
        if sys.stderr is not None:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(f"tallystick: {message}\n")

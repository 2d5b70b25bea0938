"""Trouble of loggers, said on standard error: the same once an hour at most.

>>> reporter = Reporter()
>>> with contextlib.redirect_stderr(sys.stdout):
...     reporter.report("the disk is full")
...     reporter.report("the disk is full")
tallystick: the disk is full
"""

import contextlib
import sys
import time

__all__ = ["Reporter"]

_MOST = 100  # troubles that are remembered
_AGAIN = 3600.0  # seconds after which the same trouble is news again


class Reporter:
    """Says trouble, and remembers when it said it."""

    def __init__(self) -> None:
        self._said: dict[str, float] = {}

    def report(self, message: str) -> None:
        """Say it on standard error, which may be gone."""
        now = time.monotonic()
        if now - self._said.get(message, -_AGAIN) < _AGAIN or len(self._said) > _MOST:
            return
        self._said[message] = now  # before it is said: standard error may be a logger, too
        if sys.stderr is not None:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(f"tallystick: {message}\n")

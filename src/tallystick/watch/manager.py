"""What the service manager hears: that the service is ready, and that looks go on, only while they do.

>>> said = []
>>> manager = Manager(lambda *lines: said.append(lines))
>>> manager.ready([]); said
[('READY=1', 'STATUS=0 of 0 looked at')]
"""

import os
import time
from collections.abc import Callable, Iterable

from tallystick.watch.standing import State
from tallystick.watch.watched import Watched

__all__ = ["Manager"]

_LONGEST = 10.0  # seconds that a look may take, at least, before that is no sign of life
_EXTENDED = 30_000_000  # microseconds that a start may take from now on


class Manager:
    """Speaks with the service manager.

    Args:
        notify: Hands lines on, as `systemd` takes them.
    """

    def __init__(self, notify: Callable[..., None]) -> None:
        self._notify = notify
        self._patience, self._due = _watchdog(), 0.0

    def ready(self, watched: Iterable[Watched]) -> None:
        """Say that all were looked at, or that the configuration was taken."""
        self._notify("READY=1", _status(watched))

    def starting(self, watched: Iterable[Watched]) -> None:
        """Say that the start goes on."""
        self._notify(f"EXTEND_TIMEOUT_USEC={_EXTENDED}", _status(watched))

    def reloading(self) -> None:
        """Say that the configuration is read again."""
        self._notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def alive(self, watched: Iterable[Watched], now: float, waited: float) -> None:
        """Say that looks go on, from time to time.

        Args:
            watched: What is watched.
            now: The time on the clock that nobody sets.
            waited: Seconds since a look came to its end; 0 if none is under way.
        """
        if self._patience and waited < max(_LONGEST, self._patience) and now >= self._due:
            self._due = now + self._patience / 3
            self._notify("WATCHDOG=1", _status(watched))

    def stopping(self) -> None:
        """Say that the service ends."""
        self._notify("STOPPING=1")


def _status(watched: Iterable[Watched]) -> str:
    """Return a line on how all stand."""
    all_of_them = list(watched)
    looked = [one.track.state for one in all_of_them if one.slot.was_looked]
    said = f"STATUS={len(looked)} of {len(all_of_them)} looked at"
    for state in (State.FAILED, State.STALE, State.SILENT, State.INCOMPLETE, State.NEVER):
        if count := looked.count(state):
            said += f", {count} {state.value}"
    return said


def _watchdog() -> float:
    """Return how many seconds the service manager waits for a sign of life; 0 if it does not."""
    asked = os.environ.get("WATCHDOG_USEC", "")
    mine = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(asked) / 1_000_000 if mine and asked.isascii() and asked.isdecimal() else 0.0

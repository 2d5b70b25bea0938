"""When an entry is looked at: at once where something moved, from time to time where nothing says so.

>>> slot = Slot(Times(interval=1.0, check=15.0, force=300.0))
>>> slot.begin(100.0)
True
>>> slot.end(100.1, Ending.CLEAR); slot.due
115.1
>>> slot.move(100.2); slot.due
101.0
"""

import enum
from dataclasses import dataclass

__all__ = ["Ending", "Slot", "Times"]

_AGAIN = 0.25  # seconds until what may be motion is looked at again


class Ending(enum.Enum):
    """How a look ended."""

    CLEAR = "clear"
    DOUBTFUL = "doubtful"
    TROUBLE = "trouble"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds between looks.

    Args:
        interval: At least, if something goes on moving.
        check: Until files and directories are asked whether something moved.
        force: Until a look whatever they say: to read again what was read long ago, or heads that no file shows.
    """

    interval: float
    check: float
    force: float


class Slot:
    """When one entry is looked at.

    Attributes:
        due: When something is done next, on the clock that nobody sets.
        is_running: A worker has it.
        was_looked: A look at it came to an end, or could not be made.
    """

    def __init__(self, times: Times) -> None:
        self.times, self.due, self.is_running, self.was_looked = times, 0.0, False, False
        self._began, self._looked, self._moved = 0.0, -1e9, False

    def is_idle(self, now: float) -> bool:
        """Is it not time yet to look at it?"""
        return self.was_looked and not self.is_running and not self._moved and self.due > now

    def begin(self, now: float) -> bool:
        """Note that a worker takes it; must it look whatever files say?"""
        forced = self._moved or not self.was_looked or now - self._looked >= self.times.force
        self.is_running, self._began, self._moved = True, now, False
        return forced

    def end(self, now: float, how: Ending) -> None:
        """Note how it ended."""
        self.is_running = False
        if how is not Ending.IDLE:
            self.was_looked, self._looked = True, self._began
        took = now - self._began
        if how is Ending.DOUBTFUL:
            self._moved, self.due = True, now + min(_AGAIN, self.times.interval)
        elif how is Ending.TROUBLE or self._moved:
            # A look that took long must not keep others waiting.
            self._moved, self.due = True, max(self._began + self.times.interval, now + took)
        else:
            self.due = max(now + took, min(now + self.times.check, self._looked + self.times.force))

    def move(self, now: float) -> None:
        """Note that something moved."""
        self._moved = True
        if not self.is_running:
            self.due = min(self.due, max(now, self._began + self.times.interval))

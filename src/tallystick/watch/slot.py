"""When an entry is looked at: at once where something moved, from time to time where nothing says so.

>>> slot = Slot(Times(interval=1.0, check=15.0, force=300.0))
>>> slot.begin(100.0)
True
>>> slot.end(100.1, Ending.CLEAR); slot.due
116.0
>>> slot.move(100.2); slot.due, slot.begin(101.0)
(101.0, True)
"""

import enum
import math
from dataclasses import dataclass

__all__ = ["Ending", "Slot", "Times"]

_AGAIN = 0.25  # seconds from the beginning of a look to the next one, if it showed what may be motion
_PAUSE = 0.05  # seconds between two such looks, at least
_ROUGHLY = 5.0  # seconds of which fractions do not matter


class Ending(enum.Enum):
    """How a look ended, or the question whether one is needed."""

    CLEAR = "clear"
    DOUBTFUL = "doubtful"
    TROUBLE = "trouble"
    IDLE = "idle"
    MOVED = "moved"


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
        self._began, self._looked, self._moved, self._asked = 0.0, -1e9, False, False

    @property
    def is_resting(self) -> bool:
        """Is nothing to be done before it is due?"""
        return self.was_looked and not self.is_running and not self._moved and not self._asked

    @property
    def waits_since(self) -> float:
        """When it was due, or when the look began that is under way."""
        return self._began if self.is_running else self.due

    def begin(self, now: float) -> bool:
        """Note that a worker takes it: it must look, or only ask whether something moved?"""
        forced = self._moved or not self.was_looked or now - self._looked >= self.times.force
        self.is_running, self._began, self._moved, self._asked = True, now, False, False
        return forced

    def end(self, now: float, how: Ending) -> None:
        """Note how it ended."""
        self.is_running = False
        if how not in (Ending.IDLE, Ending.MOVED):
            self.was_looked, self._looked = True, self._began
        took = now - self._began
        if how is Ending.DOUBTFUL:
            self._moved, self.due = True, max(now + _PAUSE, self._began + min(_AGAIN, self.times.interval))
        elif how is Ending.MOVED:
            self._moved, self.due = True, max(now, self._looked + self.times.interval)
        elif how is Ending.TROUBLE or self._moved:
            # A look that took long must not keep others waiting.
            self._moved, self.due = True, max(self._began + self.times.interval, now + took)
        elif self._asked:
            self.due = max(self._began + self.times.interval, now + took)
        else:
            asked = now + self.times.check
            if self.times.check > _ROUGHLY:  # what is due at the same time is asked at once
                asked = float(math.ceil(asked))
            self.due = max(now + took, min(asked, self._looked + self.times.force))

    def move(self, now: float) -> None:
        """Note that something moved."""
        self._moved = True
        if not self.is_running:
            self.due = min(self.due, max(now, self._looked + self.times.interval))

    def ask(self, now: float) -> None:
        """Note that something may have moved."""
        self._asked = True
        if not self.is_running:
            self.due = min(self.due, max(now, self._began + self.times.interval))

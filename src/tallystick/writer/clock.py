"""The age of epochs, and signs of life.

>>> now = 100.0
>>> clock = EpochClock(60.0, None, lambda: now)
>>> clock.due_in()                      # an epoch without lines has no age
>>> clock.note((1, 0, 1), closed=False)  # its first line
True
>>> now += 45
>>> clock.due_in(), clock.is_over
(15.0, False)
"""

import time
from collections.abc import Callable

__all__ = ["EpochClock"]


class EpochClock:
    """Says when an epoch is over by its age, or a sign of life is due.

    State: the epoch that is written, when its first line came, when the last statement was made.
    Invariant: an epoch has an age only while it has lines; no clock that jumps is asked. No I/O, no lock: it is used
    under the turn.
    """

    def __init__(self, age: float, heartbeat: float | None, now: Callable[[], float] = time.monotonic) -> None:
        """Begin.

        Args:
            age: Seconds after which an epoch with lines is over.
            heartbeat: Seconds without a statement after which one is due, or None.
            now: The monotonic clock, in seconds.
        """
        self._age, self._heartbeat, self._now = age, heartbeat, now
        self.epoch = (0, 0)
        self._began: float | None = None
        self._stated = now()

    def opened(self, chain: int) -> None:
        """Note that a chain was opened; its first line is still to come."""
        self.epoch, self._began = (chain, 0), None

    def note(self, position: tuple[int, int, int], *, closed: bool) -> bool:
        """Note where the writer is after a line; return whether a statement was made since the last note."""
        chain, epoch, index = position
        stated = closed or self.epoch != (chain, epoch)
        if stated:
            self.epoch, self._began, self._stated = (chain, epoch), None, self._now()
        if index and not closed and self._began is None:
            self._began = self._now()
        return stated

    @property
    def is_running(self) -> bool:
        """Has the epoch an age, so that further lines change nothing?"""
        return self._began is not None

    @property
    def is_over(self) -> bool:
        """Is the epoch over, or a sign of life due?"""
        return self.due_in() == 0.0

    def due_in(self) -> float | None:
        """Return the seconds until `is_over`, or None if no time will come."""
        due = [self._left(self._stated, self._heartbeat)]
        if self._began is not None:
            due.append(self._left(self._began, self._age))
        return min((each for each in due if each is not None), default=None)

    def _left(self, since: float, age: float | None) -> float | None:
        return None if age is None else max(0.0, since + age - self._now())

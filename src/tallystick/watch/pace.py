"""How many looks there are, whether they come as often as was agreed, and whose fault it is if they do not.

Where more moves than the machine can look at, each entry is looked at less often, that first which is due the longest.
This says by how much, and that no entry is to blame for it.

>>> pace = Pace()
>>> for second in range(30):
...     pace.note(2.5)
...     said = pace.round(float(second), bearable=1.0)
>>> pace.late, said.partition(":")[0]
(2.5, 'looks come 2.5 s later than agreed')
"""

import math
from collections import deque

from tallystick.watch.slot import Slot

__all__ = ["Pace"]

_ROUNDS = 30  # of a second each, for which the service must be late, or in time, before that is said
_EFFORT = 64 * 2**20  # bytes of files that are written to that are read again in a second, of all entries together
_LEAST = 32 * 1024  # bytes, for each look
_HELD = 2.0  # seconds without a turn: the process or its machine stood still
_PATIENCE = 60.0  # seconds for which an entry may wait for its turn, and is not stale


class Pace:
    """Follows how many looks there are, and how late they come.

    Attributes:
        effort: Bytes of a file that is written to that a look reads again.
    """

    def __init__(self) -> None:
        self._rounds: deque[float] = deque(maxlen=_ROUNDS)
        self._worst, self._is_late = 0.0, False
        self._turned, self._held = math.inf, -math.inf
        self._count, self._since, self.effort = 0, -math.inf, _EFFORT

    @property
    def late(self) -> float:
        """By how many seconds looks came later than agreed lately, at most: so much later anything is found."""
        return max(self._rounds, default=0.0)

    def turn(self, now: float) -> bool:
        """Note a turn of the service; had it stood still before?"""
        stood = now - self._turned > _HELD
        self._turned, self._held = now, now if stood else self._held
        return stood

    def note(self, late: float) -> None:
        """Note by how many seconds a look came later than it was due."""
        self._worst = max(self._worst, late)

    def looked(self) -> None:
        """Note that a look came to an end."""
        self._count += 1

    def round(self, now: float, bearable: float) -> str:
        """Note that a second went by; return what people must know, if it is another thing than before.

        Args:
            now: The time.
            bearable: Seconds by which a look may come later.
        """
        self.effort = max(_LEAST, int(_EFFORT / max(1.0, self._count / max(0.1, now - self._since))))
        self._count, self._since = 0, now
        self._rounds.append(self._worst)
        self._worst = 0.0
        if not self._is_late and len(self._rounds) == _ROUNDS and min(self._rounds) > bearable:
            self._is_late = True
            return (
                f"looks come {self.late:.1f} s later than agreed: more moves than this machine can look at, and what"
                " happens is found so much later; watch fewer logs with it, or set a longer interval"
            )
        if self._is_late and self.late <= bearable:
            self._is_late = False
            return "looks come in time again"
        return ""

    def is_excused(self, slot: Slot, now: float, idle: float, patience: float) -> bool:
        """Is it no trouble of an entry that it is not looked at: others have their turn, or the service stood still?

        Args:
            slot: When it is looked at.
            now: The time.
            idle: Seconds since the end of a look, at whatever it was.
            patience: Seconds that a look may take, or that may go by without the end of any look.
        """
        going = now - self._held
        waited = min(now - slot.waits_since, going)
        if slot.is_running:
            return waited <= patience
        return min(idle, going) <= patience and (not slot.was_looked or waited <= _PATIENCE)

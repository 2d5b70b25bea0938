"""What of the remembered bytes is read again in a run, so that each is read at least once in a period.

Runs come when they come, so nobody knows how many there will be in the period. In a steady state the ages of bytes are
spread evenly over it: of all bytes, at most the share 1 - x is older than the share x of the period. As many are read
again, the oldest first, as it takes to get there. Of what was read all at once, each run then reads the share of the
period that has passed since the run before.

>>> due([Aged(n, 100, 12.0) for n in range(4)], 24.0)  # half a period after all was read; a part may be late
[0]
>>> due([Aged(0, 100, 1.0), Aged(1, 100, 25.0)], 24.0)
[1]
>>> due_in([Aged(0, 100, 12.0)], 24.0), due_in([Aged(n, 100, 12.0) for n in range(4)], 24.0)
(12.0, 0.0)
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Aged", "due", "due_in"]

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Aged(Generic[K]):
    """Bytes that are read again together.

    Args:
        key: Which they are.
        size: How many.
        age: Seconds since they were read last.
    """

    key: K
    size: int
    age: float


def due(remembered: Iterable[Aged[K]], period: float) -> list[K]:
    """Return what is read again now.

    Args:
        remembered: What is remembered.
        period: Seconds within which each byte is read again.

    Returns:
        Keys, the oldest first.
    """
    oldest_first = sorted(remembered, key=lambda one: -one.age)
    total = sum(one.size for one in oldest_first)
    lacking = _lacking(oldest_first, total, period)
    read, keys = 0, []
    for one, needed in zip(oldest_first, lacking, strict=True):
        if read >= needed:
            break
        keys.append(one.key)
        read += one.size
    return keys


def due_in(remembered: Iterable[Aged[K]], period: float) -> float:
    """Return the seconds after which `due` gives something; infinity if nothing is remembered."""
    newest_first = sorted(remembered, key=lambda one: one.age)
    total = sum(one.size for one in newest_first)
    newer, least = 0, math.inf
    for one in newest_first:
        newer += one.size
        least = min(least, newer / total * period - one.age if total else math.inf)
    return max(0.0, least)


def _lacking(oldest_first: Sequence[Aged[K]], total: int, period: float) -> list[float]:
    """Return, for each place in the row, how much must be read before it so that what is left is not too old."""
    lacking, newer, needed = [], 0, 0.0
    for one in reversed(oldest_first):
        newer += one.size
        share = one.age / period
        # What is as old as the period is read whatever else is.
        needed = max(needed, share * total - newer + (one.size if share >= 1 else 0))
        lacking.append(needed)
    return lacking[::-1]

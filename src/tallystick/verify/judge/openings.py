"""What the openings of a log say of chains before them (spec sections 5 and 7).

An opening names the head as the key store held it: so far the log had come, and the chains between that head's
chain and its own had no line that a head counted.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence

from tallystick import _core
from tallystick.verify.positions import At

__all__ = ["Openings", "Range"]

Range = tuple[int, int]
"""Numbers of chains, first and last."""


class Openings:
    """The openings of a log, and what follows from those whose prev is authentic as far as the key can tell."""

    def __init__(self, openings: Iterable[_core.Statement | None], extent: _core.Extent) -> None:
        """Take the openings, in order, and what the core found in them."""
        self.all = [opening for opening in openings if opening is not None and opening.prev is not None]
        self.named: dict[int, At] = {at[0]: at for at in extent.named}
        self._passed = extent.passed
        self._starts = [first for first, _ in self._passed]

    def passes_over(self, chain: int) -> bool:
        """Does an opening say that no line of a chain was counted by a head?"""
        at = bisect_right(self._starts, chain) - 1
        return at >= 0 and self._passed[at][1] >= chain

    def passed(self, low: int, high: int) -> Iterator[Range]:
        """Give the chains of a range that an opening passes over, in order."""
        for first, last in self._passed[max(0, bisect_right(self._starts, low) - 1) :]:
            if first > high:
                break
            if max(first, low) <= min(last, high):
                yield max(first, low), min(last, high)

    def part(self, low: int, high: int, demanded: Sequence[int]) -> tuple[list[Range], list[Range]]:
        """Part absent chains into those that must be there, and those that an opening passes over.

        Args:
            low: First absent chain.
            high: Last absent chain.
            demanded: Chains of which lines were counted, sorted: they must be there, passed over or not.
        """
        passed: list[Range] = []
        for start, last in self.passed(low, high):
            for chain in demanded[bisect_left(demanded, start) : bisect_right(demanded, last)]:
                passed.append((start, chain - 1))
                start = chain + 1
            passed.append((start, last))
        passed = [(first, last) for first, last in passed if first <= last]
        missing: list[Range] = []
        at = low
        for first, last in passed:
            if at < first:
                missing.append((at, first - 1))
            at = last + 1
        if at <= high:
            missing.append((at, high))
        return missing, passed

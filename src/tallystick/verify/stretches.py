"""Which positions copies gave: lines that came in one are not missing elsewhere.

>>> held = Stretches()
>>> held.add((1, 0, 5), (1, 0, 9)); held.add((1, 0, 2), (1, 0, 5))
>>> held.follow((1, 0, 9), 2); held.add((2, 0, 0), (2, 0, 3))
>>> held.through((1, 0, 3)), held.through((1, 0, 1))
((2, 0, 3), (1, 0, 1))
>>> held.forget((2, 0, 0)); held.through((1, 0, 3)), held.through((2, 0, 0))
((1, 0, 3), (2, 0, 3))
"""

from bisect import bisect_left, bisect_right

from tallystick.verify.positions import At

__all__ = ["Stretches"]


class Stretches:
    """Stretches of positions without a gap, in order and apart, and where a chain goes on in the next one."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._held: list[tuple[At, At]] = []
        self._next: dict[At, At] = {}

    def add(self, start: At, end: At) -> None:
        """Add the positions from a first one on, up to another one that is not among them."""
        if start >= end:
            return
        first = bisect_left(self._held, start, key=lambda one: one[1])
        last = bisect_right(self._held, end, key=lambda one: one[0])
        if first < last:
            start, end = min(start, self._held[first][0]), max(end, self._held[last - 1][1])
        self._held[first:last] = [(start, end)]

    def follow(self, end: At, chain: int) -> None:
        """Note that a chain goes on where another one ended, as its opening says."""
        if end[0] < chain:
            self._next[end] = (chain, 0, 0)

    def through(self, at: At) -> At:
        """Return the first position from another one on that is not among them."""
        while True:
            number = bisect_right(self._held, at, key=lambda one: one[0]) - 1
            if number >= 0 and self._held[number][1] > at:
                at = self._held[number][1]
            elif at in self._next:
                at = self._next[at]
            else:
                return at

    def fills(self, start: At, to: At | None) -> bool:
        """Are all positions of a gap among them? Without `to` it goes on up to the end of its epoch."""
        through = self.through(start)
        return through > to if to is not None else through[:2] > start[:2]

    def forget(self, before: At) -> None:
        """Let go of what lies before a position."""
        self._held = [one for one in self._held if one[1] > before]
        self._next = {end: start for end, start in self._next.items() if end >= before}

"""What is due when: each name at one time, which another replaces or brings forward.

>>> agenda = Agenda()
>>> agenda.put("app", 5.0); agenda.put("web", 3.0); agenda.put("app", 2.0)
>>> agenda.next(), agenda.take(2.5), agenda.take(2.5), agenda.next()
(2.0, 'app', None, 3.0)
>>> agenda.bring("web", 4.0); agenda.bring("app", 1.0); agenda.next(), agenda.take(3.0), agenda.take(3.0)
(1.0, 'app', 'web')
"""

import heapq
import math

__all__ = ["Agenda"]


class Agenda:
    """Names, and the time at which each is due."""

    def __init__(self) -> None:
        self._at: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []  # with times that were replaced, which count for nothing

    def put(self, name: str, at: float) -> None:
        """Let a name be due at a time."""
        if self._at.get(name) != at:
            self._at[name] = at
            heapq.heappush(self._heap, (at, name))
        if len(self._heap) > 4 * len(self._at) + 16:
            self._heap = [(at, name) for name, at in self._at.items()]
            heapq.heapify(self._heap)

    def bring(self, name: str, at: float) -> None:
        """Let a name be due at a time, unless it is due earlier: what is due already is not put off."""
        if at < self._at.get(name, math.inf):
            self.put(name, at)

    def next(self) -> float:
        """Return when the first one is due; infinity if nothing is."""
        while self._heap and self._at.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else math.inf

    def take(self, now: float) -> str | None:
        """Take out the name that is due the longest; None if none is."""
        if self.next() > now:
            return None
        name = heapq.heappop(self._heap)[1]
        del self._at[name]
        return name

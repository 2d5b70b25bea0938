"""How all entries stand, for readers in other threads: metrics, page, API.

>>> board = Board()
>>> board.put(Standing("app", State.OK, 0), [], None)
>>> board.one("app").state, board.one("web"), board.version(), board.wait(0, 5.0)
(<State.OK: 'ok'>, None, 1, 1)
"""

import threading
import time
from collections.abc import Callable, Sequence

from tallystick.verify.report import Report
from tallystick.watch.standing import Band, Standing, State

__all__ = ["Board"]


class Board:
    """The newest standing of each entry; `Standings` describes what readers call.

    Lock: one, for all; nobody waits for anything else while holding it.
    """

    def __init__(self, queued: Callable[[], int] = lambda: 0, late: Callable[[], float] = lambda: 0.0) -> None:
        self._changed, self._version = threading.Condition(), 0
        self._standings: dict[str, Standing] = {}
        self._past: dict[str, Sequence[Band]] = {}
        self._reports: dict[str, Report | None] = {}
        self._queued, self._late, self._turned = queued, late, time.monotonic()

    def turn(self) -> None:
        """Note that the service's loop went round."""
        self._turned = time.monotonic()

    def put(self, standing: Standing, past: Sequence[Band], report: Report | None) -> None:
        """Take how an entry stands now."""
        with self._changed:
            self._standings[standing.name] = standing
            self._past[standing.name], self._reports[standing.name] = past, report
            self._version += 1
            self._changed.notify_all()

    def keep(self, names: Sequence[str]) -> None:
        """Forget all entries but some, and take their order."""
        with self._changed:
            self._standings = {name: self._standings[name] for name in names if name in self._standings}
            self._past = {name: self._past[name] for name in names if name in self._past}
            self._reports = {name: self._reports[name] for name in names if name in self._reports}
            self._version += 1
            self._changed.notify_all()

    def all(self) -> Sequence[Standing]:
        """Return how each entry stands, in the order of the configuration."""
        with self._changed:
            return tuple(self._standings.values())

    def one(self, name: str) -> Standing | None:
        """Return how an entry stands; None if there is none of that name."""
        with self._changed:
            return self._standings.get(name)

    def day(self, name: str) -> Sequence[Band]:
        """Return the states of an entry within the last 24 hours, in order."""
        with self._changed:
            past, standing = self._past.get(name, ()), self._standings.get(name)
        if standing is None:
            return ()
        now = time.time_ns() // 1_000_000
        begin = now - 86_400_000
        bands = [Band(max(begin, band.begin), band.end, band.state) for band in past if band.end > begin]
        return (*bands, Band(max(begin, standing.since), max(now, standing.since), standing.state))

    def report(self, name: str) -> Report | None:
        """Return the whole report of the last look that succeeded."""
        with self._changed:
            return self._reports.get(name)

    def version(self) -> int:
        """Return a number that grows whenever a standing changes."""
        with self._changed:
            return self._version

    def wait(self, version: int, seconds: float) -> int:
        """Wait until the version is another one, at most so long; return it."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != version, seconds)
            return self._version

    def queued(self) -> int:
        """Return how many alerts wait to be delivered."""
        return self._queued()

    def late(self) -> float:
        """Return by how many seconds looks came later than agreed lately, at most."""
        return self._late()

    def idle(self) -> float:
        """Return how many seconds ago the service's loop last went round."""
        return time.monotonic() - self._turned

    def count(self, state: State) -> int:
        """Return how many entries are in a state."""
        with self._changed:
            return sum(one.state is state for one in self._standings.values())

"""Whose files and directories moved.

>>> places = Places()
>>> places.take("app", Trace(("/logs/app.log", "/logs"), frozenset({"/logs"})))
>>> places.take("web", Trace(("/logs/web.log", "/logs"), frozenset({"/logs"})))
>>> known, asked = places.moved({"/logs/app.log"})
>>> sorted(known), sorted(asked)
(['app'], [])
>>> known, asked = places.moved({"/logs/new.log"})
>>> sorted(known), sorted(asked)
([], ['app', 'web'])
"""

import os
from collections.abc import Collection, Iterable

from tallystick.watch.traces import Trace

__all__ = ["Places"]


class Places:
    """The files and directories of all entries.

    Attributes:
        are_other: There are others than when the directories were asked for.
    """

    def __init__(self) -> None:
        self._traces: dict[str, Trace] = {}
        self._names: dict[str, set[str]] = {}
        self.are_other = True

    def take(self, name: str, trace: Trace) -> None:
        """Take the places of an entry, instead of those that it had."""
        old = self._traces.get(name)
        if old is trace:
            return
        # A directory that was made again is another one, under the same name.
        self.are_other = True
        before = frozenset(old.places) if old is not None else frozenset[str]()
        after = frozenset(trace.places)
        for place in before - after:
            self._names[place].discard(name)
            if not self._names[place]:
                del self._names[place]
        for place in after - before:
            self._names.setdefault(place, set()).add(name)
        self._traces[name] = trace

    def keep(self, names: Collection[str]) -> None:
        """Forget all entries but some."""
        for name in [one for one in self._traces if one not in names]:
            self.take(name, Trace((), frozenset()))
            del self._traces[name]

    def directories(self) -> frozenset[str]:
        """Return all directories."""
        self.are_other = False
        return frozenset().union(*(trace.directories for trace in self._traces.values()))

    def moved(self, paths: Iterable[str]) -> tuple[set[str], set[str]]:
        """Return the entries at which something moved, and those at which something may have.

        Args:
            paths: Where something moved.
        """
        known, asked = set[str](), set[str]()
        for path in paths:
            if path in self._names and not self._is_directory(path):
                known |= self._names[path]
            else:
                for place in (path, os.path.dirname(path)):
                    asked |= self._names.get(place, set())
        return known, asked - known

    def _is_directory(self, place: str) -> bool:
        return any(place in self._traces[name].directories for name in self._names[place])

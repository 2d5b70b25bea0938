"""What is remembered of files that did not change for some looks, merged and judged once for all looks to come.

A service looks every second at a log of which most was read long ago. Once two looks after each other recalled the
same, the core keeps it in the form in which it is judged (`_core.Settled`), and a look takes in what is new.
"""

import threading
import weakref
from collections.abc import Mapping

from tallystick import _core

__all__ = ["Held", "Merged", "Room"]

_GROWS = 30  # times as much memory as its stored form takes

Held = tuple[bytes, ...]
"""Summaries of one input, in the form in which they are remembered."""


class Room:
    """Memory that all logs of a service share for what is merged; a log that gets none is merged at each look.

    >>> class Log: pass
    >>> room, one, other = Room(100), Log(), Log()
    >>> room.take(one, 60), room.take(other, 60), room.take(one, 0), room.take(other, 60)
    (True, False, True, True)
    """

    def __init__(self, size: int = 2**28) -> None:
        """Take how many bytes there are."""
        self._size, self._lock = size, threading.Lock()
        self._taken: weakref.WeakKeyDictionary[object, int] = weakref.WeakKeyDictionary()

    def take(self, owner: object, size: int) -> bool:
        """Let an owner have some bytes instead of those that it had, as long as it lives; are there so many?"""
        with self._lock:
            self._taken.pop(owner, None)
            # A log that goes on gives back at each look: only what takes some is held against the others.
            fits = not size or sum(self._taken.values()) + size <= self._size
            if size and fits:
                self._taken[owner] = size
            return fits


class Merged:
    """What is merged and judged."""

    def __init__(self, keys: _core.Keys, room: Room | None) -> None:
        """Take the keys with which it is judged, and the memory that there is for it; None where no look is to come."""
        self._keys, self._room = keys, room
        self._kept: _core.Settled | None = None
        self._held: Mapping[int, Held] = {}
        self._recalled: dict[int, Held] = {}

    @property
    def settled(self) -> _core.Settled | None:
        """What is merged and judged, if the look that goes on recalls all of it."""
        return self._kept if self._held == self._recalled else None

    def begin(self) -> None:
        """Begin a look."""
        self._recalled = {}

    def has(self, number: int, summaries: Held) -> bool:
        """Is merged what is remembered of an input?

        Args:
            number: Number of the input.
            summaries: What was found in it, as far as it lasts.
        """
        return self._kept is not None and self._held.get(number) == summaries

    def recall(self, number: int, summaries: Held) -> None:
        """Note that the look recalls this; the arguments are those of `has`."""
        if summaries and self._room is not None:
            self._recalled[number] = summaries

    def forget(self) -> None:
        """Keep nothing merged any more."""
        if self._kept is not None and self._room is not None:
            self._held, self._kept = {}, None
            self._room.take(self, 0)

    def keep(self) -> None:
        """End a look: merge what it recalled, if the one before recalled the same."""
        if self._room is None or (self._kept is not None and self._held == self._recalled):
            return
        again = bool(self._recalled) and self._held == self._recalled
        self._held, self._kept = self._recalled, None
        size = sum(len(summary) for summaries in self._held.values() for summary in summaries)
        if self._room.take(self, size * _GROWS if again else 0) and again:
            found = _core.Summary()
            for number, summaries in self._held.items():
                for summary in summaries:
                    found.merge(_core.Summary.from_memory(summary, number))
            self._kept = _core.Settled(self._keys, found)

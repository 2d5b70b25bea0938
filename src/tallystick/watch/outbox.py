"""Reports are durable first: standings and events are written, then logged for people, then handed on.

>>> import tempfile
>>> from tallystick.watch.kept import Kept
>>> class Nowhere:
...     def send(self, event): return True
>>> with tempfile.TemporaryDirectory() as place:
...     kept = Kept(place)
...     outbox = Outbox(kept, Nowhere(), print)
...     outbox.keep(0.0, lambda: {"app": {"state": "ok"}})
...     kept.close()
...     Kept(place).entries
{'app': {'state': 'ok'}}
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from tallystick.errors import TallystickError, explain
from tallystick.watch.events import Event
from tallystick.watch.kept import Kept

__all__ = ["Outbox"]

_KEEP = 60.0  # seconds after which standings are written, though no state changed
_AGAIN = 1.0  # seconds after which what failed is tried again
_SHARE = 10  # times as long as it took to write, nothing is written again: where much happens, it is written together
_LONGEST = 1.0  # seconds that an event waits for that


Entries = Mapping[str, Mapping[str, Any]]


class _Outlets(Protocol):
    def send(self, event: Event) -> bool:
        """Hand an event on; is it durable there?"""


class Outbox:
    """Events that were not handed on yet.

    Args:
        kept: Where standings and events become durable.
        outlets: Where events go.
        say: Takes a line about what happened, for people.
    """

    def __init__(self, kept: Kept, outlets: _Outlets, say: Callable[[str], None]) -> None:
        self._kept, self._outlets, self._say = kept, outlets, say
        self._events, self._unsaid = list(kept.events), list[Event]()
        self._is_dirty, self._due, self._rest = True, 0.0, 0.0

    @property
    def due(self) -> float:
        """When something is written next, at the latest, on the clock that nobody sets."""
        return self._rest if self._is_dirty else self._due

    def add(self, event: Event) -> None:
        """Take an event."""
        self._events.append(event)
        self._unsaid.append(event)
        self._is_dirty = True

    def change(self) -> None:
        """Write soon: what is to be remembered has changed."""
        self._is_dirty = True

    def keep(
        self, now: float, entries: Callable[[], Mapping[str, Mapping[str, Any]]], *, at_once: bool = False
    ) -> None:
        """Write what must be written, then hand events on.

        Args:
            now: The time on the clock that nobody sets.
            entries: Gives what is known of each entry.
            at_once: Write, whatever the time.
        """
        if now < self.due and not at_once:
            return
        began = time.monotonic()
        self._due, self._is_dirty = now + _KEEP, False
        try:
            self._kept.write(entries(), self._events)
        except TallystickError as error:
            self._say(f"standings were not written: {explain(error)}")
            self._due = now + _AGAIN
        self._rest = now + min(_LONGEST, _SHARE * (time.monotonic() - began))
        for event in self._unsaid:
            self._say(event.to_line())
        self._unsaid = []
        sent = self._events
        self._events = [event for event in sent if not self._outlets.send(event)]
        self._is_dirty = len(self._events) < len(sent)  # so that a restart does not hand those on once more
        if self._events:
            self._due = now + _AGAIN

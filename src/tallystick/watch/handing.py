"""Hands events on, once they and the standings that they are about are durable.

A crash between the two hands them on again, with the same ids, so that no receiver takes them twice.

>>> import tempfile
>>> from pathlib import Path
>>> from tallystick.watch.config import Config
>>> with tempfile.TemporaryDirectory() as place:
...     handing = Handing(Kept(place), Outlets(Config((), Path(place)), print), print)
...     handing.note()
...     handing.keep(0.0, lambda: {"app": {"state": "ok"}})
...     handing.close()
...     Kept(place).entries
{'app': {'state': 'ok'}}
"""

from collections.abc import Callable, Mapping
from typing import Any

from tallystick.errors import TallystickError, explain
from tallystick.watch.events import Event
from tallystick.watch.kept import Kept
from tallystick.watch.outlets import Outlets

__all__ = ["Handing"]

_KEEP = 60.0  # seconds after which standings are written, though no state changed
_AGAIN = 1.0  # seconds after which what failed is tried again


class Handing:
    """Events on their way out.

    Args:
        kept: Where they become durable; what an earlier process did not hand on is in it.
        outlets: Where they go.
        say: Takes a line about each, for people.
    """

    def __init__(self, kept: Kept, outlets: Outlets, say: Callable[[str], None]) -> None:
        self._kept, self._outlets, self._say = kept, outlets, say
        self._waiting, self._unsaid = list(kept.events), list[Event]()
        self._is_new, self._due = bool(self._waiting), 0.0

    def add(self, event: Event) -> None:
        """Take an event."""
        self._waiting.append(event)
        self._unsaid.append(event)
        self.note()

    def note(self) -> None:
        """Note that standings are other ones."""
        self._is_new = True

    def keep(self, now: float, standings: Callable[[], Mapping[str, Mapping[str, Any]]]) -> None:
        """Write standings and hand events on, if there is something new, or it is time.

        Args:
            now: The time on the clock that nobody sets.
            standings: Gives what is known of each entry, as plain values.
        """
        if not self._is_new and now < self._due:
            return
        self._due, self._is_new = now + _KEEP, False
        try:
            self._kept.write(standings(), self._waiting)
        except TallystickError as error:
            self._say(f"standings were not written: {explain(error)}")
            self._due = now + _AGAIN
        for event in self._unsaid:
            self._say(event.to_line())
        self._unsaid = []
        sent = self._waiting
        self._waiting = [event for event in sent if not self._outlets.send(event)]
        self._is_new = len(self._waiting) < len(sent)  # so that a restart does not hand those on once more
        if self._waiting:
            self._due = now + _AGAIN

    def close(self) -> None:
        """Give the directory back."""
        self._kept.close()

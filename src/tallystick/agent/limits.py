"""Limits of the agent, and reports of those who meet them (spec/agent.md section 5).

>>> said = []
>>> reports = Reports(said.append, clock=lambda: 0.0)
>>> for _ in range(3):
...     reports.note("process 7 of uid 7", "sent a malformed frame")
>>> reports.repeat(end=True)
>>> said
['process 7 of uid 7 sent a malformed frame', 'process 7 of uid 7 sent a malformed frame (2 times more)']
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Limits", "Reports"]

_AGAIN = 10.0  # seconds after which the same report comes again
_MOST = 1000  # reports that are counted apart


@dataclass(frozen=True, slots=True)
class Limits:
    """What one log takes.

    Args:
        line: Bytes of a line; a longer message becomes several lines, and is refused by the acknowledged protocol.
        connections: Connections at one address; more are closed at once.
        peer: Connections of one peer at one address: a user, a name in a certificate, or a network address.
        rate: Bytes a second of one connection; it is read no faster. None for any.
        half: Bytes of messages that have not ended, of all connections together; above that the longest is cut off.
        window: Lines of a client of which hashes are kept, and of a batch.
        clients: Clients of one identity.
    """

    line: int = 2**20
    connections: int = 4096
    peer: int = 2048
    rate: int | None = None
    half: int = 2**26
    window: int = 1024
    clients: int = 2048


class Reports:
    """Says who did what, and not the same thing all the time."""

    def __init__(self, report: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        """Begin; `report` is called with each message."""
        self._report, self._clock = report, clock
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def note(self, name: str, what: str) -> None:
        """Note what somebody did."""
        if (name, what) not in self._seen and len(self._seen) >= _MOST:
            name, what = "many others", "did such things, too"
        at, count = self._seen.get((name, what), (0.0, -1))
        if count < 0:
            self._report(f"{name} {what}")
            at = self._clock()
        self._seen[name, what] = at, count + 1

    def repeat(self, *, end: bool = False) -> None:
        """Report what came again since it was reported."""
        for (name, what), (at, count) in list(self._seen.items()):
            if end or self._clock() - at >= _AGAIN:
                del self._seen[name, what]
                if count:
                    self._report(f"{name} {what} ({count} times more)")

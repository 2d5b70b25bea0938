"""Heads that come late, because nothing could store them: the log says so, and so does `tallystick status`.

Until a head counts a line, its removal would not be noticed. A head follows a line within a second, and in a pipe
within an interval more (spec section 6). A program that keeps the interpreter, a process that was stopped or a key
store that is away can break that promise. It is reported then, at the next moment at which the writer runs.

>>> late = LateHeads(1.0, lambda: 1795800000.0)
>>> late.stored(0.7, "the key store did not answer")
>>> late.report() is None
True
>>> late.stored(6.25, "the key store did not answer")
>>> print(late.report())
no head counted new lines for 6.2 s, from 2026-11-27T17:19:53Z to 2026-11-27T17:20:00Z: the key store did not answer
"""

import time
from collections.abc import Callable
from typing import Any

from tallystick.sinks.base import Followed, Sink
from tallystick.sinks.stream import StreamSink
from tallystick.writer.status import when

__all__ = ["LateHeads", "promised"]

_AGAIN = 60.0  # seconds after which a log that has said so says it again
_STARVED = "nothing could store one, because other code kept the interpreter or the process was stopped"


def promised(sink: Sink) -> float:
    """Return within how many seconds a head follows a line in a sink."""
    return 1.0 if isinstance(sink, Followed) else 1.0 + StreamSink.INTERVAL


class LateHeads:
    """Counts late heads until the log has said so.

    State: how many there were in all and since the last report, the longest delay of each, when they began.
    Invariant: what was late is reported once; however slow a store is, reports by themselves cause no more of them.
    Used under the turn.
    """

    def __init__(self, promised: float, now: Callable[[], float] = time.time) -> None:
        """Begin; `promised` is the number of seconds within which a head is to come, `now` the time of day."""
        self.promised, self._now = promised, now
        self._count = self._total = 0
        self._from = self._to = self._longest = self._worst = 0.0
        self._why = ""
        self._said: float | None = None
        self._is_over = False

    def stored(self, age: float, why: str | None) -> None:
        """Note that a head was stored, or that the log is about to be closed without one.

        Args:
            age: Seconds for which the oldest line waited that it counts.
            why: What was in the way, None where that is not known.
        """
        if age <= self.promised or self._is_over:
            return
        self._to = self._now()
        if not self._count:
            self._from = self._to - age
        self._count, self._total = self._count + 1, self._total + 1
        self._longest, self._worst = max(self._longest, age), max(self._worst, age)
        self._why = (why or _STARVED).replace("\n", " ").replace("\r", " ")

    def report(self, *, last: bool = False) -> str | None:
        """Return what the log has to say now, once; None if that is nothing.

        Args:
            last: It is the last opportunity. Else what follows a report within a minute is left for later.
        """
        if not self._count or (self._said is not None and abs(self._now() - self._said) < _AGAIN and not last):
            return None
        times = f" {self._count} times" if self._count > 1 else ""
        lines = f"no head counted new lines for {'up to ' * bool(times)}{self._longest:.1f} s{times}"
        self._said, self._count, self._longest, self._is_over = self._now(), 0, 0.0, last
        return f"{lines}, from {when(self._from)} to {when(self._to)}: {self._why}"

    def note(self) -> dict[str, Any] | None:
        """Return what a status says: how many heads came late, by how much, when the last one did and why."""
        if not self._total:
            return None
        longest, time = round(self._worst, 1), round(self._to, 3)
        return {"count": self._total, "longest": longest, "time": time, "why": self._why[:300]}

"""What is reported to somebody: an entry changed its state, a new finding came, or a state lasts.

>>> from tallystick.watch.standing import State
>>> event = Event("1", 1_764_201_600_000, "app", Reason.CHANGE, State.OK, State.SILENT, 1_764_201_600_000)
>>> event.to_dict()["after"], event.is_over
('silent', False)
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tallystick.verify.report import Finding
from tallystick.watch.standing import State

__all__ = ["Event", "Reason"]


class Reason(enum.Enum):
    """Why an event is sent."""

    CHANGE = "change"
    FINDING = "finding"
    REPEAT = "repeat"


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Args:
        id: Unique; the same when it is delivered again, so that a receiver can drop the second.
        time: When it happened, ms since 1970.
        entry: Name of the entry.
        reason: Why it is sent.
        before: State before.
        after: State now.
        since: When that state began, ms since 1970; with the entry's name it names one trouble.
        finding: The worst new finding, if there is one.
        more: How many other findings there are.
        first_seen: When the finding was first seen, ms since 1970.
        delay: Seconds from the newest time that the log claims for the lines concerned to `first_seen`; None if
            nobody knows.
        trouble: Why it cannot be looked at, or what is missing, in words.
        advice: What to do.
        labels: Labels of the entry.
    """

    id: str
    time: int
    entry: str
    reason: Reason
    before: State
    after: State
    since: int
    finding: Finding | None = None
    more: int = 0
    first_seen: int | None = None
    delay: float | None = None
    trouble: str = ""
    advice: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Is the trouble over?"""
        return not self.after.is_alarm

    def to_line(self) -> str:
        """Return the event as one line for people; nothing in it makes a terminal do anything."""
        said = f"{self.entry}: {self.after.value}"
        if self.reason is Reason.CHANGE:
            said += f" (was {self.before.value})"
        elif self.reason is Reason.REPEAT:
            said += " (still)"
        if (found := self.finding) is not None:
            place = f" at {found.path}:{found.line}" if found.path is not None and found.line is not None else ""
            said += f": {found.kind} {found.position or ''}".rstrip() + f"{place}: {found.detail}"
            said += f" (and {self.more} more)" if self.more else ""
        elif self.trouble:
            said += f": {self.trouble}"
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in said)

    def to_dict(self) -> dict[str, Any]:
        """Return the event as plain values, in the form of version 1 (event-1.schema.json, beside this module)."""
        plain = {name: _plain(getattr(self, name)) for name in self.__slots__}
        return {"tallystick_event": 1, **plain}


def _plain(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Finding):
        return {name: _plain(getattr(value, name)) for name in value.__slots__}
    return dict(value) if isinstance(value, Mapping) else value

"""How an entry stands: its state, since when, and what the last look showed. Values only.

>>> State.FAILED.is_alarm, State.STALE.is_alarm, State.OK.is_alarm
(True, True, False)
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tallystick.verify.report import Finding, Report, Verdict

__all__ = ["Band", "Newest", "Seen", "Standing", "Standings", "State"]


class State(enum.Enum):
    """What is to be thought of an entry now."""

    OK = "ok"
    FAILED = "failed"
    INCOMPLETE = "incomplete"
    STALE = "stale"
    SILENT = "silent"
    NEVER = "never"

    @property
    def is_alarm(self) -> bool:
        """Must somebody look?"""
        return self is not State.OK


@dataclass(frozen=True, slots=True)
class Newest:
    """How far an entry got; ms since 1970, None where nothing of that kind was seen.

    Args:
        line: When its newest line was first seen by this service (its own clock), or the file's time at the first look.
        checkpoint: Time that its newest checkpoint claims.
        head: When a look saw last that a head counts the end.
        pin: When a look had the verdict `ok` last: what it saw is then pinned, within half a minute.
        looked: When that remembered byte was last read which was read the longest ago.
    """

    line: int | None = None
    checkpoint: int | None = None
    head: int | None = None
    pin: int | None = None
    looked: int | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What the last look that succeeded showed.

    Args:
        time: When it began, ms since 1970.
        seconds: How long it took.
        verdict: Its verdict.
        findings: Its findings, the worst first; few of each kind.
        counts: How many findings of each kind and weight there are, `(kind, weight)`.
        lines: Lines verified in all, since the beginning of the log as far as it is here.
        size: Bytes verified in all, uncompressed.
        lag: Bytes that came at the files' ends while it went on, and wait for the next look.
        newest: How far it got.
    """

    time: int
    seconds: float
    verdict: Verdict
    findings: tuple[Finding, ...]
    counts: Mapping[tuple[str, str], int]
    lines: int
    size: int
    lag: int
    newest: Newest


@dataclass(frozen=True, slots=True)
class Standing:
    """How an entry stands.

    Args:
        name: Name of the entry.
        state: Its state.
        since: When it got into that state, ms since 1970.
        trouble: Why it could not be looked at, in words; empty if it could.
        seen: What the last look that succeeded showed; None before the first.
        tried: When the last look was tried, ms since 1970; None before the first.
        labels: Labels of the entry.
    """

    name: str
    state: State
    since: int
    trouble: str = ""
    seen: Seen | None = None
    tried: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Band:
    """A stretch of time in one state: from, to (ms since 1970), the last one up to now."""

    begin: int
    end: int
    state: State


class Standings(Protocol):
    """What metrics, page and API read of the running service; each call is safe from any thread and cheap."""

    def all(self) -> Sequence[Standing]:
        """Return how each entry stands, in the order of the configuration."""

    def one(self, name: str) -> Standing | None:
        """Return how an entry stands; None if there is none of that name."""

    def day(self, name: str) -> Sequence[Band]:
        """Return the states of an entry within the last 24 hours, in order."""

    def report(self, name: str) -> Report | None:
        """Return the whole report of the last look that succeeded."""

    def version(self) -> int:
        """Return a number that grows whenever a standing changes."""

    def wait(self, version: int, seconds: float) -> int:
        """Wait until the version is another one, at most so long; return it."""

    def queued(self) -> int:
        """Return how many alerts wait to be delivered."""

    def idle(self) -> float:
        """Return how many seconds ago the service's loop last went round."""

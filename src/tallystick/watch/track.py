"""What is known of one entry while the service runs, and what becomes of it when a look or time says something new.

>>> from tallystick.watch.states import Rules
>>> track = Track("app", began=0.0, wall=1_000)
>>> track.judge(Rules(10.0), 5.0, 6_000), track.state
(None, <State.NEVER: 'never'>)
>>> event = track.judge(Rules(10.0), 11.0, 12_000)
>>> event.after, event.since == track.since
(<State.STALE: 'stale'>, True)
"""

import uuid
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tallystick.verify.catalogue import Weight
from tallystick.verify.report import Finding, Report, Verdict
from tallystick.watch.clock import Clock
from tallystick.watch.events import Event, Reason
from tallystick.watch.standing import Band, Newest, Seen, Standing, State
from tallystick.watch.states import ADVICE, GRACE, Known, Rules, is_due, print_of, state

__all__ = ["DAY", "Track"]

DAY = 86_400_000
"""Milliseconds for which states are remembered."""

_LISTED = 20  # findings of an entry that are shown; all are counted
_PRINTS = 2000  # findings that are known not to be new


@dataclass(slots=True)
class Track:
    """What is known of one entry.

    Args:
        name: Its name.
        began: When the service began, on the clock that nobody sets.
        wall: The same, ms since 1970.
        labels: Its labels.
    """

    name: str
    began: float
    wall: int
    labels: Mapping[str, str] = field(default_factory=dict)
    state: State = State.NEVER
    since: int = 0
    known: Known = field(default_factory=Known)
    newest: Newest = field(default_factory=Newest)
    trouble: str = ""
    tried: int | None = None
    seen: Seen | None = None
    report: Report | None = None
    reported: State | None = None
    last: float | None = None
    prints: dict[str, int] = field(default_factory=dict)
    bands: deque[Band] = field(default_factory=deque)
    marks: str = ""
    is_recalled: bool = False

    def __post_init__(self) -> None:
        self.since = self.since or self.wall
        if self.known.looked == 0.0:
            self.known = replace(self.known, looked=self.began)

    @property
    def was_seen(self) -> bool:
        """Was anything of it ever seen?"""
        return self.known.newest is not None

    @property
    def missed_at(self) -> float:
        """When it is reported that nothing of it was ever seen."""
        return self.began + GRACE

    def take(self, report: Report, began: float, now: float, wall: int, age: float, lag: int = 0) -> None:
        """Take in a look that succeeded.

        Args:
            report: What it showed.
            began: When it began, on the clock that nobody sets.
            now: The time on that clock.
            wall: The same, ms since 1970.
            age: Seconds since its files were written last; of use for the first look of a process.
            lag: Bytes that came while it went on.
        """
        self._meet(report, now, wall, age)
        ended = bool(report.logs) and all(log.end.startswith("the log has ended") for log in report.logs)
        times = [log.times[1] for log in report.logs if log.times]
        heads = any(log.end.startswith("the head") for log in report.logs)
        looked = report.remembered.oldest if report.remembered is not None else None
        self.newest = replace(
            self.newest,
            checkpoint=max(times, default=self.newest.checkpoint),
            head=wall if heads else self.newest.head,
            pin=wall if report.verdict is Verdict.OK else self.newest.pin,
            looked=looked or report.time,
        )
        self.known = Known(report.verdict, began, self.known.newest, ended)
        self.trouble, self.tried, self.report, self.is_recalled = "", report.time, report, False
        self.seen = _seen(report, self.newest, lag)

    def fail(self, trouble: str, wall: int) -> None:
        """Take in a look that did not succeed; without a trouble, nothing was there."""
        self.trouble, self.tried = trouble, wall

    def doubt(self, report: Report, began: float, now: float, wall: int, age: float) -> None:
        """Take in a look that succeeded, and that others must confirm before it counts; that something came, counts.

        The arguments are those of `take`.
        """
        if self.was_seen:
            self._meet(report, now, wall, age)
        self.known = replace(self.known, looked=began)

    def nothing(self, began: float, wall: int) -> None:
        """Take in a look at an entry of which nothing is there yet."""
        self.trouble, self.tried, self.is_recalled = "", wall, False
        self.known = replace(self.known, looked=began)

    def idle(self, now: float) -> Known:
        """Return what is known once files showed that nothing moved: that is as good as a look that succeeded."""
        return self.known if self.trouble else replace(self.known, looked=max(now, self.known.looked))

    def is_changed_by_time(self, rules: Rules, now: float, repeat: float | None) -> bool:
        """Does time alone change the state, or ask for another report of it?"""
        after = self._state(rules, now)
        if after is not self.state or (after is State.NEVER and self.reported is not after):
            return True
        return after.is_alarm and is_due(self.last, repeat, now)

    def judge(self, rules: Rules, now: float, wall: int, repeat: float | None = None) -> Event | None:
        """Take the state of this moment; return what is reported, if anything is.

        Args:
            rules: What was agreed for the entry.
            now: The time on the clock that nobody sets.
            wall: The same, ms since 1970.
            repeat: Seconds after which a state that lasts is reported again.
        """
        before, after = self.state, self._state(rules, now)
        if after is not before:
            self._enter(after, wall)
        new = self._new_findings(wall) if after is State.FAILED else []
        if after is not State.FAILED:
            self.prints.clear()
        if after is State.NEVER and now < self.missed_at:
            return None
        was = self.reported if self.reported is not None else State.OK
        if after is not was and (after.is_alarm or was.is_alarm):
            reason = Reason.CHANGE
        elif new:
            reason = Reason.FINDING
        elif after.is_alarm and is_due(self.last, repeat, now):
            reason = Reason.REPEAT
        else:
            self.reported = after
            return None
        self.reported, self.last = after, now
        return self._event(reason, was, new, wall)

    def to_plain(self, clock: Clock) -> dict[str, Any]:
        """Return what the next process must know, as plain values."""
        known = self.known
        return {
            "state": self.state.value,
            "since": self.since,
            "reported": self.reported.value if self.reported is not None else None,
            "last": clock.now() - self.last if self.last is not None else None,
            "verdict": known.verdict.value if known.verdict is not None else None,
            "newest": known.newest,
            "quiet": clock.now() - known.newest if known.newest is not None else None,
            "boot": clock.boot,
            "ended": known.has_ended,
            "line": self.newest.line,
            "marks": self.marks,
            "prints": self.prints,
            "bands": [[band.begin, band.end, band.state.value] for band in self.bands],
        }

    def recall(self, plain: Mapping[str, Any], clock: Clock) -> None:
        """Go on where an earlier process ended.

        Args:
            plain: What `to_plain` gave.
            clock: The clocks. How long it is quiet is not counted while the machine was off.

        Raises:
            ValueError: These are other values; so are KeyError and TypeError.
        """
        newest, quiet = plain["newest"], plain["quiet"]
        if newest is not None and (plain["boot"] != clock.boot or newest > clock.now()):
            newest = clock.now() - max(0.0, float(quiet))
        verdict, reported = plain["verdict"], plain["reported"]
        self.state, self.since = State(plain["state"]), int(plain["since"])
        self.last = clock.now() - max(0.0, float(plain["last"])) if plain["last"] is not None else None
        self.reported = State(reported) if reported is not None else None
        self.known = Known(
            Verdict(verdict) if verdict is not None else None,
            self.began,
            float(newest) if newest is not None else None,
            plain["ended"] is True,
        )
        self.newest = Newest(line=plain["line"])
        self.marks, self.is_recalled = str(plain["marks"]), True
        self.prints = {str(one): int(first) for one, first in plain["prints"].items()}
        self.bands = deque(Band(int(begin), int(end), State(word)) for begin, end, word in plain["bands"])

    def standing(self) -> Standing:
        """Return how the entry stands."""
        return Standing(self.name, self.state, self.since, self.trouble, self.seen, self.tried, self.labels)

    def _state(self, rules: Rules, now: float) -> State:
        """Return the state; until a look of this process succeeds, it is that of the one before, or `stale`."""
        after = state(self.known, rules, now)
        return self.state if self.is_recalled and after is not State.STALE else after

    def _meet(self, report: Report, now: float, wall: int, age: float) -> None:
        """Note when something new was seen last, if a look shows something new."""
        marks, newest = _marks(report), self.known.newest
        if report.lines and (newest is None or marks != self.marks):
            # What came while nobody looked is as old as the files say, but newer than what was seen before: if they say
            # something else, other clocks than this one wrote their times.
            came = now if self.report is not None else now - age
            came = now if newest is not None and came < newest else came
            self.known = replace(self.known, newest=came)
            self.newest = replace(self.newest, line=wall - int((now - came) * 1000))
        self.marks = marks

    def _enter(self, after: State, wall: int) -> None:
        self.bands.append(Band(self.since, max(wall, self.since), self.state))
        while self.bands and (self.bands[0].end < wall - DAY or len(self.bands) > 1000):
            self.bands.popleft()
        self.state, self.since = after, wall

    def _new_findings(self, wall: int) -> list[Finding]:
        report = self.report
        failed = [one for one in report.findings if one.weight is Weight.FAILED] if report is not None else []
        new = [one for one in failed if print_of(one) not in self.prints][: _PRINTS - len(self.prints)]
        self.prints.update((print_of(one), wall) for one in new)
        return new

    def _event(self, reason: Reason, was: State, new: list[Finding], wall: int) -> Event:
        report = self.report
        grave = [one for one in report.findings if one.weight is not Weight.NOTE] if report is not None else []
        shows = self.state in (State.FAILED, State.INCOMPLETE)
        finding = next(iter(new or (grave if shows else [])), None)
        first = self.prints.get(print_of(finding), wall) if finding is not None else None
        newest = self.newest.checkpoint
        return Event(
            str(uuid.uuid4()),
            wall,
            self.name,
            reason,
            was,
            self.state,
            self.since,
            finding,
            max(0, len(grave) - 1) if finding is not None else 0,
            first,
            max(0.0, (first - newest) / 1000) if first is not None and newest is not None else None,
            self.trouble if self.state in (State.STALE, State.FAILED) else _missing(self.state),
            ADVICE[self.state],
            self.labels,
        )


def _marks(report: Report) -> str:
    """Return what is another text once something new came."""
    return " ".join(f"{log.log_id} {log.last} {log.sealed} {log.end}" for log in report.logs)


def _missing(state: State) -> str:
    return {State.SILENT: "nothing new came", State.NEVER: "nothing of it was ever seen"}.get(state, "")


def _seen(report: Report, newest: Newest, lag: int) -> Seen:
    counts: dict[tuple[str, str], int] = {}
    for finding in report.findings:
        key = (str(finding.kind), finding.weight.value)
        counts[key] = counts.get(key, 0) + max(1, finding.count)
    return Seen(
        report.time,
        report.seconds,
        report.verdict,
        report.findings[:_LISTED],
        counts,
        report.lines,
        report.size,
        lag,
        newest,
    )

"""What the page shows, as values: all logs in a list that is bounded, and one log with all that was seen of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from tallystick.reports.timeline import Timeline, timelines
from tallystick.verify.report import Finding, LogReport, Report
from tallystick.watch.standing import Band, Standing, Standings, State
from tallystick.watch.web.day import Strip, strip
from tallystick.watch.web.words import ORDER

__all__ = ["Demand", "Entry", "List", "Row", "entry", "listed", "path_of"]

ROWS = 100
"""Logs on one page."""

FINDINGS = 100
"""Findings of a log on its page."""

_DRAWN = 5000  # findings that its time lines show
_LOGS = 20  # logs of one entry on its page
_BANDS = 50  # states of the day that are listed


@dataclass(frozen=True, slots=True)
class Demand:
    """What part of the logs is asked for: those of a state, those with a text in their names, and which page."""

    state: State | None = None
    text: str = ""
    page: int = 1

    def url(self, **other: object) -> str:
        """Return the path of the page for this demand, with something else in it."""
        now = {"state": self.state.value if self.state else "", "q": self.text, "page": self.page, **other}
        query = {name: value for name, value in now.items() if value not in ("", None, 1)}
        return "/" + (f"?{urlencode(query, errors='surrogateescape')}" if query else "")


@dataclass(frozen=True, slots=True)
class Row:
    """One log in the list."""

    standing: Standing
    path: str
    day: Strip


@dataclass(frozen=True, slots=True)
class List:
    """The list.

    Args:
        demand: What was asked for.
        rows: The logs on this page, the worst first.
        counts: How many of all logs are in each state.
        found: How many logs there are on all pages.
        pages: How many pages there are.
        queued: Alerts that wait to be delivered.
        now: When that was, ms since 1970.
    """

    demand: Demand
    rows: tuple[Row, ...]
    counts: Mapping[State, int]
    found: int
    pages: int
    queued: int
    now: int

    @property
    def worst(self) -> State:
        """The worst state of all logs."""
        return next((state for state in ORDER if self.counts.get(state)), State.OK)


@dataclass(frozen=True, slots=True)
class Entry:
    """One log, or what one entry of the configuration reads.

    Args:
        standing: How it stands.
        path: Path of its page.
        day: Its day.
        bands: The newest states of its day, the newest first.
        earlier: How many states of its day are not among them.
        report: The whole report of the last look that succeeded.
        logs: What was seen of each log, with its time line.
        findings: The findings that are shown, the worst first.
        total: How many findings there are.
        now: When that was, ms since 1970.
    """

    standing: Standing
    path: str
    day: Strip
    bands: tuple[Band, ...]
    earlier: int
    report: Report | None
    logs: tuple[tuple[LogReport, Timeline | None], ...]
    findings: tuple[Finding, ...]
    total: int
    now: int


def path_of(name: str, below: str = "/logs/") -> str:
    """Return the path of the page of a log.

    >>> path_of("web/1 é"), path_of("x", "/reports/json/")
    ('/logs/web%2F1%20%C3%A9', '/reports/json/x')
    """
    return below + quote(name, safe="", errors="surrogateescape")


def listed(standings: Standings, demand: Demand, now: int) -> List:
    """Return the part of the logs that is asked for.

    Args:
        standings: How the logs stand.
        demand: What is asked for.
        now: The time, ms since 1970.
    """
    every = standings.all()
    text = demand.text.casefold()
    found = [one for one in every if demand.state in (None, one.state) and (not text or text in one.name.casefold())]
    pages = max(-(-len(found) // ROWS), 1)
    page = min(demand.page, pages)
    shown = sorted(found, key=_urgency)[(page - 1) * ROWS : page * ROWS]
    rows = tuple(Row(one, path_of(one.name), strip(standings.day(one.name), now)) for one in shown)
    counts = Counter(one.state for one in every)
    return List(Demand(demand.state, demand.text, page), rows, counts, len(found), pages, standings.queued(), now)


def _urgency(one: Standing) -> tuple[int, int, str]:
    """The worst first; of those the newest trouble; what is well, by name."""
    return ORDER.index(one.state), -one.since if one.state.is_alarm else 0, one.name


def entry(standings: Standings, name: str, now: int) -> Entry | None:
    """Return one log; None if there is none of that name.

    Args:
        standings: How the logs stand.
        name: Its name.
        now: The time, ms since 1970.
    """
    standing = standings.one(name)
    if standing is None:
        return None
    report = standings.report(name)
    bands = standings.day(name)
    logs: Sequence[LogReport] = ()
    findings: Sequence[Finding] = ()
    total = 0
    if report is not None:
        logs, findings, total = report.logs[:_LOGS], report.findings, len(report.findings)
    elif standing.seen is not None:  # after a restart, until the first look
        findings, total = standing.seen.findings, sum(standing.seen.counts.values())
    drawn = timelines(logs, findings[:_DRAWN])
    return Entry(
        standing,
        path_of(name),
        strip(bands, now),
        tuple(reversed(bands[-_BANDS:])),
        max(len(bands) - _BANDS, 0),
        report,
        tuple(zip(logs, drawn, strict=True)),
        tuple(findings[:FINDINGS]),
        total,
        now,
    )

"""From single findings to those of a report: folded, so that a flood does not fill the memory, and sorted."""

import datetime
from collections.abc import Container, Iterable, Iterator

from tallystick.verify.catalogue import CATALOGUE, Kind, Weight
from tallystick.verify.looking import Unread
from tallystick.verify.report import Finding

__all__ = ["MORE", "folded", "gravest_first", "unread_findings", "when"]

MORE = "more of this kind, not listed one by one"
"""Detail of a finding that stands for those that were only counted."""

_ORDER = [Weight.FAILED, Weight.INCOMPLETE, Weight.NOTE]


def when(time: int) -> str:
    """Return a time, given in ms since 1970, as RFC 3339 in UTC.

    >>> when(1795401650000)
    '2026-11-23T02:40:50Z'
    """
    at = datetime.datetime.fromtimestamp(time / 1000, datetime.UTC) if 0 <= time < 253_402_300_800_000 else None
    return at.isoformat(timespec="seconds").replace("+00:00", "Z") if at else "after the year 9999"


def gravest_first(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings in the order of every form of a report: the gravest first, then by place."""
    return sorted(findings, key=_gravity)


def _gravity(finding: Finding) -> tuple[int, int, bool, str, str, int]:
    rank, more = CATALOGUE[finding.kind].rank, finding.detail == MORE
    return _ORDER.index(finding.weight), rank, more, finding.log or "", finding.path or "", finding.line or 0


def unread_findings(unread: Iterable[Unread], allowed: Container[str] = ()) -> Iterator[Finding]:
    """Report what was not read: what could not be, what counts as it was found before, and what was passed over.

    Args:
        unread: What was not read.
        allowed: Kinds of findings that the caller allows.
    """
    for one in unread:
        if one.passed:
            yield Finding(Kind.PASSED_OVER, Weight.NOTE, one.what, path=one.path, count=one.count)
        elif one.as_of is not None:
            weight = Weight.NOTE if Kind.AS_OF in allowed else Weight.INCOMPLETE
            detail = f"{one.what}; what was read before counts as of {when(one.as_of)}"
            yield Finding(Kind.AS_OF, weight, detail, path=one.path, count=one.count)
        else:
            yield Finding(Kind.UNREADABLE, Weight.INCOMPLETE, one.what, path=one.path, count=0)


def folded(findings: Iterable[Finding], most: int) -> Iterator[Finding]:
    """Give findings, those beyond the first so many of a kind, weight and log as one, which says how many they are.

    Args:
        findings: Single findings.
        most: Findings of one kind, weight and log that are given one by one.
    """
    counts: dict[tuple[Kind, Weight, str | None], list[int]] = {}
    for finding in findings:
        given_and_more = counts.setdefault((finding.kind, finding.weight, finding.log), [0, 0])
        if given_and_more[0] < most and finding.detail != MORE:
            given_and_more[0] += 1
            yield finding
        else:
            given_and_more[1] += max(finding.count, 1)
    for (kind, weight, log), (_, rest) in counts.items():
        if rest:
            yield Finding(kind, weight, MORE, log=log, count=rest)

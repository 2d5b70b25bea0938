"""From single findings to those of a report: folded, so that a flood does not fill the memory, and sorted."""

from collections.abc import Iterable, Iterator

from tallystick.verify.catalogue import CATALOGUE, Kind, Weight
from tallystick.verify.looking import Unread
from tallystick.verify.report import Finding

__all__ = ["MORE", "folded", "gravest_first", "unread_findings"]

MORE = "more of this kind, not told one by one"
"""Detail of a finding that stands for those that were only counted."""

_ORDER = [Weight.FAILED, Weight.INCOMPLETE, Weight.NOTE]


def gravest_first(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings in the order of every form of a report: the gravest first, then by place."""
    return sorted(findings, key=_gravity)


def _gravity(finding: Finding) -> tuple[int, int, bool, str, str, int]:
    rank, more = CATALOGUE[finding.kind].rank, finding.detail == MORE
    return _ORDER.index(finding.weight), rank, more, finding.log or "", finding.path or "", finding.line or 0


def unread_findings(unread: Iterable[Unread]) -> Iterator[Finding]:
    """Report what was not read: what could not be, and what was passed over."""
    for one in unread:
        if one.passed:
            yield Finding(Kind.PASSED_OVER, Weight.NOTE, one.what, path=one.path, count=one.count)
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

"""From a merged summary to findings (spec section 7)."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from tallystick import _core
from tallystick.verify.chains import LogJudge
from tallystick.verify.inputs import Input
from tallystick.verify.lines import MORE, double_findings, line_findings, nothing_verified
from tallystick.verify.looking import Unread
from tallystick.verify.report import Finding, LogReport, Verdict, Weight
from tallystick.verify.source import Demand, Source, with_excerpts
from tallystick.verify.torn import torn_lines
from tallystick.verify.unseen import unseen

__all__ = ["folded", "judge", "unread_findings"]

_ORDER = [Weight.FAILED, Weight.INCOMPLETE, Weight.NOTE]
_GRAVEST_FIRST = (
    "fork", "bad head", "bad statement", "altered", "unsealed", "missing", "truncated", "redacted", "duplicate",
    "reordered", "nothing verified", "unreadable", "no head", "open end", "late start", "uncovered", "unclean end",
    "narrowed", "subset", "torn line",
)  # fmt: skip
_RANKS = {kind: rank for rank, kind in enumerate(_GRAVEST_FIRST)}


def judge(
    summary: _core.Summary,
    keys: _core.Keys,
    inputs: Sequence[Input],
    unread: Sequence[Unread],
    demand: Demand,
    except_: Callable[[Iterable[Finding]], Iterable[Finding]],
    most: int,
) -> tuple[list[Finding], list[LogReport]]:
    """Return all findings, the worst first, and what was seen of each log. The inputs must still be open.

    Args:
        summary: What was scanned.
        keys: The logs.
        inputs: What was read.
        unread: What could not be opened.
        demand: What the caller brings along and asks for.
        except_: Makes notes of findings that the caller excepts.
        most: Findings of one kind, weight and log that are told one by one; the others are counted.
    """
    doubles = summary.doubles(keys)
    summary.finish()
    source = Source(summary, keys, inputs)
    demand = replace(demand, unread=unseen(unread, inputs, source.chunks))
    unread = [*unread, *(Unread(one.path, one.trouble) for one in inputs if one.trouble)]
    judges = [LogJudge(source, number, demand) for number in range(len(keys.logs()))]
    # What a torn line claims must not hide that something is missing, so these are picked out first.
    if torn := torn_lines(source, judges):
        judges = [LogJudge(source, number, demand) for number in range(len(keys.logs()))]
    found = itertools.chain(unread_findings(unread), _all(source, judges, doubles, torn, demand))
    findings = with_excerpts(list(folded(except_(found), most)), inputs)
    findings.sort(key=_gravity)
    return findings, [_with_verdict(one.report(), findings) for one in judges]


def _gravity(finding: Finding) -> tuple[int, int, bool, str, str, int]:
    """Return what findings are sorted by, in every form of a report: the gravest first, then by place."""
    rank = _RANKS.get(finding.kind, len(_RANKS))
    more = finding.detail == MORE
    return _ORDER.index(finding.weight), rank, more, finding.log or "", finding.path or "", finding.line or 0


def _with_verdict(log: LogReport, findings: Sequence[Finding]) -> LogReport:
    """Return the report on a log with its verdict: what is about no log may be about this one."""
    return replace(log, verdict=Verdict.of(one.weight for one in findings if one.log in (log.name, None)))


def unread_findings(unread: Iterable[Unread]) -> Iterator[Finding]:
    """Report what was not read: what could not be, and what was passed over."""
    for one in unread:
        if one.passed:
            yield Finding("passed over", Weight.NOTE, one.what, path=one.path, count=one.count)
        else:
            yield Finding("unreadable", Weight.INCOMPLETE, one.what, path=one.path, count=0)


def _all(
    source: Source,
    judges: Sequence[LogJudge],
    doubles: Sequence[_core.Double],
    torn: set[int],
    demand: Demand,
) -> Iterator[Finding]:
    for one in judges:
        yield from one.findings()
    yield from double_findings(source, doubles, demand)
    yield from line_findings(source, judges, doubles, torn, demand)
    yield from nothing_verified(source, judges)


def folded(findings: Iterable[Finding], most: int) -> Iterator[Finding]:
    """Give findings, those of a kind beyond the first so many as one: a flood must not fill the memory."""
    told: dict[tuple[str, Weight, str | None], list[int]] = {}
    for finding in findings:
        counts = told.setdefault((finding.kind, finding.weight, finding.log), [0, 0])
        if counts[0] < most and finding.detail != MORE:
            counts[0] += 1
            yield finding
        else:
            counts[1] += max(finding.count, 1)
    for (kind, weight, log), (_, more) in told.items():
        if more:
            yield Finding(kind, weight, MORE, log=log, count=more)

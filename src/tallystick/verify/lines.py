"""What is said of lines: seen twice, bad, broken off, out of order (spec section 7)."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from itertools import pairwise

from tallystick import _core
from tallystick.verify.causes import cause
from tallystick.verify.chains import LogJudge
from tallystick.verify.report import Finding, Weight
from tallystick.verify.source import At, Demand, Source, behind, dotted, quoted

__all__ = ["MORE", "double_findings", "line_findings", "nothing_verified"]

MORE = "more of this kind, not told one by one"
"""Detail of a finding that stands for those that were only counted."""

Intervals = dict[tuple[int, int], list[tuple[At, At]]]


def double_findings(source: Source, doubles: Sequence[_core.Double], demand: Demand) -> Iterator[Finding]:
    """Positions that were seen more than once."""
    logs = source.keys.logs()
    parted = (part for double in doubles for part in _parted(double, demand.doubled.get(source.labels[double.log], ())))
    for double in _joined(parted):
        with_v = logs[double.log][2]
        if double.fork and (double.proven or with_v):
            kind, weight = "fork", Weight.FAILED
            detail = "two different lines at this position, both authentic: two writers, or a restored backup"
        elif double.fork:
            kind, weight = "altered", Weight.FAILED
            detail = "another line claims this position too, and no checkpoint says which one is right"
        else:
            kind = "duplicate"
            weight = Weight.FAILED if double.one_file and kind not in demand.allow else Weight.NOTE
            where = "in the same file" if double.one_file else "in another file, as copies are"
            detail = f"seen before {where}"
        to = dotted(double.to) if double.to != double.start else None
        label = source.labels[double.log]
        found = Finding(kind, weight, detail, log=label, position=dotted(double.start), to=to, count=double.count)
        yield source.at(found, double.place)


@dataclass(frozen=True, slots=True)
class _Doubled:
    """Positions in a row that were seen more than once."""

    log: int
    start: At
    to: At
    count: int
    one_file: bool
    fork: bool
    proven: bool
    place: _core.Place
    excepted: int | None
    """Number of the exception that names these positions."""


def _parted(double: _core.Double, excepted: Sequence[tuple[At, At]]) -> Iterator[_Doubled]:
    """Give the parts of a double that are excepted, and those that are not."""
    # Of copies it does not matter whether they are lines or statements.
    log, proven, place = double.log, double.fork and double.proven, double.place
    whole = _Doubled(log, double.start, double.to, double.count, double.one_file, double.fork, proven, place, None)
    if double.fork or not double.one_file or not excepted:
        yield whole
        return
    start, (chain, epoch, end) = double.start[2], double.to
    bounds = {start, end + 1}
    for low, high in excepted:
        bounds |= {at[2] + behind for at, behind in ((low, 0), (high, 1)) if at[:2] == (chain, epoch)}
    cuts = sorted(bound for bound in bounds if start <= bound <= end + 1)
    for low_, high_ in pairwise(cuts):
        at, to = (chain, epoch, low_), (chain, epoch, high_ - 1)
        number = next((n for n, (low, high) in enumerate(excepted) if low <= at <= high), None)
        count = double.count if len(cuts) == 2 else high_ - low_
        yield replace(whole, start=at, to=to, count=count, excepted=number)


def _joined(doubles: Iterable[_Doubled]) -> Iterator[_Doubled]:
    """Give doubles of one kind that follow each other in one file as one."""
    last: _Doubled | None = None
    for new in sorted(doubles, key=lambda d: (d.log, d.one_file, d.fork, d.proven, d.place.file, d.start)):
        same = last is not None and all(
            getattr(last, name) == getattr(new, name) for name in ("log", "one_file", "fork", "proven", "excepted")
        )
        if last is not None and same and last.place.file == new.place.file and _follows(last.to, new.start):
            last = replace(last, to=new.to, count=last.count + new.count)
            continue
        if last is not None:
            yield last
        last = new
    if last is not None:
        yield last


def _follows(one: At, other: At) -> bool:
    """Does a position come right behind another one?"""
    return other in (behind(one), (one[0], one[1] + 1, 0))


_ALTERED = {
    "tag": "the seal does not match the line: line or seal was changed, or the seal belongs to another line",
    "prefix": (
        "something stands before what was sealed, which is whole: if a carrier put it there, name it with --envelope"
    ),
    "misfit": "something stands behind the seal, or the seal does not fit the line",
    "anew": "neither these bytes nor what they say as JSON is what was sealed",
    "effort": "not looked at: forged lines before it took all the time or memory that such lines may take",
    "reach": "not looked at: its chain lies far beyond those that start, head and pins name; if it is right, name it",
}
_WITH_P = {
    ("altered", "tag"): "another line claims this position, and is the one that the checkpoint covers",
    ("redacted", ""): "blanked; only the verification key can tell whether by right",
}
"""What takes other words where only the public key is at hand."""

_BAD_STATEMENT = {
    "stranger": "a control line by its tag, but its statement is none, or of another log, chain or position",
    "path": "the statement's keys are not those of this log",
    "cert": "the certificate of this chain is not signed by its chain key",
    "signature": "the statement's signature does not hold",
    "no open": "the first line of a chain must be its opening",
}


_FAILED, _INCOMPLETE, _NOTE = Weight.FAILED, Weight.INCOMPLETE, Weight.NOTE
_SAID: dict[str, tuple[str, Weight, str]] = {
    "unsealed": ("unsealed", _FAILED, "no seal: written by something else, or its seal was taken off"),
    "foreign": ("unsealed", _FAILED, "sealed for log {why}, whose key was not given"),
    "altered": ("altered", _FAILED, ""),
    "bad statement": ("bad statement", _FAILED, ""),
    "older open lacking": (
        "bad statement",
        _INCOMPLETE,
        "an older generation's opening is needed to check this statement: give the public file",
    ),
    "redacted": (
        "redacted",
        _INCOMPLETE,
        "blanked by right, but not listed: if you know of it, list it among the exceptions",
    ),
    "redacted false": ("redacted", _FAILED, "blanked by someone who had no right to"),
    "reordered": ("reordered", _FAILED, "stands behind {last}, which was written later"),
}
"""What is said of lines the core found bad: kind, weight, detail; an empty detail is told by the reason."""


def line_findings(
    source: Source,
    judges: Sequence[LogJudge],
    doubles: Sequence[_core.Double],
    torn: Set[int],
    demand: Demand,
) -> Iterator[Finding]:
    """Lines that are not as they should be, one by one or in groups."""
    known = any(judge.chains for judge in judges)
    intervals = _doubled(doubles)
    for number, event in enumerate(source.summary.events()):
        if event.kind == "foreign" and not known:
            continue
        cut = event.kind in ("unsealed", "foreign", "altered") and source.breaks_off(event.place, event.count)
        if cut and event.count == 1:
            continue  # told as unreadable
        if event.kind == "reordered" and _is_double(event.log, event.place.file, event.first, intervals):
            continue
        kind, weight, detail = _SAID[event.kind]
        if event.log is not None and not judges[event.log].with_v:
            detail = _WITH_P.get((event.kind, event.why), detail)
        detail = detail or _ALTERED.get(event.why) or _wrong_length(event.why) or _BAD_STATEMENT[event.why]
        detail = detail.format(why=event.why, last=dotted(event.last) if event.last else "")
        if number in torn:
            kind, weight = "torn line", Weight.NOTE
            detail = "broken off: its writer was killed here, or a copy ends within it; nothing vouches for it"
        if event.kind == "reordered" and event.log is not None and event.first and event.last:
            if (order := _order(judges[event.log], event.first, event.last, demand)) is None:
                continue
            weight = order
        name = judges[event.log].label if event.log is not None else None
        to = dotted(event.last) if event.last and event.last != event.first and kind != "reordered" else None
        found = Finding(
            kind,
            weight,
            detail,
            cause=source.lacking(event) or cause(event, source.beginning(event)) if weight is Weight.FAILED else None,
            log=name,
            position=dotted(event.first) if event.first else None,
            to=to,
            count=event.count - cut,
            excerpt=quoted(event.texts[0]) if event.texts else None,
            sha256=event.sha256.hex() if event.sha256 and weight is Weight.FAILED else None,
        )
        yield source.at(found, event.place)
    yield from _between_chunks(source, judges, intervals, demand)
    yield from _untold(source, judges, demand, known)
    yield from _carried(source, judges)


def _wrong_length(why: str) -> str | None:
    """Say by how much a line is longer or shorter than its seal says."""
    word, _, by = why.partition(" ")
    if word != "length":
        return None
    excess = int(by)
    what = f"{abs(excess)} byte{'' if abs(excess) == 1 else 's'} {'longer' if excess > 0 else 'shorter'}"
    return f"the line is {what} than its seal says: it was changed, or the seal belongs to another line"


def _order(judge: LogJudge, at: At, behind_: At, demand: Demand) -> Weight | None:
    """Return how much it weighs that a line stands behind a newer one; None where the key covers neither."""
    covered = sum(judge.covers_from <= chain <= judge.covers_to for chain, *_ in (at, behind_))
    if not covered:
        return None
    if "reordered" in demand.allow:
        return Weight.NOTE
    return Weight.FAILED if covered == 2 else Weight.INCOMPLETE


def _between_chunks(
    source: Source, judges: Sequence[LogJudge], intervals: Intervals, demand: Demand
) -> Iterator[Finding]:
    """Lines that stand behind one with a higher position in the chunk before theirs."""
    kind, _, detail = _SAID["reordered"]
    newest: dict[tuple[int, int], At] = {}
    for chunk in source.chunks:
        for log, first, place, last in chunk.edges:
            before = newest.get((chunk.file, log))
            newest[chunk.file, log] = last
            if before is not None and first < before and not _is_double(log, chunk.file, first, intervals):
                if (order := _order(judges[log], first, before, demand)) is None:
                    continue
                said = detail.format(last=dotted(before))
                found = Finding(kind, order, said, log=judges[log].label, position=dotted(first))
                yield source.at(found, place)


def _untold(source: Source, judges: Sequence[LogJudge], demand: Demand, known: bool) -> Iterator[Finding]:
    for event, log, count in source.summary.untold():
        if event != "foreign" or known:
            kind, weight, _ = _SAID[event]
            if kind == "reordered" and kind in demand.allow:
                weight = Weight.NOTE
            yield Finding(kind, weight, MORE, log=judges[log].label if log is not None else None, count=count)


def _carried(source: Source, judges: Sequence[LogJudge]) -> Iterator[Finding]:
    """Lines that carriers wrapped or wrote anew."""
    for judge in judges:
        counts = source.summary.counts(judge.number)
        if counts.prefixed:
            detail = "a carrier put something around these lines or into them, which nothing covers"
            found = Finding("prefixed", Weight.NOTE, detail, log=judge.label, count=counts.prefixed)
            yield source.at(found, counts.first_prefixed)
        if counts.reserialized:
            detail = "a carrier wrote this JSON anew; what it says is what was sealed"
            found = Finding("reserialized", Weight.NOTE, detail, log=judge.label, count=counts.reserialized)
            yield source.at(found, counts.first_reserialized)


def _doubled(doubles: Sequence[_core.Double]) -> Intervals:
    """Return which positions are in a file twice, by log and file: sorted, without overlaps."""
    sorted_by: dict[tuple[int, int], list[tuple[At, At]]] = {}
    for double in doubles:
        if double.one_file or double.fork:
            sorted_by.setdefault((double.log, double.place.file), []).append((double.start, double.to))
    for intervals in sorted_by.values():
        merged: list[tuple[At, At]] = []
        for start, to in sorted(intervals):
            if merged and start <= merged[-1][1]:
                merged[-1] = merged[-1][0], max(to, merged[-1][1])
            else:
                merged.append((start, to))
        intervals[:] = merged
    return sorted_by


def _is_double(log: int | None, file: int, at: At | None, intervals: Intervals) -> bool:
    """Is a line out of order because its file holds it twice?"""
    if log is None or at is None:
        return False
    places = intervals.get((log, file), [])
    number = bisect_right(places, at, key=lambda place: place[0]) - 1
    return number >= 0 and at <= places[number][1]


def nothing_verified(source: Source, judges: Sequence[LogJudge]) -> Iterator[Finding]:
    """Say of each log of which nothing was verified why: an empty input, or the key of another log."""
    foreign = sorted({event.why for event in source.summary.events() if event.kind == "foreign"})
    for judge in judges:
        if judge.chains:
            continue
        detail = f"no line of log {judge.name} ({judge.log_id}) is here"
        if foreign and not any(other.chains for other in judges):
            detail += f"; the lines belong to log id {', '.join(foreign[:5])}: is this its key?"
        yield Finding("nothing verified", Weight.INCOMPLETE, detail, log=judge.label, count=0)

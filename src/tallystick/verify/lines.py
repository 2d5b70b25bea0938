"""What is said of lines: seen twice, bad, broken off, out of order (spec section 7)."""

from collections.abc import Iterator, Sequence

from tallystick import _core
from tallystick.verify.chains import LogJudge
from tallystick.verify.report import Finding, Weight
from tallystick.verify.source import At, Demand, Source, dotted

__all__ = ["double_findings", "line_findings", "nothing_verified"]


def double_findings(source: Source, doubles: Sequence[_core.Double], demand: Demand) -> Iterator[Finding]:
    """Positions that were seen more than once."""
    for double in doubles:
        name, _, with_v, *_ = source.keys.logs()[double.log]
        path, line = source.line(double.place)
        start, to = dotted(double.start), dotted(double.to) if double.to != double.start else None
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
        yield Finding(kind, weight, detail, name, path, line, start, to, double.count)


_ALTERED = {
    "tag": "the seal does not match the line: line or seal was changed, or the seal belongs to another line",
    "prefix": "something stands before what was sealed; if a carrier put it there, take it away first",
    "misfit": "something stands behind the seal, or the seal does not fit the line",
    "reach": f"no log gets to this chain number; chains above {2**24} are not looked at",
}
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
    "redacted": ("redacted", _INCOMPLETE, "blanked by right, but nobody listed it as expected"),
    "redacted false": ("redacted", _FAILED, "blanked by someone who had no right to"),
    "reserialized": (
        "reserialized",
        _NOTE,
        "a carrier wrote this JSON anew; what it says is what was sealed",
    ),
    "reordered": ("reordered", _FAILED, "stands behind {last}, which was written later"),
}
"""What is said of lines the core found bad: kind, weight, detail; an empty detail is told by the reason."""


def line_findings(
    source: Source, judges: Sequence[LogJudge], doubles: Sequence[_core.Double], demand: Demand
) -> Iterator[Finding]:
    """Lines that are not as they should be, one by one or in groups."""
    known = any(judge.chains for judge in judges)
    torn = _torn_lines(source, judges)
    for event in source.summary.events():
        if event.kind == "narrowed" or (event.kind == "foreign" and not known):
            continue
        if event.kind == "reordered" and _is_double(event.log, event.first, doubles):
            continue
        kind, weight, detail = _SAID[event.kind]
        detail = detail or _ALTERED.get(event.why) or _BAD_STATEMENT[event.why]
        detail = detail.format(why=event.why, last=dotted(event.last) if event.last else "")
        if (event.place.file, event.place.offset) in torn:
            kind, weight = "torn line", Weight.NOTE
            detail = "broken off when its writer was killed; nothing vouches for it"
        if kind == "reordered" and kind in demand.allow:
            weight = Weight.NOTE
        name = judges[event.log].name if event.log is not None else None
        path, line = source.line(event.place)
        at = dotted(event.first) if event.first else None
        to = dotted(event.last) if event.last and event.last != event.first and kind != "reordered" else None
        yield Finding(kind, weight, detail, name, path, line, at, to, event.count)
    yield from _between_chunks(source, judges, doubles, demand)
    yield from _untold(source, known)


def _between_chunks(
    source: Source, judges: Sequence[LogJudge], doubles: Sequence[_core.Double], demand: Demand
) -> Iterator[Finding]:
    """Lines that stand behind one with a higher position in the chunk before theirs."""
    kind, weight, detail = _SAID["reordered"]
    newest: dict[tuple[int, int], At] = {}
    for chunk in source.chunks:
        for log, first, place, last in chunk.edges:
            before = newest.get((chunk.file, log))
            newest[chunk.file, log] = last
            if before is not None and first < before and not _is_double(log, first, doubles):
                allowed = Weight.NOTE if kind in demand.allow else weight
                said = detail.format(last=dotted(before))
                yield Finding(kind, allowed, said, judges[log].name, *source.line(place), dotted(first))


def _untold(source: Source, known: bool) -> Iterator[Finding]:
    for event, _, count in source.summary.untold():
        if event != "narrowed" and (event != "foreign" or known):
            kind, weight, _ = _SAID[event]
            yield Finding(kind, weight, "more such lines, not told one by one", count=count)


def _is_double(log: int | None, at: At | None, doubles: Sequence[_core.Double]) -> bool:
    """Is a line out of order because it is there twice?"""
    return at is not None and any(double.log == log and double.start <= at <= double.to for double in doubles)


def _torn_lines(source: Source, judges: Sequence[LogJudge]) -> set[tuple[int, int]]:
    """Find the broken last lines of unclean ends: at most one for each (spec section 7)."""
    torn: dict[tuple[int, str, int], list[tuple[int, int]]] = {}
    for event in source.summary.events():
        if event.kind not in ("unsealed", "foreign", "altered") or event.count != 1:
            continue
        before, after = _neighbours(source, event)
        where = _torn_at(source, judges, event, before, after)
        if where is not None:
            torn.setdefault(where, []).append((event.place.file, event.place.offset))
    return {places[0] for places in torn.values() if len(places) == 1}


def _neighbours(source: Source, event: _core.Event) -> tuple[tuple[int, At] | None, tuple[int, At] | None]:
    """Give the known lines around a bad one, which may stand in other chunks of its file."""
    before, after = event.before, event.after
    for chunk in source.chunks:
        if chunk.file != event.place.file:
            continue
        if event.before is None and chunk.chunk < event.place.chunk and chunk.last:
            before = chunk.last
        if after is None and chunk.chunk > event.place.chunk:
            after = chunk.first
    return before, after


def _torn_at(
    source: Source,
    judges: Sequence[LogJudge],
    event: _core.Event,
    before: tuple[int, At] | None,
    after: tuple[int, At] | None,
) -> tuple[int, str, int] | None:
    """Say to which end a broken line belongs: the log, and the opening behind it or the end of the log."""
    if after is not None:
        judge, at = judges[after[0]], after[1]
        opening = judge.chains[at[0]].open if at[0] in judge.chains else None
        if opening is None or opening.at != at or opening.prev is None or not judge.openings.vouches(opening):
            return None
        if before is not None and before[0] != after[0]:
            return None
        # What a head counted was written whole: a broken line in its place was broken later.
        counted = opening.prev[0]
        if counted[0] in judge.chains and not judge.reaches(counted):
            return None
        passes = at[0] - opening.prev[0][0] > 1
        if passes:
            return after[0], "before", at[0]
        if before is not None and before[1][0] < at[0] and judge.ends_torn(before[1]):
            return after[0], "before", at[0]
        return None
    fragment = _fragment(source, event)
    if before is None or fragment is None:
        return None
    judge, at = judges[before[0]], before[1]
    if at != judge.chains[judge.numbers[-1]].last:
        return None
    if judge.is_cut():
        return None
    if judge.ends_torn(at) or _begins_open(fragment, judge):
        return before[0], "end", at[0]
    return None


def _fragment(source: Source, event: _core.Event) -> bytes | None:
    """Return the beginning of a line that is the last of its file and has no line end."""
    last = [chunk for chunk in source.chunks if chunk.file == event.place.file][-1]
    if last.chunk != event.place.chunk or last.fragment is None or last.fragment[0] != event.place.line:
        return None
    return last.fragment[1]


def _begins_open(fragment: bytes, judge: LogJudge) -> bool:
    """Could a fragment be the beginning of this log's next opening, broken off?"""
    opening = f"tallystick/v1 open {judge.name} {judge.log_id} ".encode()
    for whole in (opening, b'{"tallystick":"' + opening):
        size = min(len(whole), len(fragment))
        if fragment[:size] == whole[:size]:
            chain, blank, _ = fragment[size:].partition(b" ")
            if not blank:
                return not chain.startswith(b"0")
            return chain.isdigit() and len(chain) <= 10 and int(chain) > judge.numbers[-1]
    return False


def nothing_verified(source: Source) -> Iterator[Finding]:
    """Say why nothing was verified: an empty input, or the key of another log."""
    foreign = sorted({event.why for event in source.summary.events() if event.kind == "foreign"})
    names = ", ".join(f"{name} ({log_id})" for name, log_id, *_ in source.keys.logs())
    if foreign:
        detail = f"nothing was verified: the lines belong to log id {', '.join(foreign[:5])}, the key to {names}"
    elif any(chunk.counted for chunk in source.chunks):
        detail = f"nothing was verified: no line of {names} is here"
    else:
        detail = "nothing was verified: there are no lines"
    yield Finding("nothing verified", Weight.INCOMPLETE, detail, count=0)

"""Lines that are not as they should be: bad, broken off, out of order, or carried in something (spec section 7)."""

from collections.abc import Iterator
from dataclasses import dataclass

from tallystick import _core
from tallystick.verify.catalogue import Kind, Weight
from tallystick.verify.causes import cause
from tallystick.verify.excerpts import quoted
from tallystick.verify.findings import MORE
from tallystick.verify.judge.adopted import adopted_unlisted
from tallystick.verify.judge.case import Case
from tallystick.verify.judge.duplicates import Repeated
from tallystick.verify.judge.facts import LogFacts
from tallystick.verify.positions import At, dotted
from tallystick.verify.report import Finding

__all__ = ["carried_findings", "line_findings", "nothing_verified_findings"]

_FAILED, _INCOMPLETE, _NOTE = Weight.FAILED, Weight.INCOMPLETE, Weight.NOTE


@dataclass(frozen=True, slots=True)
class _Said:
    """What is said of bad lines of one sort: kind, weight, and a detail; if that is empty, the reason says it."""

    kind: Kind
    weight: Weight
    detail: str


_SAID = {
    "unsealed": _Said(Kind.UNSEALED, _FAILED, "no seal: written by something else, or its seal was taken off"),
    "foreign": _Said(Kind.UNSEALED, _FAILED, "sealed for log {log_id}, whose key was not given"),
    "predecessor": _Said(
        Kind.PREDECESSOR, _INCOMPLETE, "sealed for log {log_id}, as they say, which this log follows: give its key, too"
    ),
    "successor": _Said(
        Kind.SUCCESSOR, _INCOMPLETE, "sealed for log {log_id}, as they say, which follows this one: give its key, too"
    ),
    "altered": _Said(Kind.ALTERED, _FAILED, ""),
    "bad statement": _Said(Kind.BAD_STATEMENT, _FAILED, ""),
    "older open lacking": _Said(
        Kind.BAD_STATEMENT,
        _INCOMPLETE,
        "an older generation's opening is needed to check this statement: give the public file",
    ),
    "redacted": _Said(
        Kind.REDACTED,
        _INCOMPLETE,
        "rightly blanked, but not listed: if you know of it, list it among the exceptions",
    ),
    "redacted false": _Said(Kind.REDACTED, _FAILED, "blanked by someone who had no right to"),
    "reordered": _Said(Kind.REORDERED, _FAILED, "stands after {last}, which was written later"),
}
_REASONS = {
    "tag": "the seal does not match the line: line or seal was changed, or the seal belongs to another line",
    "prefix": (
        "something stands before what was sealed, which is whole: if a carrier put it there, name it with --envelope"
    ),
    "misfit": "something stands after the seal, or the seal does not fit the line",
    "rewritten": "neither these bytes nor what they say as JSON is what was sealed",
    "effort": "not looked at: forged lines before it took all the time or memory that such lines may take",
    "reach": "not looked at: its chain lies far beyond those that start, head and pins name; if it is right, name it",
    "stranger": "a control line by its tag, but its statement is invalid, or of another log, chain or position",
    "path": "the statement's keys are not those of this log",
    "cert": "the certificate of this chain is not signed by its chain key",
    "signature": "the statement's signature does not hold",
    "no open": "the first line of a chain must be its opening",
}
_WITH_P = {
    ("altered", "tag"): "another line claims this position, and is the one that the checkpoint covers",
    ("redacted", None): "blanked; only the verification key can tell whether rightly",
}
"""What takes other words where only the public key is at hand."""


def line_findings(case: Case) -> Iterator[Finding]:
    """Give the findings about lines, one by one or in groups, and about those that were only counted."""
    repeated = Repeated.of(case.duplicates)
    for number, event in enumerate(case.source.facts.events()):
        if (found := _event_finding(case, repeated, number, event)) is not None:
            yield case.source.at(found, event.place)
    yield from _between_chunks(case, repeated)
    unlisted_and_adopted = adopted_unlisted(case)
    for what, log, count in case.source.facts.unlisted():
        count -= unlisted_and_adopted.get(what, 0)
        if what == "foreign":
            for kind, needing in _unlisted_kin(case).items():
                yield Finding(kind, _INCOMPLETE, MORE, count=needing)
                count -= needing
        if count and (what != "foreign" or case.is_known):
            said = _SAID[what]
            allowed = said.kind is Kind.REORDERED and said.kind in case.expected.allow
            label = case.logs[log].facts.label if log is not None else None
            yield Finding(said.kind, _NOTE if allowed else said.weight, MORE, log=label, count=count)


def _unlisted_kin(case: Case) -> dict[Kind, int]:
    """Return how many of the foreign lines that were only counted need the key of a log before or after, by kind."""
    total = case.kin.counts()
    for event in case.source.facts.events() if any(total.values()) else ():
        if (kind := case.kin.of_event(event)) is not None:
            total[kind] -= event.count
    return {kind: count for kind, count in total.items() if count}


def _event_finding(case: Case, repeated: Repeated, number: int, event: _core.Event) -> Finding | None:
    """Return the finding about a group of bad lines; None if another one says it, or the key does not cover them."""
    strange = event.kind in ("unsealed", "foreign")
    if (event.kind == "foreign" and not case.is_known) or (strange and case.is_adopted(event.place)):
        return None
    cut = (strange or event.kind == "altered") and case.source.breaks_off(event.place, event.count)
    if cut and event.count == 1:
        return None  # reported as unreadable
    if event.kind == "reordered" and repeated.holds(event.log, event.place.file, event.first):
        return None
    facts = case.logs[event.log].facts if event.log is not None else None
    said = _said(event, facts, case.kin.of_event(event) or event.kind)
    kind, weight, detail = said.kind, said.weight, said.detail
    if number in case.torn and said.kind not in (Kind.PREDECESSOR, Kind.SUCCESSOR):
        kind, weight = Kind.TORN_LINE, _NOTE
        detail = "broken off: its writer was killed here, or a copy ends within it; nothing vouches for it"
    if event.kind == "reordered" and facts is not None and event.first and event.last:
        if (order := _order(case, facts, event.first, event.last)) is None:
            return None
        weight = order
    to = dotted(event.last) if event.last and event.last != event.first and kind is not Kind.REORDERED else None
    return Finding(
        kind,
        weight,
        detail,
        cause=_cause(case, event) if weight is _FAILED else None,
        log=facts.label if facts is not None else None,
        position=dotted(event.first) if event.first else None,
        to=to,
        count=event.count - cut,
        excerpt=quoted(event.texts[0]) if event.texts else None,
        sha256=event.sha256.hex() if event.sha256 and weight is _FAILED else None,
    )


def _cause(case: Case, event: _core.Event) -> str | None:
    """Return a likely innocent cause of a bad line."""
    return case.source.lacking(event) or cause(event, case.source.beginning(event))


def _said(event: _core.Event, facts: LogFacts | None, what: str) -> _Said:
    """Return what is said of a group of bad lines."""
    said, detail = _SAID[what], ""
    if facts is not None and not facts.with_v:
        detail = _WITH_P.get((event.kind, event.reason), "")
    detail = detail or said.detail or _reason(event)
    detail = detail.format(log_id=event.log_id, last=dotted(event.last) if event.last else "")
    return _Said(said.kind, said.weight, detail)


def _reason(event: _core.Event) -> str:
    """Say why a line is altered, or a statement bad."""
    if event.excess is not None:
        return _wrong_length(event.excess)
    return _REASONS[event.reason] if event.reason is not None else ""


def _wrong_length(excess: int) -> str:
    """Say by how much a line is longer or shorter than its seal says."""
    what = f"{abs(excess)} byte{'' if abs(excess) == 1 else 's'} {'longer' if excess > 0 else 'shorter'}"
    return f"the line is {what} than its seal says: it was changed, or the seal belongs to another line"


def _order(case: Case, facts: LogFacts, at: At, newer: At) -> Weight | None:
    """Return how much it weighs that a line stands after a newer one; None where the key covers neither."""
    covered = sum(facts.covers_chain(chain) for chain, *_ in (at, newer))
    if not covered:
        return None
    if Kind.REORDERED in case.expected.allow:
        return _NOTE
    return _FAILED if covered == 2 else _INCOMPLETE


def _between_chunks(case: Case, repeated: Repeated) -> Iterator[Finding]:
    """Give the findings about lines that stand after one with a higher position in the chunk before theirs."""
    said = _SAID["reordered"]
    newest: dict[tuple[int, int], At] = {}
    for chunk in case.source.chunks:
        for log, first, place, last in chunk.edges:
            before = newest.get((chunk.file, log))
            newest[chunk.file, log] = last
            if before is None or first >= before or repeated.holds(log, chunk.file, first):
                continue
            facts = case.logs[log].facts
            if (order := _order(case, facts, first, before)) is not None:
                detail = said.detail.format(last=dotted(before))
                found = Finding(said.kind, order, detail, log=facts.label, position=dotted(first))
                yield case.source.at(found, place)


def carried_findings(case: Case) -> Iterator[Finding]:
    """Give the findings about lines that carriers wrapped or wrote again."""
    for log in case.logs:
        label, counts = log.facts.label, case.source.facts.counts(log.facts.number)
        if counts.prefixed:
            detail = "a carrier put something around these lines or into them, which nothing covers"
            found = Finding(Kind.PREFIXED, _NOTE, detail, log=label, count=counts.prefixed)
            yield case.source.at(found, counts.first_prefixed)
        if counts.reserialized:
            detail = "a carrier rewrote this JSON; its content is what was sealed"
            found = Finding(Kind.RESERIALIZED, _NOTE, detail, log=label, count=counts.reserialized)
            yield case.source.at(found, counts.first_reserialized)


def nothing_verified_findings(case: Case) -> Iterator[Finding]:
    """Say of each log of which nothing was verified why: an empty input, or the key of another log."""
    foreign = sorted({event.log_id for event in case.source.facts.events() if event.log_id is not None})
    for log in case.logs:
        if log.facts.chains:
            continue
        detail = f"no line of log {log.facts.name} ({log.facts.log_id}) is here"
        if foreign and not case.is_known:
            detail += f"; the lines belong to log id {', '.join(foreign[:5])}: is this its key?"
        yield Finding(Kind.NOTHING_VERIFIED, _INCOMPLETE, detail, log=log.facts.label, count=0)

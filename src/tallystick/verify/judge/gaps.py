"""What is absent of a log: its beginning, whole chains, positions between others, its end (spec section 7)."""

from collections.abc import Iterable, Iterator, Sequence

from tallystick import _core
from tallystick.verify.catalogue import Kind, Weight
from tallystick.verify.judge.openings import Range
from tallystick.verify.judge.view import LogView
from tallystick.verify.judge.witnesses import when
from tallystick.verify.positions import At, dotted
from tallystick.verify.report import Finding

__all__ = ["gap_findings", "no_line_findings", "start_anchor"]


def start_anchor(log: LogView) -> str:
    """Return what vouches for the beginning of a log."""
    if not log.facts.chains:
        return "nothing"
    if log.expected.start is not None:
        return f"named by the caller: chain {log.expected.start}"
    if log.facts.extent.begins_late:
        return "nothing"
    return f"the key's first chain, {log.facts.numbers[0]}" if log.facts.narrowed else "the log's first chain"


def no_line_findings(log: LogView) -> Iterator[Finding]:
    """Give the findings about a log of which no line is here."""
    if log.facts.label in log.expected.expect:
        detail = "no line of the log is here, but it is expected"
        yield log.finding(Kind.MISSING, Weight.FAILED, detail, count=0)
    end = log.demanded_end
    if end and not log.facts.source.only_foreign(log.facts.number):
        yield _cut(log, end, f"no line of the log is here, but {_who_demands(log, end)}", (1, 0, 0))


def gap_findings(log: LogView) -> Iterator[Finding]:
    """Give the findings about what is absent of a log of which a line is here."""
    if log.facts.extent.begins_late:
        yield _late_start(log)
    yield from _absent_chains(log)
    yield from _gaps(log)


def _late_start(log: LogView) -> Finding:
    first = log.facts.numbers[0]
    facts = log.facts.chains[first]
    detail = (
        f"the log begins at {dotted(facts.first)} here; if older lines were deleted by policy, "
        f"name the start with --from {first}, else look for the older files"
    )
    return log.finding(Kind.LATE_START, Weight.INCOMPLETE, detail, facts.first, place=facts.first_place, count=0)


def _absent_chains(log: LogView) -> Iterator[Finding]:
    # Where nobody named the start, what is absent before the first chain is a late start.
    here = [*log.judged, *log.demanded]
    for low, high in _between(log.judged, min(here, default=1), max(here, default=0)):
        missing, passed = log.facts.openings.part(low, high, log.demanded)
        for first, last in missing:
            yield _missing_chains(log, first, last, Weight.FAILED)
        for first, last in passed if not log.facts.with_v else []:
            yield _missing_chains(log, first, last, Weight.INCOMPLETE)


def _missing_chains(log: LogView, low: int, high: int, weight: Weight) -> Finding:
    what = f"chain {low}" if low == high else f"chains {low} to {high}"
    if weight is Weight.FAILED:
        detail = f"{what} of the log {'is' if low == high else 'are'} not here; look for a file that was removed"
    else:
        detail = (
            f"{what} {'is' if low == high else 'are'} not here; a later opening says that nothing of it was "
            "counted, which only the verification key can check"
        )
    return log.finding(Kind.MISSING, weight, detail, f"{low}.*", f"{high}.*", count=0)


def _gaps(log: LogView) -> Iterator[Finding]:
    """Give the findings about positions that are absent in chains that are here."""
    demanded: dict[int, At] = {}
    for at in [*log.facts.openings.named.values(), *log.marks]:
        demanded[at[0]] = max(at, demanded.get(at[0], at))
    newest, end = log.judged[-1] if log.judged else 0, log.demanded_end
    for chain in log.judged:
        last = log.facts.chains[chain].last
        # What lies before everything that is present is a late start, where nobody named the start.
        gaps = [gap for gap in log.facts.gaps(chain, demanded.get(chain)) if gap.start >= log.floor]
        for gap, through in _joined(gaps):
            if chain == newest and gap.start > last:
                # Else only a bad line claims more than is here.
                if end and end[0] == newest and end > gap.start:
                    yield _truncated(log, end, gap.start)
                break
            yield _missing(log, gap, through)
    if newest and end and end[0] > newest:
        yield _truncated(log, end, log.facts.chains[newest].last)


def _who_demands(log: LogView, end: At) -> str:
    received = next((one for one in log.anchors.received if one.until == end), None)
    if received is not None:
        return f"the witness {received.witness} received everything before {dotted(end)} at {when(received.time or 0)}"
    who = "the head counts" if end == log.counted else "a pin vouches for"
    return f"{who} everything before {dotted(end)}"


def _truncated(log: LogView, end: At, start: At) -> Finding:
    last = log.facts.chains[log.judged[-1]]
    detail = (
        f"the log ends at {dotted(last.last)} here, but {_who_demands(log, end)}; "
        "look for a newer file, or name the last chain with --to if newer ones are rightly elsewhere; "
        "else its end was cut off"
    )
    return _cut(log, end, detail, start, last.last_place)


def _cut(log: LogView, end: At, detail: str, start: At, place: _core.Place | None = None) -> Finding:
    """Return what is cut off: up to the last position that head or pins speak of, if they name it."""
    # Before index 0 stands a checkpoint whose index nobody names.
    if not end[2]:
        rest = f"{end[0]}.{end[1] - 1}.*"
        return log.finding(Kind.TRUNCATED, Weight.FAILED, detail, start, rest, place, count=0)
    to = (*end[:2], end[2] - 1)
    count = to[2] - start[2] + 1 if to[:2] == start[:2] else 0
    return log.finding(Kind.TRUNCATED, Weight.FAILED, detail, start, to, place, count)


def _missing(log: LogView, gap: _core.Gap, through: At) -> Finding:
    place = gap.before or gap.after
    if gap.to is None:
        detail = "the checkpoint of this epoch is not here, and any lines before it"
        if through != gap.start:
            detail = "the checkpoints of these epochs are not here, and any lines before them"
        rest = f"{through[0]}.{through[1]}.*"
        return log.finding(Kind.MISSING, Weight.FAILED, detail, gap.start, rest, place, count=0)
    count = gap.to[2] - gap.start[2] + 1 if gap.to[:2] == gap.start[:2] else 0
    where = "after" if gap.before else "before"
    what = "a line that stood" if count == 1 else f"{count or 'some'} lines that stood"
    detail = f"{what} right {where} this one {'is' if count == 1 else 'are'} not here"
    source = log.facts.source
    edge = (gap.before and source.is_last(gap.before)) or (gap.after and source.is_first(gap.after))
    cause = "the gap lies at the edge of a file: rotation by copytruncate loses lines there" if edge else None
    return log.finding(Kind.MISSING, Weight.FAILED, detail, gap.start, gap.to, place, count, cause)


def _between(chains: Sequence[int], first: int, last: int) -> Iterator[Range]:
    """Give the stretches of chains from a first to a last one that are not among some, in order."""
    for chain in [*(chain for chain in chains if first <= chain <= last), last + 1]:
        if chain > first:
            yield first, chain - 1
        first = chain + 1


def _joined(gaps: Iterable[_core.Gap]) -> list[tuple[_core.Gap, At]]:
    """Return gaps, but only the first of whole epochs absent one after the other, and where the last begins."""
    joined: list[tuple[_core.Gap, At]] = []
    for gap in gaps:
        if joined and joined[-1][0].to is None and gap.to is None and gap.start == _next_epoch(joined[-1][1]):
            joined[-1] = joined[-1][0], gap.start
        else:
            joined.append((gap, gap.start))
    return joined


def _next_epoch(at: At) -> At:
    return at[0], at[1] + 1, 0

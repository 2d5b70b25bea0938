"""Statements of a log: whether they agree with each other, with pins, the head and their own chain (spec section 7)."""

from collections.abc import Iterable, Iterator

from tallystick import _core
from tallystick.verify.catalogue import Kind, Weight
from tallystick.verify.judge.view import LogView
from tallystick.verify.positions import At, dotted
from tallystick.verify.report import Finding

__all__ = ["chain_findings", "statement_findings"]

Stretch = tuple[At, At, int, _core.Place]
"""First and last position, number of lines, place of the first."""

_NOT_COVERED = (Kind.ALTERED, "this line is not among those that its epoch's checkpoint covers")
_CLASHES = {
    "prev": (Kind.BAD_STATEMENT, "this checkpoint names another statement before it than the one that is here"),
    "after closed": (Kind.BAD_STATEMENT, "a line stands after the end of its chain"),
    "after checkpoint": (Kind.BAD_STATEMENT, "a line stands after the checkpoint of its epoch"),
    "cert": (Kind.BAD_STATEMENT, "certificates of this chain disagree"),
    "fork": (Kind.FORK, "two different lines claim this position"),
}
_CLASHES_WITH_P = {**_CLASHES, "after checkpoint": _NOT_COVERED, "fork": _NOT_COVERED}


def statement_findings(log: LogView) -> Iterator[Finding]:
    """Give the findings about statements that openings, pins or the head name."""
    for opening in log.facts.openings.all:
        if opening.at[0] >= log.floor[0] and (detail := _contradiction(log, opening)):
            yield log.finding(Kind.BAD_STATEMENT, Weight.FAILED, detail, opening.at, place=opening.place)
    for pin in log.pins:
        found = log.facts.source.facts.statement_at(log.facts.number, pin.at)
        if (found is None or found.hash != pin.digest) and _is_present(log, pin.at):
            detail = "something else stands here than the statement that was pinned"
            place = found.place if found else None
            yield log.finding(Kind.BAD_STATEMENT, Weight.FAILED, detail, pin.at, place=place)
    counted, head = log.counted, log.anchors.head
    if counted and head and counted[0] in log.facts.chains and log.facts.has_other_statement(counted, head.digest):
        detail = f"the head names another statement before {dotted(counted)} than the one that is here"
        yield log.finding(Kind.BAD_HEAD, Weight.FAILED, detail, counted)


def _contradiction(log: LogView, opening: _core.Statement) -> str | None:
    """Say what is wrong with the head that an opening names, if something is."""
    assert opening.prev is not None
    at, digest, proof = opening.prev
    if proof is False or at[0] >= opening.at[0]:
        return "the proof of the head that this opening names does not hold"
    if at[0] == 0 or at[0] not in log.facts.chains or at <= log.floor:
        return None
    if log.facts.has_other_statement(at, digest):
        return f"the opening names another statement before {dotted(at)} than the one that is here"
    return None


def _is_present(log: LogView, at: At) -> bool:
    """Does a line stand at a position?"""
    if at[0] not in log.facts.chains or at < log.floor or at > log.facts.chains[at[0]].last:
        return False
    return not any(gap.start <= at <= (gap.to or (*gap.start[:2], 65_535)) for gap in log.facts.gaps(at[0]))


def chain_findings(log: LogView) -> Iterator[Finding]:
    """Give the findings about each chain of a log by itself: statements that contradict it, trees that do not match."""
    with_v = log.facts.with_v
    clashes = _CLASHES if with_v else _CLASHES_WITH_P
    for chain in log.facts.numbers:
        facts = log.facts.chains[chain]
        for clash, (at, to, count, place) in facts.clashes:
            kind, detail = clashes[clash]
            yield log.finding(kind, Weight.FAILED, detail, at, to, place, count)
        for epoch, n, place in facts.altered:
            first, last = (chain, epoch, 0), (chain, epoch, max(n - 1, 0))
            yield log.finding(Kind.ALTERED, Weight.FAILED, _altered(n, with_v=with_v), first, last, place, n)
        for at, to, lines, place in _neighbouring(facts.uncovered) if not with_v else ():
            detail = "no checkpoint covers these lines as they are here, so the public key cannot judge them"
            yield log.finding(Kind.UNCOVERED, Weight.INCOMPLETE, detail, at, to, place, lines)


def _altered(n: int, *, with_v: bool) -> str:
    """Say what it means that R does not match the n lines of an epoch."""
    if with_v:
        return (
            "every tag of this epoch holds, but its checkpoint signs other lines: "
            "somebody who holds the verification key rewrote some"
        )
    if n > 1:
        return f"one or more of the {n} lines that this checkpoint signs were changed"
    return "the line that this checkpoint signs was changed"


def _neighbouring(stretches: Iterable[Stretch]) -> Iterator[Stretch]:
    """Give those of epochs that follow each other as one."""
    first: Stretch | None = None
    for new in stretches:
        if first is not None and new[0][1] == first[1][1] + 1:
            first = (first[0], new[1], first[2] + new[2], first[3])
            continue
        if first is not None:
            yield first
        first = new
    if first is not None:
        yield first

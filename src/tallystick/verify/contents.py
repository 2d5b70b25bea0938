"""What is said of each chain by itself: statements that contradict it, trees that do not match (spec section 7)."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from tallystick import _core
from tallystick.verify.report import Finding, Weight
from tallystick.verify.source import At

if TYPE_CHECKING:
    from tallystick.verify.chains import LogJudge

__all__ = ["chain_findings"]

Stretch = tuple[At, At, int, _core.Place]
"""First and last position, number of lines, place of the first."""


def chain_findings(judge: "LogJudge") -> Iterator[Finding]:
    """Give what is said of each chain of a log by itself."""
    words = {
        "prev": (
            "bad statement",
            "this checkpoint names another statement before it than the one that is here",
        ),
        "after closed": ("bad statement", "a line stands behind the end of its chain"),
        "after checkpoint": ("bad statement", "a line stands behind the checkpoint of its epoch"),
        "cert": ("bad statement", "certificates of this chain disagree"),
        "fork": ("fork", "two different lines claim this position"),
    }
    for chain in judge.numbers:
        facts = judge.chains[chain]
        for clash, (at, to, count, place) in facts.clashes:
            kind, detail = words[clash]
            if not judge.with_v and clash in ("after checkpoint", "fork"):
                kind, detail = (
                    "altered",
                    "this line is not among those that its epoch's checkpoint covers",
                )
            yield judge.finding(kind, Weight.FAILED, detail, at, to, place, count)
        for epoch, n, place in facts.altered:
            first, last = (chain, epoch, 0), (chain, epoch, max(n - 1, 0))
            if judge.with_v:
                detail = (
                    "every tag of this epoch holds, but its checkpoint signs other lines: "
                    "somebody who holds the verification key wrote some anew"
                )
            else:
                detail = (
                    f"one or more of the {n} lines that this checkpoint signs were changed"
                    if n > 1
                    else "the line that this checkpoint signs was changed"
                )
            yield judge.finding("altered", Weight.FAILED, detail, first, last, place, n)
        for at, to, lines, place in _neighbouring(facts.uncovered) if not judge.with_v else ():
            detail = "no checkpoint covers these lines as they are here, so the public key cannot judge them"
            yield judge.finding("uncovered", Weight.INCOMPLETE, detail, at, to, place, lines)


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

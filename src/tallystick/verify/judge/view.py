"""One log as it is judged: its facts, its anchors, and the part of it that is judged as a set (spec section 7)."""

from collections.abc import Sequence
from dataclasses import dataclass

from tallystick import _core
from tallystick.verify.anchors import Anchors
from tallystick.verify.catalogue import Kind, Weight
from tallystick.verify.expectations import Expectations
from tallystick.verify.judge.facts import LogFacts
from tallystick.verify.pins import Pin
from tallystick.verify.positions import At, after, dotted
from tallystick.verify.report import Finding
from tallystick.verify.witnesses import Shown

__all__ = ["LogView"]


@dataclass(frozen=True, slots=True)
class LogView:
    """One log as it is judged.

    Args:
        facts: Facts about the log.
        anchors: The head and the pins that it must meet.
        expected: Everything that the caller expects.
        floor: Nothing is said of positions that are absent before this one.
        ceiling: Nothing is said of chains that are absent after this one.
        judged: The chains that are here and judged as a set, in order.
        demanded: Chains of which head, pins or openings count lines, or which the caller names: in order.
    """

    facts: LogFacts
    anchors: Anchors
    expected: Expectations
    floor: At
    ceiling: int
    judged: Sequence[int]
    demanded: Sequence[int]

    @classmethod
    def of(cls, facts: LogFacts, anchors: Anchors, expected: Expectations) -> "LogView":
        """Return the view on a log."""
        floor, ceiling = facts.extent.floor, expected.last or 2**32
        judged = [chain for chain in facts.numbers if floor[0] <= chain <= ceiling]
        newest = judged[-1] if judged else 2**32
        marks = [mark for mark in anchors.marks if _is_judged(mark, facts, floor, ceiling)]
        named = {chain for chain in facts.openings.named if chain > 0}
        named |= {mark[0] for mark in marks if mark[0] < newest}
        named |= {chain for chain in (expected.start, expected.last) if chain}
        demanded = sorted(chain for chain in named if floor[0] <= chain <= ceiling)
        return cls(facts, anchors, expected, floor, ceiling, judged, demanded)

    def judges(self, chain: int) -> bool:
        """Is a chain that is here judged as a set?"""
        return self.floor[0] <= chain <= self.ceiling

    def is_judged(self, mark: At) -> bool:
        """Does a position up to which a head or a pin counts lie within the part that is judged?"""
        return _is_judged(mark, self.facts, self.floor, self.ceiling)

    @property
    def marks(self) -> list[At]:
        """The positions up to which pins and the head count lines, as far as they are judged."""
        return [mark for mark in self.anchors.marks if self.is_judged(mark)]

    @property
    def pins(self) -> list[Pin]:
        """The pins that are judged."""
        return [pin for pin in self.anchors.pins if self.is_judged(after(pin.at))]

    @property
    def shown(self) -> list[tuple[Shown, _core.Standing]]:
        """The signed texts of this log, and how the lines stand to them."""
        standings = zip(self.expected.witnesses.shown, self.facts.source.facts.shown(), strict=True)
        return [(one, standing) for one, standing in standings if one.log == self.facts.number]

    @property
    def counted(self) -> At | None:
        """The position that an authentic head counts up to, as far as that is judged."""
        counted = self.anchors.counted
        return counted if counted is not None and self.is_judged(counted) else None

    @property
    def demanded_end(self) -> At | None:
        """The position up to which head or pins say that lines were written."""
        return max(self.marks, default=None)

    @property
    def newest(self) -> int | None:
        """The newest chain, whose end needs an anchor; None where the caller names the last one that is here."""
        return self.judged[-1] if self.judged and self.expected.last is None else None

    def is_cut(self) -> bool:
        """Does the newest chain end before head or pins say?"""
        end, newest = self.demanded_end, self.judged[-1] if self.judged else 0
        if end is None or end[0] < newest:
            return False
        return end[0] > newest or not self.facts.reaches(end)

    def finding(
        self,
        kind: Kind,
        weight: Weight,
        detail: str,
        at: At | str | None = None,
        to: At | str | None = None,
        place: _core.Place | None = None,
        count: int = 1,
        cause: str | None = None,
    ) -> Finding:
        """Return a finding about this log; a text in the place of a position is taken as it is."""
        if self.expected.subset and kind in (Kind.MISSING, Kind.TRUNCATED):
            weight = Weight.NOTE  # reported, not judged
        elif (
            kind in (Kind.MISSING, Kind.TRUNCATED) and weight is Weight.FAILED and (unread := self._possible_places(at))
        ):
            weight = Weight.INCOMPLETE
            names = ", ".join(unread[:3]) + (" and others" if len(unread) > 3 else "")
            cause = f"it may stand in what could not be read: {names}"
        found = Finding(
            kind,
            weight,
            detail,
            cause=cause,
            log=self.facts.label,
            position=_text(at),
            to=_text(to) if to != at else None,
            count=count,
        )
        return self.facts.source.at(found, place)

    def _possible_places(self, at: At | str | None) -> list[str]:
        """Return the unread files that may hold the lines that are absent from some position on, or whole chains."""
        first = (int(at.partition(".")[0]), 0, 0) if isinstance(at, str) else at
        return [one.path for one in self.expected.unread if one.may_hold(self.facts.number, first)]


def _text(at: At | str | None) -> str | None:
    return dotted(at) if isinstance(at, tuple) else at


def _is_judged(mark: At, facts: LogFacts, floor: At, ceiling: int) -> bool:
    return (not facts.chains or mark > floor) and mark[0] <= ceiling

"""Positions that were seen more than once: duplicates, and conflicts between different lines (spec section 7)."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from tallystick import _core
from tallystick.verify.catalogue import Kind, Weight
from tallystick.verify.expectations import Expectations
from tallystick.verify.positions import At, after, dotted
from tallystick.verify.report import Finding
from tallystick.verify.source import Source

__all__ = ["Repeated", "duplicate_findings"]


def duplicate_findings(source: Source, duplicates: Sequence[_core.Double], expected: Expectations) -> Iterator[Finding]:
    """Give the findings about positions that were seen more than once."""
    logs = source.keys.logs()
    parts = (part for one in duplicates for part in _parted(one, expected.duplicates.get(source.labels[one.log], ())))
    for stretch in _joined(parts):
        kind, weight, detail = _judged(stretch, expected, with_v=logs[stretch.log][2])
        to = dotted(stretch.to) if stretch.to != stretch.start else None
        label, start = source.labels[stretch.log], dotted(stretch.start)
        found = Finding(kind, weight, detail, log=label, position=start, to=to, count=stretch.count)
        yield source.at(found, stretch.place)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Positions in a row that were seen more than once.

    `excepted` is the number of the exception that names these positions.
    """

    log: int
    start: At
    to: At
    count: int
    one_file: bool
    fork: bool
    proven: bool
    place: _core.Place
    excepted: int | None = None

    def continues(self, other: "_Stretch") -> bool:
        """Does this come right after another one, in the same file and of the same sort?"""
        same = (self.log, self.one_file, self.fork, self.proven, self.excepted, self.place.file)
        others = (other.log, other.one_file, other.fork, other.proven, other.excepted, other.place.file)
        return same == others and self.start in (after(other.to), (other.to[0], other.to[1] + 1, 0))


def _judged(stretch: _Stretch, expected: Expectations, *, with_v: bool) -> tuple[Kind, Weight, str]:
    if stretch.fork and (stretch.proven or with_v):
        detail = "two different lines at this position, both authentic: two writers, or a restored backup"
        return Kind.FORK, Weight.FAILED, detail
    if stretch.fork:
        detail = "another line claims this position too, and no checkpoint says which one is right"
        return Kind.ALTERED, Weight.FAILED, detail
    if not stretch.one_file:
        return Kind.DUPLICATE, Weight.NOTE, "seen before in another file, as copies are"
    weight = Weight.NOTE if Kind.DUPLICATE in expected.allow else Weight.FAILED
    return Kind.DUPLICATE, weight, "seen before in the same file"


def _parted(double: _core.Double, excepted: Sequence[tuple[At, At]]) -> Iterator[_Stretch]:
    """Give the parts of a duplicate that are excepted, and those that are not."""
    # Of copies it does not matter whether they are lines or statements.
    log, proven, place = double.log, double.fork and double.proven, double.place
    whole = _Stretch(log, double.start, double.to, double.count, double.one_file, double.fork, proven, place)
    if double.fork or not double.one_file or not excepted:
        yield whole
        return
    start, (chain, epoch, end) = double.start[2], double.to
    bounds = {start, end + 1}
    for low, high in excepted:
        bounds |= {at[2] + more for at, more in ((low, 0), (high, 1)) if at[:2] == (chain, epoch)}
    cuts = sorted(bound for bound in bounds if start <= bound <= end + 1)
    for low_, high_ in pairwise(cuts):
        at, to = (chain, epoch, low_), (chain, epoch, high_ - 1)
        number = next((n for n, (low, high) in enumerate(excepted) if low <= at <= high), None)
        count = double.count if len(cuts) == 2 else high_ - low_
        yield replace(whole, start=at, to=to, count=count, excepted=number)


def _joined(stretches: Iterable[_Stretch]) -> Iterator[_Stretch]:
    """Give stretches of one sort that follow each other in one file as one."""
    last: _Stretch | None = None
    for new in sorted(
        stretches, key=lambda one: (one.log, one.one_file, one.fork, one.proven, one.place.file, one.start)
    ):
        if last is not None and new.continues(last):
            last = replace(last, to=new.to, count=last.count + new.count)
            continue
        if last is not None:
            yield last
        last = new
    if last is not None:
        yield last


@dataclass(frozen=True, slots=True)
class Repeated:
    """Positions that one file holds twice, by log and file: sorted, without overlaps."""

    _intervals: Mapping[tuple[int, int], Sequence[tuple[At, At]]]

    @classmethod
    def of(cls, duplicates: Iterable[_core.Double]) -> "Repeated":
        """Return the positions that are in a file twice, or in conflict."""
        by_file: dict[tuple[int, int], list[tuple[At, At]]] = {}
        for double in duplicates:
            if double.one_file or double.fork:
                by_file.setdefault((double.log, double.place.file), []).append((double.start, double.to))
        return cls({where: _merged(intervals) for where, intervals in by_file.items()})

    def holds(self, log: int | None, file: int, at: At | None) -> bool:
        """Does a file hold a position twice?"""
        if log is None or at is None:
            return False
        places = self._intervals.get((log, file), ())
        number = bisect_right(places, at, key=lambda place: place[0]) - 1
        return number >= 0 and at <= places[number][1]


def _merged(intervals: Iterable[tuple[At, At]]) -> list[tuple[At, At]]:
    merged: list[tuple[At, At]] = []
    for start, to in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(to, merged[-1][1])
        else:
            merged.append((start, to))
    return merged

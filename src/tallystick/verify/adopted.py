"""What a file held before its log began, which the log adopted: is it here as it was? (spec section 5)"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from tallystick import _core
from tallystick.verify.inputs import Input
from tallystick.verify.streams import BROKEN

__all__ = ["Adopted", "read_adopted"]


@dataclass(frozen=True, slots=True)
class Adopted:
    """One notice that adopts a past.

    Args:
        log: Number of the log.
        notice: The notice.
        files: Files that begin so, by number: how many lines without a seal, and of unknown logs, they begin with.
    """

    log: int
    notice: _core.Notice
    files: Mapping[int, tuple[int, int]]

    def covers(self, place: _core.Place) -> bool:
        """Does a line stand in what was adopted?"""
        assert self.notice.past is not None
        return place.file in self.files and place.offset < self.notice.past[1]


def read_adopted(facts: _core.Facts, logs: int, inputs: Sequence[Input]) -> list[Adopted]:
    """Hold what logs adopted against the files in which their first chains open.

    Args:
        facts: What was found.
        logs: How many logs there are.
        inputs: What was read; still open.
    """
    found = []
    for log in range(logs):
        adopting = [notice for notice in facts.notices(log) if notice.past is not None]
        openings = dict(_openings(facts, log)) if adopting else {}
        for notice in adopting:
            files = {
                file: before
                for file, (offset, before) in openings.items()
                if notice.past is not None and _begins_so(inputs[file], offset, notice.past)
            }
            found.append(Adopted(log, notice, files))
    return found


def _openings(facts: _core.Facts, log: int) -> Iterator[tuple[int, tuple[int, tuple[int, int]]]]:
    """Give where in each file the first chain of a log opens first, and how many strange lines are before that."""
    before: dict[int, tuple[int, int]] = {}
    done = set()
    for chunk in facts.chunks():
        unsealed, foreign = before.get(chunk.file, (0, 0))
        for number, place, (more, others, _) in chunk.beginnings:
            if number == log and chunk.file not in done:
                done.add(chunk.file)
                yield chunk.file, (place.offset, (unsealed + more, foreign + others))
        before[chunk.file] = unsealed + chunk.strange[0], foreign + chunk.strange[1]


def _begins_so(one: Input, opening: int, past: tuple[bytes, int, int]) -> bool:
    """Does a file hold exactly what was adopted before its opening at an offset?"""
    digest, size, lines = past
    if opening != size:
        return False
    made, count = hashlib.sha256(), 0
    with suppress(*BROKEN):
        for data in one.beginning_of(size):
            made.update(data)
            count += data.count(b"\n")
    return (made.digest(), count) == (digest, lines)

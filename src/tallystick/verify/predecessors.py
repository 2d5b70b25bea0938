"""Lines of the log that a known one follows: where they need its key, which is not at hand (spec section 9).

A log that was rekeyed names its predecessor right after its first opening. Lines with that log id need the old key as
long as they stand before this log's first line in their file, or in a file without any line of it. After that line
nobody sealed for the predecessor any more, and they are unsealed lines as any others.

>>> before = Predecessors({(0, "oedhcsck"): (2, 7, 900), (1, "oedhcsck"): None})
>>> [before.covers("oedhcsck", file, place) for file, place in ((0, (2, 6, 800)), (0, (2, 8, 990)), (1, (0, 0, 0)))]
[True, False, True]
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tallystick import _core
from tallystick.verify.adopted import Adopted

__all__ = ["Predecessors", "read_predecessors"]

_Spot = tuple[int, int, int]  # chunk, line and offset within a file
_NOWHERE: _Spot = (-1, 0, 0)


@dataclass(frozen=True, slots=True)
class Predecessors:
    """Where lines of predecessors need a key that is not at hand.

    Args:
        ends: By file and log id, where the first line of the log that follows stands; None where none is.
        counts: By file and log id, how many such lines are before that.
    """

    ends: Mapping[tuple[int, str], _Spot | None]
    counts: Mapping[tuple[int, str], int] = field(default_factory=dict)

    def covers(self, log_id: str | None, file: int, spot: _Spot) -> bool:
        """Does a line of a log stand where it needs that log's key?"""
        if log_id is None or (file, log_id) not in self.ends:
            return False
        end = self.ends[file, log_id]
        return end is None or spot < end

    def covers_event(self, event: _core.Event) -> bool:
        """The same of a group of lines, which ends at any line of a known log."""
        place = event.place
        return event.kind == "foreign" and self.covers(
            event.log_id, place.file, (place.chunk, place.line, place.offset)
        )


def read_predecessors(facts: _core.Facts, logs: int, adopted: Sequence[Adopted]) -> Predecessors:
    """Look for the logs that known ones follow, and for where those begin in each file.

    Args:
        facts: What was found.
        logs: How many logs there are.
        adopted: What logs adopted; files that begin so are judged as such.
    """
    named = [(log, notice.predecessor) for log in range(logs) for notice in facts.notices(log) if notice.predecessor]
    chunks = facts.chunks() if named else []
    judged = {file for each in adopted for file in each.files}
    files = sorted({chunk.file for chunk in chunks} - judged)
    ends: dict[tuple[int, str], _Spot | None] = {}
    for log, log_id in named:
        first = _first_lines(chunks, log)
        for file in files:
            before = ends.setdefault((file, log_id), None)
            if file in first:  # the strictest, where several logs name one predecessor
                ends[file, log_id] = min(before or first[file], first[file])
    return Predecessors(ends, _counts(chunks, ends))


def _first_lines(chunks: Sequence[_core.Chunk], log: int) -> dict[int, _Spot]:
    """Return where in each file a log opens; before all of it where another line of the log is the first there."""
    found: dict[int, _Spot] = {}
    for chunk in chunks:
        for number, _, place, _ in chunk.edges:
            if number == log and chunk.file not in found:
                spot = place.chunk, place.line, place.offset
                openings = [(at.chunk, at.line, at.offset) for one, at, _ in chunk.beginnings if one == log]
                found[chunk.file] = spot if openings == [spot] else _NOWHERE
    return found


def _counts(chunks: Sequence[_core.Chunk], ends: Mapping[tuple[int, str], _Spot | None]) -> dict[tuple[int, str], int]:
    """Count the lines of predecessors that stand where they need a key."""
    counts: defaultdict[tuple[int, str], int] = defaultdict(int)
    for chunk in chunks:
        for log_id, count in chunk.strange[2].items():
            if (chunk.file, log_id) not in ends:
                continue
            end = ends[chunk.file, log_id]
            if end is None or chunk.chunk < end[0]:
                counts[chunk.file, log_id] += count
            elif chunk.chunk == end[0]:
                before = next(ids for _, at, (_, _, ids) in chunk.beginnings if (at.chunk, at.line, at.offset) == end)
                counts[chunk.file, log_id] += before.get(log_id, 0)
    return dict(counts)

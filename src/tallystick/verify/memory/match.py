"""Whether a record is about an input, and what must be read to know it.

Of a file that grew, the end is read again, to see that lines were appended and nothing else. Pieces that are no longer
than what comes after them are scanned again with that: so there are few of them, and a byte is in few of these scans.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

from tallystick.verify.inputs import Input
from tallystick.verify.memory.checks import Check
from tallystick.verify.memory.holder import AnyHolder, Stored
from tallystick.verify.memory.record import Part, Record, sha256
from tallystick.verify.streams import BROKEN

__all__ = ["Match", "Recalled"]

_LASTS = 8  # a piece of this part of a chunk lasts: it is read again only with as many bytes that came after it


@dataclass(frozen=True, slots=True)
class Recalled:
    """What is remembered of an input: these bytes are not scanned.

    Args:
        record: What counts of it.
        is_whole: Nothing of the input is read.
        chunk: Bytes of a chunk.
    """

    record: Record
    is_whole: bool
    chunk: int

    @property
    def lasting(self) -> tuple[bytes, ...]:
        """The summaries of what stays as it is for many looks, though lines are added to the file."""
        record, count = self.record, bool(self.record.parts) + len(self.record.pieces)
        if not self.is_whole:
            begin, count = record.parts[-1].end if record.parts else 0, int(bool(record.parts))
            for piece in record.pieces:
                if (piece.part.end - begin) * _LASTS < self.chunk:
                    break
                begin, count = piece.part.end, count + 1
        return record.summaries[:count]

    @property
    def start(self) -> tuple[int, int]:
        """Number of the chunk with which reading goes on, and where it begins."""
        return len(self.record.all_parts), self.record.end


@dataclass(frozen=True, slots=True)
class Match:
    """A record that may be about an input.

    Args:
        one: The input.
        record: The record.
        holder: The file now, before it is read.
        count: How many of its parts count.
        doubtful: Numbers of the parts that must be read again; None for all, in a file of which it is not known that it
            was not touched.
        is_whole: Nothing came after what is remembered.
        has_grown: Something did.
    """

    one: Input
    record: Record
    holder: AnyHolder
    count: int
    doubtful: frozenset[int] | None
    is_whole: bool = False
    has_grown: bool = False

    @classmethod
    def of(cls, one: Input, record: Record, holder: AnyHolder, edge: int) -> "Match | None":
        """Return what a record says of an input; None if it cannot be about it.

        Args:
            one: The input.
            record: The record.
            holder: The file now.
            edge: Bytes at the end of what is remembered that are read again where a file has grown, at least one part.
        """
        untouched = record.holder.is_untouched(holder)
        if (
            isinstance(holder, Stored) and untouched and record.is_whole
        ):  # nothing of it is read, not even its beginning
            return cls(one, record, holder, len(record.all_parts), frozenset(), True)
        if one.is_plain and one.size < record.end:
            return None
        is_whole = record.is_whole and not (one.is_plain and one.size != record.length)
        if untouched and is_whole:
            return cls(one, record, holder, len(record.all_parts), frozenset(), True)
        if not untouched and not (one.is_plain and record.holder.has_grown(holder)):
            return cls(one, record, holder, len(record.all_parts), None)
        count = _whole_lines(record) if untouched else _before(record, one.size)
        if not count:
            return None
        # Lines were appended: it is seen by its edges that nothing else was done to it.
        doubtful = () if untouched else _newest(record.all_parts[:count], edge)
        return cls(one, record, holder, count, frozenset(doubtful), has_grown=not untouched)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts that count."""
        return self.record.all_parts[: self.count]

    def also(self, numbers: Collection[int]) -> "Match":
        """Return the same with more parts that must be read again."""
        if self.doubtful is None or not numbers:
            return self
        # What is compressed cannot be read in parts.
        return replace(self, doubtful=self.doubtful | frozenset(numbers) if self.one.is_plain else None)

    def checked(self, now: int) -> Recalled | None:
        """Read again what must be read again; return what counts, None if it is not what was verified.

        Args:
            now: The time, ms since 1970.
        """
        if self.doubtful is None:
            return self._all_checked(now)
        if not all(map(self._is_there, self.doubtful)):
            return None
        return self._recalled(self.count, self.doubtful, now, is_whole=self.is_whole)

    def _all_checked(self, now: int) -> Recalled | None:
        record, end = self.record, 0
        check = Check(record.all_parts)
        for chunk in self.one.chunks():
            if chunk.offset != end or chunk.cut:
                return None
            check.take(memoryview(chunk.data)[: chunk.end])
            end += chunk.end
            if check.failed and check.matched < len(record.parts):
                return None
        if self.one.trouble or check.matched < max(1, len(record.parts)):
            return None
        is_whole = record.is_whole and check.is_done and end == record.length
        count = check.matched if is_whole else min(check.matched, _whole_lines(record))
        return self._recalled(count, range(count), now, is_whole=is_whole) if count else None

    def _is_there(self, number: int) -> bool:
        begin = self.parts[number - 1].end if number else 0
        try:
            data = self.one.excerpt(begin, self.parts[number].end - begin)
        except BROKEN:
            return False
        return sha256(data) == self.parts[number].sha256

    def _recalled(self, count: int, looked: Collection[int], now: int, *, is_whole: bool) -> Recalled:
        return Recalled(self.record.up_to(count, looked, now, self.holder), is_whole, self.one.chunk)


def _whole_lines(record: Record) -> int:
    """Return how many parts hold whole lines."""
    return len(record.all_parts) - (bool(record.pieces) and not record.ends_in_lf)


def _before(record: Record, size: int) -> int:
    """Return how many parts are longer than what comes after them in a file of some size, or as long as a chunk."""
    parts, count = record.all_parts, _whole_lines(record)
    while count > len(record.parts):
        begin, end = parts[count - 2].end if count > 1 else 0, parts[count - 1].end
        if end - begin > size - end:
            break
        count -= 1
    return count


def _newest(parts: tuple[Part, ...], size: int) -> list[int]:
    """Return the numbers of the last parts that have so many bytes together, at least one."""
    numbers, end = list[int](), parts[-1].end
    for number in reversed(range(len(parts))):
        begin = parts[number - 1].end if number else 0
        if numbers and end - begin > size:
            break
        numbers.append(number)
    return numbers

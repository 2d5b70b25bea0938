"""Whether a record is about an input, and what must be read to know it."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from tallystick.verify.inputs import Input
from tallystick.verify.memory.checks import Check
from tallystick.verify.memory.holder import Holder
from tallystick.verify.memory.record import Part, Record, sha256
from tallystick.verify.streams import BROKEN

__all__ = ["Match", "Recalled"]


@dataclass(frozen=True, slots=True)
class Recalled:
    """What is remembered of an input: these bytes are not read.

    Args:
        record: What counts; without a tail where that must be read again.
        is_whole: Nothing of the input is read.
        holder: The file now, before it was read.
    """

    record: Record
    is_whole: bool
    holder: Holder

    @property
    def start(self) -> tuple[int, int]:
        """Number of the chunk with which reading goes on, and where it begins."""
        return len(self.record.parts), self.record.end


@dataclass(frozen=True, slots=True)
class Match:
    """A record that may be about an input.

    Args:
        one: The input.
        record: The record.
        holder: The file now, before it is read.
        doubtful: Numbers of the parts that must be read again, the tail's last; None for all, in a file of which it is
            not known that it was not touched.
        is_whole: Nothing came after what is remembered.
    """

    one: Input
    record: Record
    holder: Holder
    doubtful: frozenset[int] | None
    is_whole: bool

    @classmethod
    def of(cls, one: Input, record: Record, holder: Holder) -> "Match | None":
        """Return what a record says of an input; None if it cannot be about it.

        Args:
            one: The input.
            record: The record.
            holder: The file now.
        """
        if one.is_plain and one.size < record.end:
            return None
        untouched = record.holder.is_untouched(holder)
        if untouched and record.is_whole and not (one.is_plain and one.size != record.length):
            return cls(one, record, holder, frozenset(), True)
        if not record.parts:
            may_be_all = record.is_whole and not (one.is_plain and one.size != record.length)
            return cls(one, record, holder, None, False) if may_be_all else None
        if untouched:
            return cls(one, record, holder, frozenset(), False)
        if one.is_plain and record.holder.has_grown(holder):
            # Lines were appended: it is seen by its edges that nothing else was done to it.
            return cls(one, record, holder, frozenset({len(record.parts) - 1}), False)
        return cls(one, record, holder, None, False)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts that count, with the tail if it does."""
        return self.record.all_parts if self.is_whole else self.record.parts

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
        return self._recalled(dict.fromkeys(self.doubtful, now), is_whole=self.is_whole)

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
        is_whole = record.is_whole and check.matched == len(record.all_parts) and end == record.length
        if not (is_whole or record.parts):
            return None
        return self._recalled(dict.fromkeys(range(check.matched), now), is_whole=is_whole)

    def _is_there(self, number: int) -> bool:
        begin = self.parts[number - 1].end if number else 0
        try:
            data = self.one.excerpt(begin, self.parts[number].end - begin)
        except BROKEN:
            return False
        return sha256(data) == self.parts[number].sha256

    def _recalled(self, looked: dict[int, int], *, is_whole: bool) -> Recalled:
        parts = [replace(part, looked=looked.get(i, part.looked)) for i, part in enumerate(self.record.all_parts)]
        tail = parts.pop() if self.record.tail is not None else None
        record = replace(self.record, parts=tuple(parts), holder=self.holder)
        if is_whole:
            return Recalled(replace(record, tail=tail), True, self.holder)
        return Recalled(replace(record, tail=None, last=b""), False, self.holder)

"""What a run finds in one input, put together so that it can be remembered."""

from dataclasses import dataclass

from tallystick import _core
from tallystick.verify.inputs import Chunk, Input
from tallystick.verify.memory.holder import Holder
from tallystick.verify.memory.match import Recalled
from tallystick.verify.memory.record import Part, Record

__all__ = ["Gathered", "Origin"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Which input it is, and what a scan of it depends on; the arguments are those of `Record`."""

    context: str
    edge: str
    holder: Holder


class Gathered:
    """The summaries of one input: of what stays as it is when it grows, and of its tail."""

    def __init__(self, one: Input, origin: Origin, now: int) -> None:
        """Begin with nothing.

        Args:
            one: The input.
            origin: Which it is.
            now: The time, ms since 1970.
        """
        self._one, self._origin, self._now = one, origin, now
        self._parts: list[Part] = []
        self._summary, self._last = _core.Summary(), _core.Summary()
        self._tail: Part | None = None
        self._end, self._good, self._old = 0, True, None

    _old: Record | None

    def recall(self, recalled: Recalled, summary: _core.Summary, last: _core.Summary) -> None:
        """Begin with what is remembered.

        Args:
            recalled: What is remembered.
            summary: The summary of its parts, with the number of this input.
            last: That of its tail.
        """
        self._parts, self._tail = list(recalled.record.parts), recalled.record.tail
        self._summary, self._last = summary, last
        self._end = self._tail.end if self._tail is not None else recalled.record.end
        self._old = recalled.record if recalled.is_whole else None
        self._one.recall(recalled.record.ends_in_lf if recalled.is_whole else True)

    def take(self, chunk: Chunk, found: _core.Summary, digest: bytes) -> None:
        """Take in what a scan found in the next chunk.

        Args:
            chunk: The chunk.
            found: What was found in it.
            digest: SHA-256 of its lines.
        """
        # Of a line that was too long to be read, and of what comes after the tail, nothing is remembered.
        self._good &= chunk.offset == self._end and not chunk.cut and self._tail is None
        part = Part(chunk.offset + chunk.end, digest, self._now)
        is_full = len(chunk.data) >= self._one.chunk and chunk.data[chunk.end - 1 : chunk.end] == b"\n"
        if self._good and is_full:
            self._parts.append(part)
            self._summary.merge(found)
        else:
            self._tail = part
            self._last.merge(found)
        self._end = part.end

    def record(self) -> Record | None:
        """Return what is remembered of the input once it was read; None for nothing."""
        one = self._one
        if self._old is not None and not (one.trouble or one.moved):
            return self._old
        if one.trouble or one.moved or not self._summary.lasts() or not (self._parts or self._good):
            return None
        has_tail = self._tail is not None and self._good and self._last.lasts()
        # Of what is compressed nobody could tell how much was read, if it grew meanwhile.
        is_known = self._good and (one.is_plain or one.size == self._origin.holder.size)
        if not (self._parts or has_tail):
            return None
        return Record(
            self._origin.context,
            self._origin.edge,
            self._origin.holder,
            tuple(self._parts),
            self._tail if has_tail else None,
            self._end if is_known else -1,
            one.ends_in_lf,
            self._summary.to_memory(),
            self._last.to_memory() if has_tail else b"",
        )

    def merge_into(self, whole: "_core.Summary") -> None:
        """Put what was found into the summary of the run."""
        whole.merge(self._summary)
        whole.merge(self._last)

"""What a run finds in one input, put together so that it can be remembered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tallystick import _core
from tallystick.verify.inputs import Chunk, Input
from tallystick.verify.memory.holder import AnyHolder, Stored
from tallystick.verify.memory.match import Recalled
from tallystick.verify.memory.record import Part, Piece, Record
from tallystick.verify.remote import Remote

__all__ = ["Gathered", "Origin"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Which input it is, and what a scan of it depends on; the arguments are those of `Record`."""

    context: str
    edge: str
    holder: AnyHolder


class Gathered:
    """The summaries of one input: of parts as long as a chunk, and of the pieces after them.

    Attributes:
        is_elsewhere: What of it lasts is merged elsewhere, and not here.
    """

    def __init__(
        self, one: Input, origin: Origin, now: int, stored: Callable[[_core.Summary], bytes], *, begin: int = 0
    ) -> None:
        """Begin with nothing.

        Args:
            one: The input.
            origin: Which it is.
            now: The time, ms since 1970.
            stored: Gives the form in which a summary is kept.
            begin: Where the first line begins.
        """
        self._one, self._origin, self._now, self._form = one, origin, now, stored
        self._parts: list[Part] = []
        self._summary: _core.Summary = _core.Summary()
        self._stored: bytes | None = None  # the form of the summary in which it is kept, where that is known
        self._pieces: list[tuple[Part, _core.Summary, bytes | None]] = []
        self._rest = _core.Summary()
        self._end, self._good = begin, True
        self._old: Record | None = None
        self.is_elsewhere = False

    def recall(self, recalled: Recalled, found: Sequence[_core.Summary], *, elsewhere: bool = False) -> None:
        """Begin with what is remembered.

        Args:
            recalled: What is remembered.
            found: Its summaries, with the number of this input.
            elsewhere: Those of which is known that they last are empty here, and merged elsewhere.
        """
        record, left, self.is_elsewhere = recalled.record, list(found), elsewhere
        self._parts, self._end = list(record.parts), record.end
        if record.parts:
            self._summary, self._stored = left.pop(0), record.summary
        self._pieces = [(one.part, summary, one.summary) for one, summary in zip(record.pieces, left, strict=True)]
        self._old = record if recalled.is_whole else None
        digest = record.digest if recalled.is_whole else ""
        ends_in_lf = record.ends_in_lf if recalled.is_whole else True
        # Of what is whole nothing is read; if it is after all, `Memory.check` says where chunks end.
        ends = [part.end for part in record.all_parts] if not recalled.is_whole else ()
        self._one.recall(ends_in_lf, ends, digest)

    @property
    def lacks(self) -> bool:
        """Must what is merged elsewhere be here, too, to say what is remembered? A part was added to it."""
        return bool(self._parts) and self._old is None and self.is_elsewhere and self._stored is None

    def fetch(self, found: Sequence[_core.Summary]) -> None:
        """Take what was merged elsewhere."""
        for number, summary in enumerate(found):
            (self._summary if self._parts and not number else self._rest).merge(summary)
        self.is_elsewhere = False

    def take(self, chunk: Chunk, found: _core.Summary, digest: bytes) -> None:
        """Take in what a scan found in the next chunk.

        Args:
            chunk: The chunk.
            found: What was found in it.
            digest: SHA-256 of its lines.
        """
        # Of a line that was too long to be read, and of what comes after it, nothing is remembered.
        self._good &= chunk.offset == self._end and not chunk.cut
        part = Part(chunk.offset + chunk.end, digest, self._now)
        is_full = len(chunk.data) >= self._one.chunk and chunk.data[chunk.end - 1 : chunk.end] == b"\n"
        if not self._good:
            self._rest.merge(found)
        elif is_full and not self._pieces:
            self._parts.append(part)
            self._summary.merge(found)
            self._stored = None
        else:
            self._pieces.append((part, found, None))
        self._end = part.end

    def record(self) -> Record | None:
        """Return what is remembered of the input once it was read; None for nothing."""
        one = self._one
        if one.trouble or one.moved:
            return None
        if self._old is not None:
            return self._old
        if self._stored is None and not self._summary.lasts():
            return None
        pieces = []
        for part, summary, stored in self._pieces:
            if stored is None and not summary.lasts():
                self._good = False
                break
            pieces.append(Piece(part, self._form(summary) if stored is None else stored))
        if not (self._parts or pieces):
            return None
        # Of what is compressed nobody could tell how much was read, if it grew meanwhile.
        is_known = self._good and (one.is_plain or one.size == self._origin.holder.size)
        return Record(
            self._origin.context,
            self._origin.edge,
            self._holder(),
            tuple(self._parts),
            self._form(self._summary) if self._stored is None else self._stored,
            tuple(pieces),
            self._end if is_known else -1,
            one.ends_in_lf,
            self._digest() if is_known else "",
        )

    def _holder(self) -> AnyHolder:
        """Return what holds it, with the version that was read."""
        held, file = self._origin.holder, self._one.file
        if isinstance(held, Stored) and isinstance(file, Remote):
            return replace(held, version=file.object.store.version_of(file.object) or "")
        return held

    def _digest(self) -> str:
        """Return the digest of all that is stored; empty where it was not taken, or not of all."""
        digest = self._one.file.digest
        return digest.sha256 if digest is not None and digest.covered == self._origin.holder.size else ""

    def merge_into(self, whole: "_core.Summary") -> None:
        """Put what was found into the summary of the run."""
        for summary in (self._summary, *(summary for _, summary, _ in self._pieces), self._rest):
            whole.merge(summary)

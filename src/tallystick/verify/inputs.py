"""What is verified: files, plain or compressed, read in chunks that end at line ends.

A chunk is read, not mapped: a file that is cut while it is read must not end the verifier.
"""

import contextlib
import errno
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tallystick import _core
from tallystick.errors import reason
from tallystick.verify import streams
from tallystick.verify.archives import Member
from tallystick.verify.columns import PARQUET, Column, Lines
from tallystick.verify.digest import Digest
from tallystick.verify.encodings import PEEK, Decoded
from tallystick.verify.forms import Form
from tallystick.verify.layers import Bytes, Plain, Unpacked
from tallystick.verify.paths import Identity
from tallystick.verify.remote import AnyFile, Remote
from tallystick.verify.rotated import Rotated

__all__ = ["Chunk", "Input", "expect", "named_envelope"]

CHUNK = 8 * 2**20  # bytes
_MOST_LACKING = 1000  # lines without some of their parts that are remembered
_LONGEST = 2**24 + 2**20  # bytes of a line that can still hold a seal, with room for a carrier's prefix


_UNSEEN = Form()

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole lines of a file: the first `end` bytes of `data`, at `offset` in the uncompressed file.

    `cut` says that the last line was too long to be read whole; `lines` are the lines that were taken out of a
    carrier's envelopes; `read` bytes of the file on the disk were read for it.
    """

    file: int
    number: int
    offset: int
    data: bytes
    end: int
    cut: bool
    lines: "_core.Unwrapped | None"
    read: int

    def given_to(
        self,
        work: Callable[..., T],
        keys: _core.Keys,
        mode: _core.Mode,
        envelope: "_core.Envelope | None",
    ) -> T:
        """Give it to a function of the core that scans: `scan`, or `take_texts`."""
        return work(
            keys,
            mode,
            self.data,
            self.end,
            file=self.file,
            chunk=self.number,
            offset=self.offset,
            cut=self.cut,
            lines=self.lines,
            envelope=envelope,
        )


class Input:
    """One file, of the size that it had when it was last looked at: a log may go on growing.

    Attributes:
        path: What it is called in reports.
        size: Bytes of the file on the disk.
        trouble: Why it could not be read to its end, once it was read.
        moved: It was not where it had been when it was to be read.
        ends_in_lf: Its last line is whole, once it was read.
        threads: How many decompress it, where it can be decompressed side by side.
        rotated: Parts of lines that it shares with other files, once it was read.
        ends: Where the first chunks end that an earlier run read; the others are as long as they come.
        lacking: Lines of which a carrier's file lacks parts, once it was read: chunk, line in it, how the line begins,
            and what is missing.
    """

    def __init__(
        self,
        file: AnyFile,
        envelope: "_core.Envelope | None" = None,
        *,
        chunk: int | None = None,
        member: Member | None = None,
        later: bool = False,
        column: Column | None = None,
    ) -> None:
        """Take a file that was just opened, or a member of an archive that was.

        Args:
            file: The file.
            envelope: What carriers wrapped the lines in.
            chunk: Bytes of a chunk, if not `CHUNK`.
            member: The member.
            later: What the file is, is seen when it is read; if it is no log then, it counts as moved.
            column: Which column of Parquet files holds lines, if they are read.

        Raises:
            OSError: It cannot be read.
        """
        self.number, self.trouble, self.moved, self.ends_in_lf = 0, "", False, False
        self.threads = 1
        self._file, self._envelope, self._chunk, self._member = file, envelope, chunk or CHUNK, member
        self.rotated, self._seen = Rotated(), -1
        self.lacking: Sequence[tuple[int, int, bytes, str]] = ()
        self.ends: Sequence[int] = ()
        self._later, self._form = later, _UNSEEN
        self._column = column if member is None else None
        self.rename()
        if not later:
            self.look()

    def rename(self) -> None:
        """Take the name that the file has now."""
        self.path = self._file.path if self._member is None else f"{self._file.path}:{self._member.name}"

    def look(self) -> None:
        """See by its first bytes what the file is; one that was empty may have become something.

        Raises:
            OSError: It cannot be read.
        """
        if self._seen >= min(PEEK, self.size):
            return
        self._seen = self.size
        try:
            self._form = Form.of(self._under(), self.size, self._column)
        except streams.BROKEN:
            if self._member is None:
                raise
            self._form = Form()

    @property
    def form(self) -> "Form":
        """What it is, by its first bytes; one that cannot be read is plain, and it is reported where it is read."""
        if self._later and self._seen < 0:
            with contextlib.suppress(*streams.BROKEN):
                self.look()
        return self._form

    @property
    def beginning(self) -> bytes:
        """The first bytes of what its lines are read from, unpacked."""
        return self.form.beginning

    @property
    def is_begun(self) -> bool:
        """Is it so short that it is only the beginning of a compressed file?"""
        return self.size == len(self.form.raw) and streams.is_begun(self.form.raw)

    @property
    def is_member(self) -> bool:
        """Is it a member of an archive?"""
        return self._member is not None

    @property
    def size(self) -> int:
        """Bytes of the file on the disk."""
        return self._file.size if self._member is None else self._member.size

    @property
    def is_table(self) -> bool:
        """Is it a Parquet file by its name, of which here and there a part is read?"""
        return self._column is not None and self._file.path.endswith(f".{PARQUET}")

    @property
    def is_compressed(self) -> bool:
        """Is it compressed, by its first bytes?"""
        return self.form.compression is not None

    @property
    def file(self) -> AnyFile:
        """The file on the disk that it is, or that it is a member of."""
        return self._file

    @property
    def identity(self) -> Identity:
        """Device and inode of the file, or what tells an object from others."""
        return self._file.identity

    @property
    def is_plain(self) -> bool:
        """Do its lines stand on the disk as they are read?"""
        return not (self.form.compression or self.form.encoding or self._member)

    @property
    def chunk(self) -> int:
        """Bytes of a chunk, but for the last one and for long lines."""
        return self._chunk

    def recall(self, ends_in_lf: bool, ends: Sequence[int], digest: str = "") -> None:
        """Take it as read, by an earlier run: up to where `chunks` goes on, or to its end.

        Args:
            ends_in_lf: Its last line is whole.
            ends: Where the chunks that were read end, for they are no longer than they were then.
            digest: SHA-256 of the file, in hexadecimal, if that was taken.
        """
        self.ends = ends
        self.trouble, self.moved, self.lacking, self.ends_in_lf = "", False, (), ends_in_lf
        if self._file.digest is not None:  # not all of it is read
            self._file.digest = Digest.of(self.size, digest) if digest else None

    def chunks(self, first: tuple[int, int] = (0, 0), until: int | None = None) -> Iterator[Chunk]:
        """Read the file from its beginning, or go on with a chunk.

        Args:
            first: Number of the first chunk, and where it begins. Only what needs no unwrapping can be gone on with.
            until: Where the last line that is wanted ends; None for the end. Only what is plain can be read in part.
        """
        unwrapper = self.rotated.unwrapper(self._envelope) if self._envelope and self._envelope.unwraps else None
        (number, offset), read = first, 0
        self.trouble, self.moved, self.lacking = "", False, ()
        if self._file.digest is not None and not self._member:
            self._file.digest.begin(self.size)
        try:
            source, under = self._layers()
            if self._later and self.form.is_strange(self.size):
                self.trouble, self.moved = "it is no log by what it holds; verify again", True
                return
            while until is None or offset < until:
                want = self._size_of(number, offset)
                data, end, cut = self._lines(source, offset, want if until is None else min(want, until - offset))
                if not data:
                    break
                start, offset = offset, offset + end
                if cut:
                    offset, blank = self._after_long_line(source, start + end)
                    if blank and not data.strip(b"\0"):
                        data, end, cut = b"\n", 1, False  # NULs are no line
                    elif blank and offset >= self.size and self.is_plain:
                        # A line that a crash broke off, and what the file system left after it.
                        data, cut = data.rstrip(b"\0") + bytes(4096), False
                        end = len(data)
                self.ends_in_lf = data[end - 1] == 0x0A
                # The beginning of a line that was not read whole is no record: what follows would not be reported.
                lines = unwrapper.feed(data, end, False) if unwrapper and not cut else None
                self._note_lacking(number, lines)
                before, read = read, under.reached
                yield Chunk(self.number, number, start, data, end, cut, lines, read - before)
                number += 1
        except streams.BROKEN as error:
            self.trouble = self._trouble(error, offset)
        if unwrapper:
            lines = unwrapper.feed(b"", 0, True)
            self._note_lacking(number, lines)
            yield Chunk(self.number, number, offset, b"", 0, False, lines, 0)
            self.rotated.note(unwrapper)
        size = self.size if until is None else until
        if not (self._form.compression or self._form.encoding) and offset < size and not self.trouble:
            self.trouble = f"it became shorter while it was read: {offset} of {size} bytes were left"

    def _size_of(self, number: int, offset: int) -> int:
        """Return how many bytes a chunk has at first; what an earlier run read says nothing of a file that changed."""
        known = self.ends[number] - offset if number < len(self.ends) else 0
        return known if known > 0 else self._chunk

    def again(self) -> Generator[Chunk]:
        """Read the file once more, or a part of it: what the first time found stays."""
        found = self.trouble, self.moved, self.ends_in_lf, self.lacking
        try:
            yield from self.chunks()
        finally:
            self.trouble, self.moved, self.ends_in_lf, self.lacking = found

    def _note_lacking(self, chunk: int, lines: _core.Unwrapped | None) -> None:
        room = _MOST_LACKING - len(self.lacking)
        if lines and room and (found := lines.lacking()[:room]):
            self.lacking = [*self.lacking, *((chunk, *one) for one in found)]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def excerpt(self, offset: int, size: int) -> bytes:
        """Read bytes of the file as it stands on the disk; fewer only at its end, none of a member of an archive."""
        return b"" if self._member else self._under().read(offset, size)

    def beginning_of(self, size: int) -> Iterator[bytes]:
        """Give so many bytes of what its lines are read from, once more, in blocks; fewer where it ends before."""
        source, _ = self._layers()
        offset = 0
        while offset < size and (data := source.read(offset, self._chunk)[: size - offset]):
            offset += len(data)
            yield data

    def tail(self, size: int) -> bytes:
        """Return the end of a file that is plain; of another one nothing."""
        return self._under().read(max(0, self.size - size), size) if self.is_plain else b""

    def excerpts(self, offsets: Iterable[int], size: int) -> dict[int, bytes]:
        """Read the beginnings of the lines at some offsets, as far as they can be read once more."""
        found: dict[int, bytes] = {}
        with contextlib.suppress(*streams.BROKEN):
            self._excerpts(sorted(set(offsets)), size, found)
        return found

    def _excerpts(self, wanted: list[int], size: int, found: dict[int, bytes]) -> None:
        if self.is_plain:
            source = self._under()
            for offset in wanted:
                found[offset] = source.read(offset, size).split(b"\n", 1)[0]
            return
        for chunk in self.again():
            while wanted and wanted[0] < chunk.offset + chunk.end:
                at = wanted.pop(0)
                found[at] = chunk.data[max(0, at - chunk.offset) :][:size].split(b"\n", 1)[0]
            if not wanted:
                break

    def _under(self) -> Bytes:
        return self._member.bytes() if self._member else self._file.bytes()

    def _layers(self) -> tuple[Bytes, Bytes]:
        """Return the bytes of the lines, and those on the disk that they are made of."""
        under = source = self._under()
        if self._later and self._seen < 0:
            self._form, self._seen = Form.of(under, self.size, self._column), self.size
        if self._form.compression == PARQUET and self._column:
            source = Lines(under, self.size, self._column)
        elif self._form.compression:
            source = Unpacked(under, self.size, self.threads)
        return (Decoded(source, *self._form.encoding) if self._form.encoding else source), under

    def _trouble(self, error: Exception, offset: int) -> str:
        if isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.ESTALE):
            self.moved = True
            return f"{reason(error)}; verify again when it stays where it is"
        if isinstance(error, OSError) and error.strerror:
            return f"{reason(error)} after byte {offset}"
        if isinstance(error, streams.RefusedError):
            return f"it was not read after byte {offset} of what it holds: {error}"
        what = f"{self._form.compression} data" if self._form.compression else "data"
        return f"its {what} is damaged after byte {offset} of what it holds: {str(error).lower()}"

    def _lines(self, source: Bytes, offset: int, want: int) -> tuple[bytes, int, bool]:
        while True:
            data = source.read(offset, want)
            data = data[:want] if self.ends else data  # chunks end where they did, however it is unpacked
            end = data.rfind(b"\n") + 1
            if end or len(data) < want:
                return data, end or len(data), False
            if want > _LONGEST:
                # Fields of the journal may be as long as that; they are read piece by piece.
                if self._envelope is None or not self._envelope.takes_pieces:
                    return data, 4096, True
                if isinstance(source, Plain) and (hole := source.after_hole(offset) - offset) > _LONGEST:
                    raise streams.RefusedError(f"a hole of {hole} bytes is there, as no log has")
                return data, len(data), False
            want *= 4

    def _after_long_line(self, source: Bytes, offset: int) -> tuple[int, bool]:
        """Return where the line ends that goes on at an offset, and whether only NULs are left of it."""
        blank = True
        while True:
            if isinstance(source, Plain):
                offset = source.after_hole(offset)
            data = source.read(offset, self._chunk)
            found = data.find(b"\n")
            blank = blank and not (data if found < 0 else data[:found]).strip(b"\0")
            if found >= 0:
                return offset + found + 1, blank
            if not data:
                return offset, blank
            offset += len(data)


def expect(wanted: Iterable[tuple[Input, tuple[int, int]]]) -> None:
    """Say which inputs will be read, in this order, and where each begins: objects are read ahead."""
    files = [(one.file, start[1]) for one, start in wanted if not (one.is_member or one.is_table)]
    for file, _ in files:
        if isinstance(file, Remote):
            file.expect(files)
            break


def named_envelope(kind: str | None, field: str | None) -> "_core.Envelope | None":
    """Return the envelope of a kind, with the JSON field that holds the lines; a field alone means JSON.

    What `Column.named` knows puts nothing around a line.

    Raises:
        FormatError: There is no such kind, or it takes no field.
    """
    return _core.Envelope(kind or "json", field) if kind != PARQUET and (kind or field) else None

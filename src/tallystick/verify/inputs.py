"""What is verified: files, plain or compressed, read in chunks that end at line ends.

A chunk is read, not mapped: a file that is cut while it is read must not end the verifier. What can be read only
once, such as a pipe, is copied to a file without a name first, because a second look may be needed.
"""

import contextlib
import errno
import glob
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from tallystick import _core
from tallystick.errors import ReportError, reason
from tallystick.verify import streams
from tallystick.verify.rotated import Rotated

__all__ = ["Chunk", "Input", "Unread", "named_envelope", "open_inputs"]

CHUNK = 8 * 2**20  # bytes
_LONGEST = 2**24 + 2**20  # bytes of a line that can still hold a seal, with room for a carrier's prefix
_STDIN = "-"


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


@dataclass(frozen=True, slots=True)
class Unread:
    """What could not be read: a file, or the rest of one from a byte on."""

    path: str
    what: str


class _Bytes(Protocol):
    """Bytes that are asked for from the beginning to the end; what was asked for last may be asked for again."""

    def read(self, offset: int, size: int) -> bytes: ...


class Input:
    """One file, of the size that it had when it was opened: a log may go on growing.

    Attributes:
        size: Bytes of the file on the disk.
        trouble: Why it could not be read to its end, once it was read.
        ends_in_lf: Its last line is whole, once it was read.
        rotated: Parts of lines that it shares with other files, once it was read.
    """

    def __init__(self, path: str, envelope: "_core.Envelope | None" = None, *, chunk: int | None = None) -> None:
        """Open a file.

        Raises:
            OSError: It is not there or cannot be read.
        """
        self.path, self.number, self.trouble, self.ends_in_lf = path, 0, "", False
        self.rotated = Rotated()
        self._envelope, self._chunk = envelope, chunk or CHUNK
        self._fd = _open(path)
        try:
            status = os.fstat(self._fd)
            self.identity = (status.st_dev, status.st_ino)
            self.size = status.st_size
            self._compression = streams.compression(os.pread(self._fd, streams.SIGNATURE, 0))
        except BaseException:
            os.close(self._fd)
            raise

    def chunks(self) -> Iterator[Chunk]:
        """Read the file from its beginning."""
        source: _Bytes = _Unpacked(self._fd, self.size) if self._compression else _Plain(self._fd, self.size)
        unwrapper = self.rotated.unwrapper(self._envelope) if self._envelope and self._envelope.unwraps else None
        offset = number = read = 0
        try:
            while True:
                data, end, cut = self._lines(source, offset)
                if not data:
                    break
                self.ends_in_lf = data[end - 1] == 0x0A
                # The begin of a line that was not read whole is no record: what stands behind it would not be told.
                lines = unwrapper.feed(data, end, False) if unwrapper and not cut else None
                start, offset = offset, self._after_long_line(source, offset + end) if cut else offset + end
                before, read = read, source.read_so_far if isinstance(source, _Unpacked) else offset
                yield Chunk(self.number, number, start, data, end, cut, lines, read - before)
                number += 1
        except streams.BROKEN as error:
            self.trouble = self._trouble(error, offset)
        if unwrapper:
            yield Chunk(self.number, number, offset, b"", 0, False, unwrapper.feed(b"", 0, True), 0)
            self.rotated.note(unwrapper)
        if not self._compression and offset < self.size and not self.trouble:
            self.trouble = f"it became shorter while it was read: {offset} of {self.size} bytes were left"

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def excerpt(self, offset: int, size: int) -> bytes:
        """Read bytes of the file as it stands on the disk; fewer only at its end."""
        return _Plain(self._fd, self.size).read(offset, size)

    def excerpts(self, offsets: Iterable[int], size: int) -> dict[int, bytes]:
        """Read the beginnings of the lines at some offsets, as far as they can be read once more."""
        found: dict[int, bytes] = {}
        with contextlib.suppress(*streams.BROKEN):
            self._excerpts(sorted(set(offsets)), size, found)
        return found

    def _excerpts(self, wanted: list[int], size: int, found: dict[int, bytes]) -> None:
        if not self._compression:
            source = _Plain(self._fd, self.size)
            for offset in wanted:
                found[offset] = source.read(offset, size).split(b"\n", 1)[0]
            return
        for chunk in self.chunks():
            while wanted and wanted[0] < chunk.offset + chunk.end:
                at = wanted.pop(0)
                found[at] = chunk.data[max(0, at - chunk.offset) :][:size].split(b"\n", 1)[0]
            if not wanted:
                break

    def _trouble(self, error: Exception, offset: int) -> str:
        if isinstance(error, OSError) and error.strerror:
            return f"{reason(error)} behind byte {offset}"
        return f"its {self._compression} data is damaged behind byte {offset} of what it holds: {str(error).lower()}"

    def _lines(self, source: _Bytes, offset: int) -> tuple[bytes, int, bool]:
        want = self._chunk
        while True:
            data = source.read(offset, want)
            end = data.rfind(b"\n") + 1
            if end or len(data) < want:
                return data, end or len(data), False
            if want > _LONGEST:
                # Fields of the journal may be as long as that; they are read piece by piece.
                pieces = self._envelope is not None and self._envelope.takes_pieces
                return (data, len(data), False) if pieces else (data, 4096, True)
            want *= 4

    def _after_long_line(self, source: _Bytes, offset: int) -> int:
        while data := source.read(offset, self._chunk):
            if (found := data.find(b"\n")) >= 0:
                return offset + found + 1
            offset += len(data)
        return offset


class _Plain:
    """Bytes as they stand in a file."""

    def __init__(self, fd: int, size: int) -> None:
        self._fd, self._size = fd, size

    def read(self, offset: int, size: int) -> bytes:
        """Read bytes at an offset; fewer only at the end."""
        size = min(size, self._size - offset)
        data = os.pread(self._fd, size, offset) if size > 0 else b""
        while data and len(data) < size and (more := os.pread(self._fd, size - len(data), offset + len(data))):
            data += more
        return data


class _Unpacked:
    """Bytes of a compressed file. What went wrong is raised when all before it was read."""

    def __init__(self, fd: int, size: int) -> None:
        self.read_so_far = 0
        self._fd = fd
        self._blocks = streams.blocks(self._next, size)
        self._held, self._begin = b"", 0
        self._error: Exception | None = None

    def read(self, offset: int, size: int) -> bytes:
        """Read at least so many bytes at an offset not before the one of the last call; fewer only at the end."""
        parts = [self._held[offset - self._begin :]]
        missing = size - len(parts[0])
        while missing > 0 and self._error is None:
            try:
                parts.append(next(self._blocks))
            except StopIteration:
                break
            except streams.BROKEN as error:
                self._error = error
                break
            missing -= len(parts[-1])
        # One copy of each byte: whoever decompresses is the slowest.
        self._held, self._begin = b"".join(parts), offset
        if not self._held and self._error is not None:
            raise self._error
        return self._held

    def _next(self, size: int) -> bytes:
        data = os.pread(self._fd, size, self.read_so_far)
        self.read_so_far += len(data)
        return data


def named_envelope(kind: str | None, field: str | None) -> "_core.Envelope | None":
    """Return the envelope of a kind, with the JSON field that holds the lines; a field alone means JSON.

    Raises:
        FormatError: There is no such kind, or it takes no field.
    """
    return _core.Envelope(kind or "json", field) if kind or field else None


def open_inputs(
    paths: Iterable[str], envelope: "_core.Envelope | None" = None, *, chunk: int | None = None
) -> tuple[list[Input], list[Unread]]:
    """Open files, each once even if it is named twice, in the order of their names.

    Args:
        paths: Files, directories (all files in them, at any depth), patterns with `*`, `?` and `[…]`, or `-` for
            standard input.
        envelope: What carriers wrapped the lines in.
        chunk: Bytes of a chunk, if not `CHUNK`.

    Returns:
        The inputs, and what could not be opened.

    Raises:
        ReportError: None can be read, or there is none.
    """
    inputs: list[Input] = []
    unread: list[Unread] = []
    seen: set[tuple[int, int]] = set()
    for path in sorted(_expanded(paths, unread)):
        try:
            new = Input(path, envelope, chunk=chunk)
        except OSError as error:
            unread.append(Unread(path, f"{reason(error)}; {_advice(error)}"))
            continue
        if new.identity in seen:
            new.close()
            continue
        seen.add(new.identity)
        new.number = len(inputs)
        inputs.append(new)
    if not inputs:
        first = f"{unread[0].path}: {unread[0].what}" if unread else "there is nothing to verify; name a file"
        raise ReportError(first)
    return inputs, unread


def _expanded(paths: Iterable[str], unread: list[Unread]) -> Iterator[str]:
    """Give the files that are meant; what is not there is unread."""
    for path in dict.fromkeys(paths):
        if os.path.isdir(path):
            held = list(_files(path, unread))
            if not held:
                unread.append(Unread(path, "there is no file in this directory; name another one"))
            yield from held
        elif path != _STDIN and not os.path.lexists(path) and glob.has_magic(path):
            found = glob.glob(path, recursive=True)
            if not found:
                unread.append(Unread(path, "no file has such a name; check the pattern"))
            yield from _expanded(found, unread)
        else:
            yield path


def _files(directory: str, unread: list[Unread]) -> Iterator[str]:
    def tell(error: OSError) -> None:
        unread.append(Unread(str(error.filename), f"{reason(error)}; {_advice(error)}"))

    for place, _, names in os.walk(directory, onerror=tell):
        for name in names:
            path = os.path.join(place, name)
            # What is no file cannot hold a log; a link that leads nowhere may have.
            if os.path.isfile(path) or not os.path.exists(path):
                yield path


def _open(path: str) -> int:
    """Open what can be read more than once."""
    if path == _STDIN:
        fd = os.dup(sys.stdin.fileno() if sys.stdin is not None else 0)
    else:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISREG(mode):
            return fd
        if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or path == _STDIN):
            raise OSError(errno.EISDIR, "this is no file")
        return _copied(fd)
    except BaseException:
        os.close(fd)
        raise


def _copied(fd: int) -> int:
    """Copy what can be read only once to a file without a name, and close it."""
    os.set_blocking(fd, True)
    with tempfile.TemporaryFile() as copy, open(fd, "rb", closefd=False) as pipe:
        shutil.copyfileobj(pipe, copy, 2**20)
        copy.flush()
        kept = os.dup(copy.fileno())
    os.close(fd)
    return kept


def _advice(error: OSError) -> str:
    return {
        errno.ENOENT: "check the name",
        errno.EACCES: "run this as someone who may read it",
        errno.EISDIR: "name a file",
        errno.ENOSPC: "make room for a copy of what comes from the pipe, or name a place with TMPDIR",
    }.get(error.errno or 0, "look into the system's log")

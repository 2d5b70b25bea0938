"""The bytes of an input, layer upon layer: as they stand in a file, a part of them, unpacked, decoded.

Every layer is read from the beginning to the end; what was asked for last may be asked for again, and a layer that
cannot go back begins again. So one sweep over all members of an archive unpacks it once.

>>> import gzip, tempfile
>>> with tempfile.TemporaryFile() as file:
...     size = file.write(gzip.compress(b"first line\\nsecond line\\n"))
...     file.flush()
...     whole = Unpacked(Plain(file.fileno(), size), size)
...     whole.read(0, 10), Window(whole, 11, 6).read(0, 100)
(b'first line\\nsecond line\\n', b'second')
"""

import os
from collections.abc import Callable, Iterator
from typing import Protocol

from tallystick.verify import streams

__all__ = ["Bytes", "Plain", "Stream", "Unpacked", "Window"]


class Bytes(Protocol):
    """Bytes that are asked for from the beginning to the end."""

    @property
    def reached(self) -> int:
        """Up to which byte the file on the disk, or the member of an archive, was read."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Read bytes at an offset not before that of the last call: at least so many; fewer only at the end."""
        ...


class Plain:
    """Bytes as they stand in a file. These can be read at any offset."""

    def __init__(self, fd: int, size: int, seen: Callable[[int, bytes], None] | None = None) -> None:
        """Take an open file, how much of it is meant, and what is given each piece that is read, with its offset."""
        self._fd, self._size, self._seen = fd, size, seen
        self.reached = 0

    def read(self, offset: int, size: int) -> bytes:
        """Read bytes at an offset; fewer only at the end."""
        size = min(size, self._size - offset)
        data = os.pread(self._fd, size, offset) if size > 0 else b""
        while data and len(data) < size and (more := os.pread(self._fd, size - len(data), offset + len(data))):
            data += more
        if self._seen is not None:
            self._seen(offset, data)
        self.reached = max(self.reached, offset + len(data))
        return data

    def after_hole(self, offset: int) -> int:
        """Return where the first bytes at or after an offset stand that are on the disk; the end if none are."""
        if offset >= self._size:
            return offset
        try:
            return min(os.lseek(self._fd, offset, os.SEEK_DATA), self._size)
        except OSError as error:
            # No data up to the end, or a file system that does not know.
            return self._size if error.errno == 6 else offset


class Window:
    """A part of other bytes, as if it were all of them."""

    def __init__(self, under: Bytes, start: int, size: int) -> None:
        """Take the bytes, and which of them are meant."""
        self._under, self._start, self._size = under, start, size
        self.reached = 0

    def read(self, offset: int, size: int) -> bytes:
        """Read bytes at an offset; fewer only at the end."""
        size = min(size, self._size - offset)
        if size <= 0:
            return b""
        data = self._under.read(self._start + offset, size)[:size]
        self.reached = max(self.reached, offset + len(data))
        return data


class Stream:
    """Bytes that come in blocks, one after the other. What went wrong is raised when all before it was read."""

    def __init__(self, begin: Callable[[], Iterator[bytes]], reached: Callable[[], int]) -> None:
        """Take what gives the blocks from the beginning, and what says how far that got in what is under them."""
        self._begin_anew, self._reached = begin, reached
        self._blocks = begin()
        self._held, self._begin = b"", 0
        self._error: Exception | None = None

    @property
    def reached(self) -> int:
        """Up to which byte what is under the stream was read."""
        return self._reached()

    def read(self, offset: int, size: int) -> bytes:
        """Read at least so many bytes at an offset; fewer only at the end."""
        if offset < self._begin:
            self._blocks = self._begin_anew()
            self._held, self._begin, self._error = b"", 0, None
        while offset > self._begin + len(self._held):
            self._begin += len(self._held)
            self._held = self._next()
            if not self._held:
                if self._error is not None:
                    raise self._error
                return b""
        parts = [self._held[offset - self._begin :]]
        missing = size - len(parts[0])
        while missing > 0 and (block := self._next()):
            parts.append(block)
            missing -= len(block)
        # One copy of each byte: the thread that decompresses is the slowest.
        self._held, self._begin = b"".join(parts), offset
        if not self._held and self._error is not None:
            raise self._error
        return self._held

    def _next(self) -> bytes:
        """Return the next block that is not empty; none at the end, or where something went wrong."""
        while self._error is None:
            try:
                if block := next(self._blocks):
                    return block
            except StopIteration:
                break
            except streams.BROKEN as error:
                self._error = error
        return b""


class Unpacked(Stream):
    """What was compressed into other bytes."""

    def __init__(self, under: Bytes, size: int, threads: int = 0) -> None:
        """Take the bytes, how many of them are meant, and `threads` as `streams.blocks` takes them."""
        at = 0

        def more(most: int) -> bytes:
            nonlocal at
            data = under.read(at, most)[:most]
            at += len(data)
            return data

        def begin() -> Iterator[bytes]:
            nonlocal at
            at = 0
            return streams.blocks(more, size, threads)

        super().__init__(begin, lambda: at)

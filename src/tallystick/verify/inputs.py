"""What is verified: files, read in chunks that end at line ends.

A chunk is read, not mapped: a file that is cut while it is read must not end the verifier.
"""

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tallystick.errors import ReportError, reason

__all__ = ["Chunk", "Input"]

CHUNK = 8 * 2**20  # bytes
_LONGEST = 2**24 + 2**20  # bytes of a line that can still hold a seal, with room for a carrier's prefix


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole lines of a file: the first `end` bytes of `data`, at `offset` in the file.

    `cut` says that the last line was too long to be read whole.
    """

    file: int
    number: int
    offset: int
    data: bytes
    end: int
    cut: bool


class Input:
    """One file, of the size that it had when it was opened: a log may go on growing."""

    def __init__(self, path: str, number: int) -> None:
        """Open a file.

        Raises:
            ReportError: It is not there, no regular file, or cannot be read.
        """
        self.path, self.number = path, number
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as error:
            raise ReportError(f"{path}: {reason(error)}; {_advice(error)}") from error
        status = os.fstat(self._fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._fd)
            what = (
                "a directory; name its files" if stat.S_ISDIR(status.st_mode) else "not a regular file; copy it first"
            )
            raise ReportError(f"{path}: this is {what}")
        self.size = status.st_size
        self.identity = (status.st_dev, status.st_ino)

    def chunks(self) -> Iterator[Chunk]:
        """Read the file from its beginning."""
        offset = number = 0
        while offset < self.size:
            data, end, cut = self._lines(offset)
            if not data:
                return  # the file was cut after it was opened; what is gone will be missed
            yield Chunk(self.number, number, offset, data, end, cut)
            offset = self._after_long_line(offset + end) if cut else offset + end
            number += 1

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def excerpt(self, offset: int, size: int) -> bytes:
        """Read some bytes at an offset."""
        return self._read(offset, size)

    def _lines(self, offset: int) -> tuple[bytes, int, bool]:
        want = CHUNK
        while True:
            data = self._read(offset, want)
            end = data.rfind(b"\n") + 1
            if end or offset + len(data) >= self.size:
                return data, end or len(data), False
            if want > _LONGEST:
                return data, 4096, True
            want *= 4

    def _after_long_line(self, offset: int) -> int:
        while data := self._read(offset, CHUNK):
            if (found := data.find(b"\n")) >= 0:
                return offset + found + 1
            offset += len(data)
        return offset

    def _read(self, offset: int, size: int) -> bytes:
        size = min(size, self.size - offset)
        try:
            data = os.pread(self._fd, size, offset)
            while data and len(data) < size and (more := os.pread(self._fd, size - len(data), offset + len(data))):
                data += more
        except OSError as error:
            raise ReportError(f"{self.path}: {reason(error)} at byte {offset}") from error
        return data


def open_inputs(paths: Iterable[str]) -> list[Input]:
    """Open files, each once even if it is named twice.

    Raises:
        ReportError: One cannot be read, or there is none.
    """
    inputs: list[Input] = []
    seen: set[tuple[int, int]] = set()
    try:
        for path in paths:
            new = Input(path, len(inputs))
            if new.identity in seen:
                new.close()
                continue
            seen.add(new.identity)
            inputs.append(new)
    except BaseException:
        for opened in inputs:
            opened.close()
        raise
    if not inputs:
        raise ReportError("there is nothing to verify; name at least one file")
    return inputs


def _advice(error: OSError) -> str:
    return {
        errno.ENOENT: "check the name",
        errno.EACCES: "run this as someone who may read it",
        errno.EISDIR: "name its files",
    }.get(error.errno or 0, "look into the system's log")

"""The bytes of files, from the first on, and their lines, the last one first.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as directory:
...     with open(f"{directory}/audit.log", "w") as file:
...         _ = file.write("one\\ntwo\\nthr")
...     list(lines_of(Place.of(f"{directory}/audit.log"), "audit.log"))
[b'thr', b'two', b'one']
"""

import errno
import os
from collections.abc import Iterator
from contextlib import suppress

from tallystick.securefile import Place, RefusedError

__all__ = ["blocks", "lines_backwards", "lines_of", "read"]

_BLOCK = 65_536  # bytes
_LONGEST = 2**25  # bytes of a line; a longer one is no line of ours


def read(fd: int, size: int, offset: int) -> bytes:
    """Return bytes of a file; none where it may only be written."""
    import fcntl

    if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY:
        return b""
    return os.pread(fd, size, offset)


def blocks(fd: int, size: int) -> Iterator[bytes]:
    """Give the beginning of a file in blocks.

    Raises:
        OSError: It cannot be read, or is shorter.
    """
    offset = 0
    while offset < size:
        data = os.pread(fd, min(_BLOCK, size - offset), offset)
        if not data:
            raise OSError(errno.EIO, "it became shorter")
        yield data
        offset += len(data)


def lines_of(place: Place | None, name: str) -> Iterator[bytes]:
    """Give the lines of a file beside a log that may not be there, the last one first."""
    if place is None:
        return
    with suppress(OSError, RefusedError):
        fd = place.open(name)
        try:
            yield from lines_backwards(fd)
        finally:
            os.close(fd)


def lines_backwards(fd: int) -> Iterator[bytes]:
    end, rest = os.fstat(fd).st_size, b""
    first = True
    while end > 0:
        start = max(0, end - _BLOCK)
        block = read(fd, end - start, start)
        if not block:
            return  # it may only be written
        lines = (block + rest).split(b"\n")
        first = False
        yield from reversed(lines[1:])  # what stands before the first LF may begin earlier
        rest, end = lines[0], start
        if len(rest) > _LONGEST:
            return
    if rest and not first:
        yield rest

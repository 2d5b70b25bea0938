"""The bytes of a file that is open: written whole, read where they are to stay, overwritten.

>>> import tempfile
>>> with tempfile.TemporaryFile() as file:
...     write_all(file.fileno(), b"secret")
...     wipe(file.fileno())
...     file.seek(0), file.read()
(0, b'\\x00\\x00\\x00\\x00\\x00\\x00')
"""

import os

__all__ = ["fill", "wipe", "write_all"]


def write_all(fd: int, data: bytes | bytearray) -> None:
    """Write all bytes to a descriptor."""
    with memoryview(data) as view:  # a head must not be copied
        at = 0
        while at < len(view):
            at += os.write(fd, view[at:])


def fill(fd: int, data: bytearray) -> None:
    """Fill an array from a descriptor; it becomes shorter if the file has become shorter."""
    at = 0
    with memoryview(data) as view:
        while at < len(view) and (count := os.readv(fd, [view[at:]])):
            at += count
    if at < len(data):
        del data[at:]


def wipe(fd: int) -> None:
    """Overwrite the content of a file with zeros, durably."""
    size = os.fstat(fd).st_size
    zeros = bytes(min(size, 65536))
    at = 0
    while at < size:
        at += os.pwrite(fd, zeros[: size - at], at)
    getattr(os, "fdatasync", os.fsync)(fd)  # macOS has no fdatasync

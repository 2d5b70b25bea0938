"""The file on the disk that holds something, and how it is seen that it was not touched.

A change of a file changes its times, unless somebody writes to the disk itself or sets the clock. So a file whose size
and times are the same holds the same, if its times were old enough when it was read: within one tick of the file
system's clock two changes have the same time.

>>> one = Holder(1, 2, 0, 11, 3, 4, True)
>>> other = Holder(1, 2, 0, 12, 9, 9, True)
>>> one.is_untouched(one), one.is_untouched(other), one.is_file(other), one.has_grown(other)
(True, False, True, True)
"""

import fcntl
import hashlib
import os
import struct
from dataclasses import astuple, dataclass
from typing import Any

__all__ = ["TICK", "Holder"]

_GENERATION = 0x80087601  # FS_IOC_GETVERSION
TICK = 100_000_000  # ns: more than one tick of any kernel's clock
_COARSE = 2_100_000_000  # ns: file systems that count whole seconds, or every other one
_SECOND = 1_000_000_000  # ns


@dataclass(frozen=True, slots=True)
class Holder:
    """A file, as it was just before it was read.

    Args:
        device: Number of its device.
        inode: Its number there.
        generation: Tells two files apart that had that number one after the other; 0 where nobody says.
        size: Its bytes.
        written: When it was written last, ns since 1970.
        changed: When anything about it was changed last, ns since 1970.
        settled: Whether any later change must show in its times.
    """

    device: int
    inode: int
    generation: int
    size: int
    written: int
    changed: int
    settled: bool

    @classmethod
    def of_file(cls, fd: int, now: int) -> "Holder":
        """Return what an open file is like.

        Args:
            fd: Its descriptor.
            now: A time before, ns since 1970.
        """
        status = os.fstat(fd)
        written, changed = status.st_mtime_ns, status.st_ctime_ns
        tick = TICK if written % _SECOND or changed % _SECOND else _COARSE
        settled = now - max(written, changed) > tick
        return cls(status.st_dev, status.st_ino, _generation(fd), status.st_size, written, changed, settled)

    @classmethod
    def of_list(cls, values: list[Any]) -> "Holder":
        """Return the holder that `to_list` gave."""
        *numbers, settled = values
        device, inode, generation, size, written, changed = map(int, numbers)
        return cls(device, inode, generation, size, written, changed, settled is True)

    def to_list(self) -> list[Any]:
        """Return its values."""
        return list(astuple(self))

    @property
    def key(self) -> str:
        """What the file is known by, in hexadecimal."""
        return hashlib.sha256(f"{self.device}:{self.inode}:{self.generation}".encode()).hexdigest()

    def is_file(self, other: "Holder") -> bool:
        """Are they the same file?"""
        mine, others = ((one.device, one.inode, one.generation) for one in (self, other))
        return mine == others

    def is_untouched(self, now: "Holder") -> bool:
        """Was the file not touched since, as far as its times tell?"""
        times = ((one.size, one.written, one.changed) for one in (self, now))
        return self.settled and self.is_file(now) and next(times) == next(times)

    def has_grown(self, now: "Holder") -> bool:
        """Is the file longer now?"""
        return self.is_file(now) and now.size > self.size


def _generation(fd: int) -> int:
    """Return the generation of an inode; 0 where the file system does not say."""
    try:
        return int(struct.unpack_from("=I", fcntl.ioctl(fd, _GENERATION, bytes(8)))[0])
    except OSError:
        return 0

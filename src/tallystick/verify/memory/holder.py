"""What holds something, a file or an object, and how it is seen that it was not touched.

A change of a file changes its times, unless somebody writes to the disk itself or sets the clock. So a file whose size
and times are the same holds the same, if its times were old enough when it was read: within one tick of the file
system's clock two changes have the same time.

>>> one = Holder(1, 2, 0, 11, 3, 4, True)
>>> other = Holder(1, 2, 0, 12, 9, 9, True)
>>> one.is_untouched(one), one.is_untouched(other), one.is_file(other), one.has_grown(other)
(True, False, True, True)
"""

import hashlib
import os
import struct
from dataclasses import astuple, dataclass, field
from typing import Any, TypeAlias

from tallystick.verify.marks import settled

__all__ = ["AnyHolder", "Holder", "Stored", "of_list"]

_GENERATION = 0x80087601  # FS_IOC_GETVERSION


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
        is_settled = settled(written, changed, now)
        return cls(status.st_dev, status.st_ino, _generation(fd), status.st_size, written, changed, is_settled)

    def to_list(self) -> list[Any]:
        """Return its values."""
        return list(astuple(self))

    @property
    def key(self) -> str:
        """What the file is known by, in hexadecimal."""
        return hashlib.sha256(f"{self.device}:{self.inode}:{self.generation}".encode()).hexdigest()

    def is_file(self, other: "AnyHolder") -> bool:
        """Are they the same file?"""
        return isinstance(other, Holder) and (self.device, self.inode, self.generation) == (
            other.device,
            other.inode,
            other.generation,
        )

    def is_untouched(self, now: "AnyHolder") -> bool:
        """Was the file not touched since, as far as its times tell?"""
        return (
            self.settled
            and isinstance(now, Holder)
            and self.is_file(now)
            and (self.size, self.written, self.changed) == (now.size, now.written, now.changed)
        )

    def has_grown(self, now: "AnyHolder") -> bool:
        """Is the file longer now?"""
        return self.is_file(now) and now.size > self.size


@dataclass(frozen=True, slots=True)
class Stored:
    """An object in object storage: its contents never change, but another object may come to have its name.

    Args:
        url: Its URL.
        size: Its bytes, as its store says.
        etag: What its store tells its contents by; empty where it does not say.
        changed: When it was put there, ns since 1970, by the store's clock.
        version: Number of its version; empty where the store does not say.
    """

    url: str
    size: int
    etag: str
    changed: int
    version: str = field(default="", compare=False)

    def to_list(self) -> list[Any]:
        """Return its values."""
        return list(astuple(self))

    @property
    def key(self) -> str:
        """What the object is known by, in hexadecimal."""
        return hashlib.sha256(self.url.encode("utf-8", "surrogateescape")).hexdigest()

    def is_untouched(self, now: "AnyHolder") -> bool:
        """Is the same object there, as far as its store says?"""
        versions = {self.version, now.version} - {""} if isinstance(now, Stored) else set()
        return self == now and len(versions) <= 1

    def has_grown(self, now: "AnyHolder") -> bool:
        """Objects do not grow."""
        return False


AnyHolder: TypeAlias = Holder | Stored


def of_list(values: list[Any]) -> AnyHolder:
    """Return what `to_list` gave."""
    if isinstance(values[0], str):
        url, size, etag, changed, version = values
        return Stored(str(url), int(size), str(etag), int(changed), str(version))
    *numbers, settled = values
    device, inode, generation, size, written, changed = map(int, numbers)
    return Holder(device, inode, generation, size, written, changed, settled is True)


def _generation(fd: int) -> int:
    """Return the generation of an inode; 0 where the file system does not say."""
    try:
        import fcntl

        return int(struct.unpack_from("=I", fcntl.ioctl(fd, _GENERATION, bytes(8)))[0])
    except (ImportError, OSError):
        return 0

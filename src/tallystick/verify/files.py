"""Files on the disk: held open, or opened again when they are read, so that any number of them can be read.

What can be read only once, such as a pipe, is copied to a file without a name first, because a second look may be
needed. Of the files that are not held, one is open at a time.
"""

import contextlib
import errno
import os
import select
import shutil
import stat
import sys
import tempfile
import time
from typing import IO, cast

from tallystick.securefile import opened
from tallystick.verify.digest import Digest
from tallystick.verify.layers import Plain
from tallystick.verify.paths import STDIN

__all__ = ["File", "Pool", "most_held"]

_MOST = 4096  # files that are held, whatever the limit
_SPARE = 24  # descriptors for all else: key stores, copies of pipes, the report
SILENCE = 30.0  # seconds for which nothing may come out of a pipe that has a name
_DESCRIPTORS = ("/dev/fd/", "/proc/")  # what is below these was opened by somebody, such as a shell's <(…)


def most_held() -> int:
    """Return how many files may be held open, by the limit of this process and what it has open."""
    try:
        import resource
    except ImportError:  # a system without such limits has others
        return _SPARE
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _MOST
    try:
        used = len(os.listdir("/proc/self/fd"))
    except OSError:
        used = _SPARE
    return max(0, min(_MOST, (soft - used - _SPARE) // 2))


class Pool:
    """Keeps the file open that was read last, of those that are not held."""

    def __init__(self) -> None:
        self._last: File | None = None

    def take(self, file: "File") -> None:
        """Let go of the file before."""
        if self._last is not None and self._last is not file:
            self._last.park()
        self._last = file


class File:
    """One file, of the size that it had when it was last looked at: a log may go on growing.

    Attributes:
        path: Its path, as it was when it was last looked at.
        identity: Its device and inode.
        size: Its bytes.
        digest: Takes the SHA-256 of what is read, where that is wanted.
        generation: Grows each time it is opened: what was made for its descriptor before is of no use any more.
    """

    def __init__(self, path: str, pool: Pool, *, named: bool, held: bool) -> None:
        """Open a file.

        Args:
            path: Its path, or `-` for standard input.
            pool: Shared by all files of a run.
            named: It was named by itself, so that a pipe is read.
            held: Keep it open, since it may be moved or removed.

        Raises:
            OSError: It is not there or cannot be read.
        """
        self.path, self._pool, self._held, self.generation = path, pool, held, 0
        self.digest: Digest | None = None
        self._fd: int | None
        self._fd, self.is_copy = _open(path, named=named)
        try:
            status = os.fstat(self._fd)
        except BaseException:
            os.close(self._fd)
            raise
        self.identity, self.size = (status.st_dev, status.st_ino), status.st_size
        if not (held or self.is_copy):
            pool.take(self)

    def descriptor(self) -> int:
        """Return a descriptor that is good until another file is read.

        Raises:
            OSError: It cannot be opened again, or another file stands there now.
        """
        if self._fd is None:
            fd, _ = _open(self.path, named=False)
            status = os.fstat(fd)
            if (status.st_dev, status.st_ino) != self.identity:
                os.close(fd)
                raise OSError(errno.ESTALE, "it was moved or replaced before it was read")
            self._fd = fd
            self.generation += 1
            self._pool.take(self)
        return self._fd

    def bytes(self, *, counted: bool = True) -> Plain:
        """Return what it holds, good until another file is read; `counted` bytes go into the digest.

        Raises:
            OSError: It cannot be opened again.
        """
        seen = self.digest.take if self.digest is not None and counted else None
        return Plain(self.descriptor(), self.size, seen)

    @property
    def is_open(self) -> bool:
        """Is it open now?"""
        return self._fd is not None

    def park(self) -> None:
        """Close the file for now, unless it is held."""
        if self._fd is not None and not (self._held or self.is_copy):
            os.close(self._fd)
            self._fd = None

    def hold(self) -> bool:
        """Keep it open from now on; was it not held before?

        Raises:
            OSError: It cannot be opened again.
        """
        self.descriptor()
        held, self._held = self._held, True
        return not held

    def release(self) -> None:
        """Hold it no longer."""
        self._held = False
        self.park()

    def look(self, size: int | None) -> None:
        """Take the size that the file has now.

        Args:
            size: Its size as the directory has it, for a file that is not open.
        """
        if self._fd is not None and not self.is_copy:
            self.size = os.fstat(self._fd).st_size
        elif size is not None:
            self.size = size

    def size_now(self) -> int:
        """Return how many bytes it has by now; as far as it was read, if it is gone."""
        try:
            status = os.fstat(self._fd) if self._fd is not None else os.stat(self.path)
        except OSError:
            return self.size
        return status.st_size if (status.st_dev, status.st_ino) == self.identity else self.size

    def close(self) -> None:
        """Close the file."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _open(path: str, *, named: bool) -> tuple[int, bool]:
    """Open what can be read more than once; says whether it is a copy."""
    if path == STDIN:
        fd = os.dup(sys.stdin.fileno() if sys.stdin is not None else 0)
    else:
        fd = opened(path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISREG(mode):
            return fd, path == STDIN
        if not named or not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or path == STDIN):
            raise OSError(errno.EISDIR, "this is no file")
        # Somebody who can make a pipe must not hold a run up for ever; of standard input the caller knows.
        has_name = stat.S_ISFIFO(mode) and path not in (STDIN, "/dev/stdin") and not path.startswith(_DESCRIPTORS)
        return _copied(fd, SILENCE if has_name else None), True
    except BaseException:
        with contextlib.suppress(OSError):  # a copy has closed it
            os.close(fd)
        raise


def _copied(fd: int, silence: float | None) -> int:
    """Copy what can be read only once to a file without a name, and close it."""
    os.set_blocking(fd, True)
    try:
        made = tempfile.TemporaryFile()  # noqa: SIM115
    except FileNotFoundError:  # its text names no remedy
        raise OSError(errno.ENOSPC, "no directory for temporary files can be written") from None
    with made as copy, open(fd, "rb", closefd=False) as pipe:
        shutil.copyfileobj(cast("IO[bytes]", _Patient(fd, silence)) if silence else pipe, copy, 2**20)
        copy.flush()
        kept = os.dup(copy.fileno())
    os.close(fd)
    return kept


class _Patient:
    """Reads a pipe as long as something comes."""

    def __init__(self, fd: int, silence: float) -> None:
        self._fd, self._silence = fd, silence

    def read(self, size: int) -> bytes:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        until = time.monotonic() + self._silence
        if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
            raise OSError(errno.ETIMEDOUT, f"nothing came out of this pipe for {self._silence:g} s")
        return os.read(self._fd, size)

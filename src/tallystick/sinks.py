"""Where sealed lines go: a file, or a stream such as a pipe.

A sink never loses the place of a line: what the operating system did not take stays here and goes first at the
next write, so an index is bound to its bytes (spec section 6).

>>> import os, pathlib, tempfile
>>> with tempfile.TemporaryDirectory() as directory:
...     sink = open_sink(os.path.join(directory, "audit.log"))
...     sink.write(b"one line\\n")
...     sink.sync()
...     sink.close()
...     pathlib.Path(directory, "audit.log").read_bytes()
b'one line\\n'
"""

import errno
import fcntl
import os
import stat
import struct
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Protocol

from tallystick import _private
from tallystick.errors import SealError, reason

__all__ = ["FileSink", "Sink", "StreamSink", "open_sink"]


class Sink(Protocol):
    """Takes sealed lines in the order in which they were sealed."""

    name: str

    def write(self, data: bytes) -> None:
        """Hand bytes to the operating system, all of them.

        Raises:
            SealError: It did not take them all; the rest is kept and goes first at the next write.
        """
        ...

    def sync(self) -> None:
        """Return when what was written is as safe as this kind of sink can make it; a head may count it then.

        Raises:
            SealError: It cannot be made safe.
        """
        ...

    def drain(self) -> None:
        """The same, right before the writer leaves.

        Raises:
            SealError: It cannot be made safe.
        """
        ...

    def tail(self) -> Iterator[bytes]:
        """Give the lines that are there already, the last one first; that one may not be whole."""
        ...

    def close(self) -> None:
        """Let go of the file. What could not be written is lost with it."""
        ...


class _Descriptor:
    """Bytes to a file descriptor, with nothing lost on the way."""

    def __init__(self, fd: int, name: str) -> None:
        self.name = name
        self._fd = fd
        self._kept = b""

    def write(self, data: bytes) -> None:
        rest = memoryview(self._kept + data if self._kept else data)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except BlockingIOError:
            os.set_blocking(self._fd, True)
            self._kept = b""
            self.write(bytes(rest))
            return
        except OSError as error:
            self._kept = bytes(rest)
            raise SealError(f"{self.name}: {reason(error)}; {_advice(error)}") from error
        self._kept = b""

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class FileSink(_Descriptor):
    """A regular file, appended to."""

    def __init__(self, fd: int, name: str) -> None:
        super().__init__(fd, name)
        size = os.fstat(fd).st_size
        # A file that does not end in LF gets one before `open` (spec section 6).
        if size and os.pread(fd, 1, size - 1) != b"\n":
            self._kept = b"\n"

    def sync(self) -> None:
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            raise SealError(f"{self.name}: {reason(error)}; the lines may not be on the disk") from error

    drain = sync

    def tail(self) -> Iterator[bytes]:
        end, rest = os.fstat(self._fd).st_size, b""
        first = True
        while end > 0:
            start = max(0, end - 65_536)
            lines = (os.pread(self._fd, end - start, start) + rest).split(b"\n")
            first = False
            yield from reversed(lines[1:])  # what stands before the first LF may begin earlier
            rest, end = lines[0], start
            if len(rest) > 2**25:
                return
        if rest and not first:
            yield rest


class StreamSink(_Descriptor):
    """A pipe, a socket or a terminal: nobody can sync it, so the head follows one interval behind."""

    INTERVAL = 0.5  # seconds

    def __init__(self, fd: int, name: str) -> None:
        super().__init__(fd, name)
        self._draining = threading.Event()

    def sync(self) -> None:
        self._draining.wait(self.INTERVAL)

    def drain(self) -> None:
        # Whoever waits in `sync` has nothing left to wait for.
        self._draining.set()
        deadline = time.monotonic() + self.INTERVAL
        while time.monotonic() < deadline and self._waiting():
            time.sleep(0.002)
        self._draining.clear()

    def _waiting(self) -> bool:
        """Has the reader of a pipe yet to take what was written?"""
        if not stat.S_ISFIFO(os.fstat(self._fd).st_mode):
            return False
        count: int = struct.unpack("i", fcntl.ioctl(self._fd, termios.FIONREAD, bytes(4)))[0]
        return count > 0

    def tail(self) -> Iterator[bytes]:
        return iter(())


def open_sink(output: str | os.PathLike[str] | int) -> Sink:
    """Open where sealed lines go.

    Args:
        output: A path, which is appended to and made if it is not there; or an open file descriptor, which stays
            the caller's to close.

    Raises:
        SealError: It cannot be written.
    """
    if isinstance(output, int):
        name = "standard output" if output == 1 else f"file descriptor {output}"
        fd = _copy(output, name)
    else:
        name = os.fspath(output)
        fd = _open(name)
    return FileSink(fd, name) if stat.S_ISREG(os.fstat(fd).st_mode) else StreamSink(fd, name)


def _open(path: str) -> int:
    # Readable too: the end of the file says whether it is older than the key store, or cut within a line.
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
    try:
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(os.stat(path).st_mode):
                return os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY)
            return os.open(path, flags, 0o640)
        fd = os.open(path, flags, 0o640)
        # A head counts lines of a new file only where the file's name is as safe as they are.
        with suppress(OSError):
            _private.sync_directory(os.path.dirname(path) or ".")
        return fd
    except OSError as error:
        raise SealError(f"{path}: {reason(error)}; {_advice(error)}") from error


def _copy(fd: int, name: str) -> int:
    try:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            # Descriptors of a shell's redirection may be write-only or without append: both are needed here.
            return os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        return os.dup(fd)
    except OSError as error:
        raise SealError(f"{name}: {reason(error)}; {_advice(error)}") from error


def _advice(error: OSError) -> str:
    return {
        errno.ENOSPC: "make room there",
        errno.EDQUOT: "make room there",
        errno.EFBIG: "raise the limit of the size of files (ulimit -f)",
        errno.EROFS: "choose a place that can be written",
        errno.EACCES: "choose a place that can be written",
        errno.EISDIR: "name a file",
        errno.ENOENT: "make its directory first",
        errno.ENOTDIR: "name a place in a directory",
        errno.EPIPE: "the reader is gone",
    }.get(error.errno or 0, "look into the system's log")

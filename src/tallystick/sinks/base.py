"""What every sink can do, and what only files can.

A sink never loses the place of a line: bytes that the operating system did not take stay pending in its `output` and
go first, so an index is bound to its bytes (spec section 6).

>>> 0 < now() < 2**53
True
"""

import errno
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Protocol, runtime_checkable

from tallystick import _core
from tallystick.errors import OutputError, SealError, reason
from tallystick.sinks.shipping import Shipped

__all__ = ["Awaited", "Descriptor", "Followed", "Sink", "advice", "now"]

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def now() -> int:
    """Return the time as statements claim it: ms since 1970."""
    return max(0, min(time.time_ns() // 1_000_000, 2**53 - 1))


class Sink(Protocol):
    """Takes sealed lines in the order in which they were sealed."""

    name: str
    output: _core.Output

    def push(self) -> None:
        """Hand over all bytes that are pending in the output.

        Raises:
            OutputError: They were not taken now; they stay, and may be taken later.
            SealError: They were not taken, and never will be.
        """
        ...

    def sync(self) -> None:
        """Return when the bytes written so far are as safe as this kind of sink can make them; a head may count them.

        Raises:
            SealError: They cannot be made safe.
        """
        ...

    def drain(self, within: float) -> None:
        """Do the same where nothing is sealed until it is done: before the writer leaves, or opens the next chain.

        Args:
            within: Seconds for which a sync of another thread is waited for.

        Raises:
            SealError: They cannot be made safe, or not in time.
        """
        ...

    def close(self) -> None:
        """Let go of the output. Bytes that are pending are lost with it."""
        ...

    def forget(self) -> None:
        """In a forked child: let go of its copy, and wait for nothing; the output is its parent's."""
        ...


@runtime_checkable
class Awaited(Sink, Protocol):
    """A sink with a reader that may take its time: a stream."""

    def hurry(self, until: float) -> None:
        """Wait for the reader until a moment of the monotonic clock at most; signal handlers may call it."""
        ...


@runtime_checkable
class Followed(Sink, Protocol):
    """A sink that others may move, cut or remove, that the writer may rotate, and that holds earlier lines: a file."""

    kept_for: float | None
    """Seconds for which rotated files are kept, where an archive sees to that."""

    def look(self, *, reopen: bool) -> list[str]:
        """See what others did to the output, before the next line; open it again by its name if it moved.

        Args:
            reopen: Open it again in any case.

        Returns:
            Notices for the log.

        Where the new file cannot be opened, lines go on in the old one as long as that has a name.

        Raises:
            OutputError: Lines have nowhere to go now.
            SealError: Lines that were written cannot be made safe.
        """
        ...

    def shipped(self) -> Sequence[Shipped]:
        """Return which rotated files are in an archive since this was asked last; the log says so, and each is done."""
        ...

    def due_in(self) -> float | None:
        """Return after how many seconds it is time for `rotate`, or None."""
        ...

    def rotate(self, chain: int) -> list[str]:
        """Begin a new file.

        Args:
            chain: The newest chain with lines in the old file; it is closed.

        Returns:
            Notices for the log.

        Raises:
            OutputError: There is no new file; lines go on in the old one.
            SealError: Lines that were written cannot be made safe.
        """
        ...

    def tail(self) -> Iterator[bytes]:
        """Give the lines that are there already, the last one first; lines at ends of files may not be whole."""
        ...

    def sealed_lines(self) -> Iterator[bytes]:
        """Give the lines with a seal near the end of the file, or of what the writer rotated, the last one first."""
        ...

    def newest_chain(self, log_id: str) -> int:
        """Return the highest chain of a log with which one of the newest rotated files begins, or 0."""
        ...

    @property
    def repaired(self) -> bool:
        """Did the file end within a line, which gets its line end before the next one?"""
        ...

    @property
    def place(self) -> str:
        """Where the file is, for people."""
        ...


class Descriptor:
    """Bytes to a file descriptor, with nothing lost on the way."""

    returns = False
    """May its reader come back after it has gone?"""

    returning = frozenset[int]()
    """Errors of a write, besides those of a full disk, after which it may work again."""

    def __init__(self, fd: int, name: str) -> None:
        """Take a descriptor, which is the sink's from now on, and what messages call it."""
        self.name = name
        self._fd = fd
        self.output = _core.Output(fd)

    def push(self) -> None:
        """Hand over the pending bytes; see `Sink.push`."""
        while number := self.output.push():
            if number == errno.EAGAIN:
                os.set_blocking(self._fd, True)
            elif number != errno.EINTR:
                raise self._failed(OSError(number, os.strerror(number)))

    def _failed(self, error: OSError) -> SealError:
        for_now = error.errno in _FULL | self.returning or (error.errno == errno.EPIPE and self.returns)
        made = (OutputError if for_now else SealError)(f"{self.name}: {reason(error)}", hint=advice(error))
        made.__cause__ = error
        return made

    def forget(self) -> None:
        """In a forked child: close its copy of the descriptor; pending bytes are its parent's to write."""
        with suppress(RuntimeError):  # a thread that is not there was in the middle of writing them
            self.output.close()
        self._close()

    def close(self) -> None:
        """Close the descriptor, once."""
        self.output.close()
        self._close()

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def advice(error: OSError) -> str:
    """Return what to do about an error of the operating system, as the hint of an error."""
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
        errno.ELOOP: "remove the links that lead in a circle",
        errno.ENXIO: "name a file, a pipe, or standard output as -",
        errno.ESTALE: "see what became of the file on its server",
    }.get(error.errno or 0, "look into the system's log")

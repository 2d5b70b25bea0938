"""Lines of several processes in one pipe.

The kernel keeps the bytes of a write together up to `PIPE_BUF` (4,096), and beyond that as long as the pipe has room.
So the pipe is made as large as it may be. Where it was full all the same while several processes wrote long lines into
it, these may be torn: pieces of one stand in another. The bytes do not show that, only that it may have happened.

>>> reading, writing = os.pipe()
>>> widen(reading) >= 65_536
True
"""

import fcntl
import os
import select
from contextlib import suppress

from tallystick.cli.writing import standing

__all__ = ["Mixed", "widen"]

_ATOMIC = select.PIPE_BUF


def widen(fd: int) -> int:
    """Make a pipe as large as the system lets its user; return its size in bytes."""
    with suppress(OSError, ValueError), open("/proc/sys/fs/pipe-max-size", encoding="ascii") as file:
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, int(file.read()))
    try:
        return fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)
    except OSError:
        return 65_536


class Mixed:
    """Notices when lines of several processes may have been torn.

    State: how large the pipe is, and whether that was reported.
    Invariant: it is reported once; a pipe that one process writes is never meant.
    """

    def __init__(self, fd: int) -> None:
        """Take the reading end of a pipe."""
        self._fd, self._nearly_full = fd, widen(fd) * 3 // 4
        self._was_full = self._is_reported = False

    def look(self) -> None:
        """See how full the pipe is; called before it is read."""
        self._was_full = not self._is_reported and standing(self._fd) >= self._nearly_full

    def report(self, data: bytes) -> str | None:
        """Return what is to be reported of bytes that were read, None where nothing is."""
        if not self._was_full or max(map(len, data.split(b"\n"))) <= _ATOMIC:
            return None
        count = _writers(self._fd)
        if count < 2:
            return None
        self._is_reported = True
        return (
            f"{count} processes write lines of more than {_ATOMIC} bytes into one pipe, which was full: from here on "
            "such lines may be torn, with pieces of one in another; let each process have a log of its own"
        )


def _writers(fd: int) -> int:
    """Return how many processes that we may look at can write into a pipe."""
    pipe, count = os.readlink(f"/proc/self/fd/{fd}"), 0
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        with suppress(OSError):
            count += int(pid) != os.getpid() and any(
                os.readlink(f"/proc/{pid}/fd/{each}") == pipe for each in os.listdir(f"/proc/{pid}/fd")
            )
    return count

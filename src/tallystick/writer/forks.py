"""What a writer and its forked children know of each other.

Descriptors and lease are not shared across a fork: a child's copies are closed at once. What is shared is a page of
memory, in which the writer notes whether it wrote since and whether it has let go of the log, and a socket, by which
children report how many records they had to refuse. Neither holds a secret, and neither gives a right: only the lease
does.

>>> writer = Forks("payments")
>>> writer.begin_fork()
>>> child = writer.inherit()
>>> child.refuse(1, ValueError("busy"))
>>> writer.due_in(), writer.news()[0].split(" of process ")[0]
(0.0, 'a record')
>>> writer.let_go()
"""

import mmap
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from tallystick.errors import ONE_WRITER, LogBusyError, explain

__all__ = ["Forks", "Inheritance", "Process"]

_HOLDS, _CLOSES, _LET_GO = range(3)
_PAGE = struct.Struct("=QB")  # after how many forks the writer wrote something, and which of these three
_REPORT = struct.Struct("=IQ")  # pid of a child, and how many records it has refused so far
_LOOK_AGAIN = 1.0  # seconds after which reports of children are looked for
_MOST_NAMED = 20  # children whose first refused record the log names
_MOST_COUNTED = 10_000  # children whose refused records are counted

_LEAVING = 2.0  # seconds that a parent which wrote nothing since has to end: a daemon's parent is about to
_CLOSING = 6.0  # seconds that a parent has which closes the log
_LOOK = 0.01  # seconds between two looks at a parent
_AGAIN = 1.0  # seconds after which a lease that was refused is asked for again


@dataclass(frozen=True, slots=True)
class Process:
    """A process of this host, known again even if another one gets its number.

    Args:
        pid: Its number.
        began: When it began, as the kernel counts; None where that is not known.
    """

    pid: int
    began: str | None

    @classmethod
    def ourselves(cls) -> Self:
        """Return this process."""
        found = _stat("self")
        return cls(os.getpid(), found[19] if found else None)

    @property
    def is_alive(self) -> bool:
        """Does it live? A process of which nothing can be seen counts as gone: the lease decides what that is worth."""
        if self.began is None:
            with suppress(PermissionError):
                try:
                    os.kill(self.pid, 0)
                except ProcessLookupError:
                    return False
            return True
        found = _stat(str(self.pid))
        return found is not None and found[19] == self.began and found[0] not in "ZX"


def _stat(pid: str) -> list[str] | None:
    """Return what the kernel says of a process after its name: its state first, and when it began as the twentieth."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            words = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return words if len(words) > 19 else None


class Forks:
    """The part of a writer that its forked children see, and what they report to it.

    State: the shared page, the two ends of the socket, and how many records each child has refused.
    Invariant: what children say is numbers, so nothing of theirs comes into the log but these. Used under the turn.
    """

    def __init__(self, name: str) -> None:
        """Begin; `name` is that of the log."""
        self._name = name
        self._page = mmap.mmap(-1, _PAGE.size)
        ends = socket.socketpair(socket.AF_UNIX, getattr(socket, "SOCK_SEQPACKET", socket.SOCK_DGRAM))
        for end in ends:
            end.setblocking(False)
        # Numbers, not objects: one that ends later must not close what has its number then.
        self._mine, self._theirs = (end.detach() for end in ends)
        self._ourselves = Process.ourselves()
        self._writes = 0
        self._has_forked = self._is_forking = self._is_closed = False
        self.is_unwritten = False
        """Has the process forked, and written nothing since?"""
        self._refused: dict[int, int] = {}
        self._unsaid: list[int] = []

    def begin_fork(self) -> None:
        """Note that the process forks now."""
        self._has_forked = self.is_unwritten = self._is_forking = True

    def end_fork(self) -> None:
        """Note that it has forked."""
        self._is_forking = False

    def wrote(self) -> None:
        """Note that a record is written: children that were forked before must not take the log over from now on."""
        if self.is_unwritten:
            self.is_unwritten = False
            self._writes += 1
            self._say(_HOLDS)

    def begin_closing(self) -> None:
        """Note that only what closes the chain follows."""
        self._say(_CLOSES)

    def let_go(self) -> None:
        """Note that somebody else may have the lease now."""
        if not self._is_closed:
            self._say(_LET_GO)
            self._is_closed = True
            os.close(self._mine)
            os.close(self._theirs)

    def inherit(self) -> "Inheritance":
        """Return what a forked child has of it; called once, in that child, or in its place."""
        # Where C code forked, nothing was noted before, and so nobody knows whether the parent has written since.
        writes = self._writes if self._is_forking else None
        return Inheritance(self._name, self._ourselves, self._page, writes, os.dup(self._theirs))

    def forget(self) -> None:
        """In a forked child: close its copies."""
        if not self._is_closed:
            self._is_closed = True
            os.close(self._mine)
            os.close(self._theirs)

    def due_in(self) -> float | None:
        """Return the seconds until reports of children are to be looked for, or None."""
        if not self._has_forked or self._is_closed:
            return None
        self._hear()
        return 0.0 if self._unsaid else _LOOK_AGAIN

    def news(self) -> list[str]:
        """Return what the log has to say of children that have refused a record for the first time."""
        self._hear()
        said, self._unsaid = self._unsaid, []
        return [
            f"a record of process {pid}, which was forked from this one, was refused, and is not in the log; "
            f"{ONE_WRITER}"
            for pid in said
        ]

    def last_news(self) -> list[str]:
        """Return what the log has to say before it is closed: how many records children refused in all."""
        said = self.news()
        if count := sum(self._refused.values()):
            of = "1 forked process" if len(self._refused) == 1 else f"{len(self._refused)} forked processes"
            records = "1 record" if count == 1 else f"{count} records"
            said.append(f"in all {records} of {of} {'was' if count == 1 else 'were'} refused, and not in the log then")
            self._refused = {}
        return said

    def _say(self, state: int) -> None:
        _PAGE.pack_into(self._page, 0, self._writes, state)

    def _hear(self) -> None:
        """Take the reports that have come."""
        report = bytearray(_REPORT.size)
        while not self._is_closed:
            try:
                if (
                    os.readv(self._mine, [report]) != _REPORT.size
                ):  # under eventlet, os.read waits for bytes in any case
                    return
            except OSError:
                return
            pid, count = _REPORT.unpack(report)
            if pid not in self._refused and len(self._refused) < _MOST_NAMED:
                self._unsaid.append(pid)
            if pid in self._refused or len(self._refused) < _MOST_COUNTED:
                self._refused[pid] = max(count, self._refused.get(pid, 0))


class Inheritance:
    """What a forked child has of its parent's log, until it takes the log over.

    State: when to ask for the lease again, and how many records were refused meanwhile.
    Invariant: it gives no right to write; it only says whether it is worth asking for the lease. A child of the
    child begins with a count of its own.
    """

    def __init__(self, name: str, parent: Process, page: mmap.mmap, writes: int | None, way: int) -> None:
        """Begin.

        Args:
            name: The name of the log.
            parent: The process that had the log open.
            page: The page that it shares.
            writes: What stood there when it forked, None where that is not known.
            way: A descriptor by which refused records are reported; closed when the log is taken over.
        """
        self.parent = parent
        self._name, self._page, self._writes = name, page, writes
        self._way, self._is_way = way, os.fstat(way)
        self._begin()

    def _begin(self) -> None:
        self._pid, self._lock = os.getpid(), threading.RLock()
        self._is_asked, self._may_wait, self._again = False, True, 0.0
        self.refused, self.since, self.why = 0, 0.0, ""

    def take_over(self, take: Callable[[], None], count: int) -> None:
        """Take the log over, unless that cannot be; one thread at a time.

        Args:
            take: Opens the log.
            count: The number of records that wait for that.

        Raises:
            LogBusyError: The parent has the log, or somebody else, or this thread is taking it over already.
            TallystickError: The log cannot be opened.
        """
        if self._pid != os.getpid():
            self._begin()
        with self._lock:
            try:
                if self._is_asked:
                    raise self._busy("is being opened")
                self._is_asked = True
                try:
                    self._check()
                    self._again = time.monotonic() + _AGAIN
                    take()
                finally:
                    self._is_asked = False
            except Exception as error:
                self.refuse(count, error)
                raise

    def refuse(self, count: int, error: Exception) -> None:
        """Count records that are refused, and report that to the parent."""
        if not self.refused:
            self.since, self.why = time.time(), explain(error)
        self.refused += count
        with suppress(OSError):
            if self._has_way():
                with socket.socket(fileno=os.dup(self._way)) as way:
                    way.setblocking(False)  # for sockets of gevent and eventlet, which wait by themselves
                    way.send(_REPORT.pack(self._pid, self.refused), socket.MSG_NOSIGNAL)

    def close(self) -> None:
        """Close the descriptor; the log was taken over."""
        with suppress(OSError):
            if self._has_way():
                os.close(self._way)

    def _has_way(self) -> bool:
        """Is the descriptor ours? A daemon closes all that it finds, and another file may have the number now."""
        return os.path.samestat(os.fstat(self._way), self._is_way)

    def _check(self) -> None:
        """Raise LogBusyError unless the parent is gone, or has let go of the log without writing to it since.

        A parent that is about to end, as that of a daemon is, is waited for, once.
        """
        began, may_wait, self._may_wait = time.monotonic(), self._may_wait, False
        while (state := self._seen()[1]) != _LET_GO and self.parent.is_alive:
            patience = _CLOSING if state == _CLOSES else _LEAVING * (not self._has_written())
            if not may_wait or time.monotonic() - began >= patience:
                raise self._busy(f"belongs to process {self.parent.pid}")
            time.sleep(_LOOK)
        if self._has_written() and self.parent.is_alive:
            raise self._busy(f"was written by process {self.parent.pid} after that forked this one")
        if time.monotonic() < self._again:
            raise self._busy("could not be opened a moment ago")

    def _has_written(self) -> bool:
        """Has the parent written since the fork? Where that is not known, it has."""
        return self._seen()[0] != self._writes

    def _seen(self) -> tuple[int, int]:
        writes, state = _PAGE.unpack_from(self._page)
        return writes, state

    def _busy(self, what: str) -> LogBusyError:
        return LogBusyError(f"log {self._name} {what}; a forked child cannot write it", hint=ONE_WRITER)

"""Lines to a pipe, a socket or a terminal.

>>> reading, writing = os.pipe()
>>> sink = StreamSink(writing, "the pipe")
>>> sink.output.put(b"one line\\n")
>>> sink.push()
>>> os.read(reading, 100)
b'one line\\n'
>>> sink.close()
>>> os.close(reading)
"""

import errno
import math
import os
import select
import stat
import struct
import threading
import time

from tallystick.errors import OutputError
from tallystick.sinks.base import Descriptor

_AT_ONCE = 4096  # bytes that a pipe takes without waiting when it takes any: PIPE_BUF

__all__ = ["StreamSink"]


class StreamSink(Descriptor):
    """A pipe, a socket or a terminal: nobody can sync it, so the head follows one interval later.

    Args:
        fd: Its descriptor, which is the sink's from now on.
        name: What messages call it.
        returns: May its reader come back, as that of a named pipe may?
    """

    INTERVAL = 0.5  # seconds

    def __init__(self, fd: int, name: str, *, returns: bool = False) -> None:
        super().__init__(fd, name)
        self.returns = returns
        self._draining = threading.Event()
        self._until = math.inf

    def hurry(self, until: float) -> None:
        """Wait for the reader until a moment of the monotonic clock at most; signal handlers may call it."""
        self._until = min(self._until, until)

    def push(self) -> None:
        """Hand over the pending bytes; see `Sink.push`."""
        while self._until == math.inf:
            number = self.output.push()  # waits for the reader, until a signal comes
            if number == 0:
                return
            if number == errno.EAGAIN:
                os.set_blocking(self._fd, True)
            elif number != errno.EINTR:
                raise self._failed(OSError(number, os.strerror(number)))
        self._push_in_time()

    def _push_in_time(self) -> None:
        self.output.close()  # from now on bytes stay there when lines are sealed: that must not wait either
        while data := self.output.peek():
            if not _has_room(self._fd, max(0.0, self._until - time.monotonic())):
                raise OutputError(f"{self.name}: its reader takes nothing", hint="see what has become of it")
            try:
                self.output.drop(os.writev(self._fd, [data[:_AT_ONCE]]))  # eventlet's os.write tries for ever
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._failed(error) from error

    def sync(self) -> None:
        """Wait for an interval."""
        self._draining.wait(self.INTERVAL)

    def drain(self, within: float) -> None:
        """Wait until the reader of a pipe has taken all, for an interval at most."""
        deadline = time.monotonic() + min(self.INTERVAL, within)
        while self._waiting():
            if time.monotonic() >= deadline:
                return
            time.sleep(0.002)
        # A thread that waits in `sync` has nothing left to wait for.
        self._draining.set()
        self._draining.clear()

    def _waiting(self) -> bool:
        """Has the reader of a pipe yet to take bytes that were written?"""
        import fcntl
        import termios

        if not stat.S_ISFIFO(os.fstat(self._fd).st_mode):
            return False
        count: int = struct.unpack("i", fcntl.ioctl(self._fd, termios.FIONREAD, bytes(4)))[0]
        return count > 0


def _has_room(fd: int, seconds: float) -> bool:
    """Wait until a descriptor takes bytes, so long at most; return whether it does."""
    if not hasattr(select, "poll"):  # eventlet takes it away, and gives way to its greenlets here
        return bool(select.select([], [fd], [], seconds)[1])
    room = select.poll()
    room.register(fd, select.POLLOUT)
    return bool(room.poll(seconds * 1000))

"""The common part of `seal` and `run`: signals that are handled at once, and a log that can be asked to end.

While a disk is full the writer waits for room. A request to leave then ends it in bounded time: after some seconds,
or at once if it comes again.
"""

import fcntl
import os
import signal
import struct
import termios
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Self

from tallystick import _core
from tallystick.cli.output import complain
from tallystick.errors import SealError, TallystickError
from tallystick.log import Log

__all__ = ["Writing", "hear", "standing"]

_PATIENCE = 5.0  # seconds for which a leaving writer may wait for room: less than docker's 10 until SIGKILL


def hear(numbers: Iterable[int], heard: Callable[[int, FrameType | None], None]) -> None:
    """Set a handler for signals; those that are ignored stay ignored, as under nohup."""
    for number in numbers:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, heard)


class Writing:
    """A log that lines go to, as a splitter wants it, until it is asked to leave.

    `woken` is a descriptor that becomes readable when a signal comes or the log has trouble, for a loop that waits for
    several things.
    """

    def __init__(self) -> None:
        """Make it before the log is opened: signals may come meanwhile."""
        _core.refuse_dumps()
        self.log: Log | None = None
        self.failure: TallystickError | None = None
        self.woken, self._waking = os.pipe()
        os.set_blocking(self.woken, False)
        os.set_blocking(self._waking, False)
        signal.set_wakeup_fd(self._waking, warn_on_full_buffer=False)
        self._asked: list[float] = []
        self._since: float | None = None
        signal.signal(signal.SIGALRM, self._tick)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the clock: when Python leaves it takes our handlers away, and the alarm would kill us."""
        signal.setitimer(signal.ITIMER_REAL, 0)

    def write_lines(self, data: bytes) -> int:
        """Seal whole lines.

        Raises:
            SealError: They could not be sealed, or lines before them could not: it is over.
        """
        with self._sealing() as log:
            return log.write_lines(data)

    def notice(self, kind: str, text: str) -> None:
        """Have the log itself say something.

        Raises:
            SealError: As for `write_lines`.
        """
        with self._sealing() as log:
            log.notice(kind, text)

    @contextmanager
    def _sealing(self) -> Iterator[Log]:
        assert self.log is not None
        if self.failure is not None:
            raise self.failure
        self._since = time.monotonic()
        try:
            yield self.log
        except TallystickError as error:
            self.failure = error  # the clock runs on: to close the log must not take any longer
            raise
        self._since = None

    def trouble(self, message: str) -> None:
        """Report trouble of the log, and wake the loop that waits for lines: the log may have stopped."""
        complain(message)
        with suppress(BlockingIOError):
            os.write(self._waking, b"\0")

    def wake(self) -> None:
        """Take note of having been woken.

        Raises:
            SealError: The log has stopped.
        """
        with suppress(BlockingIOError):
            os.read(self.woken, 4096)
        if self.log is not None and self.log.stopped:
            self.failure = self.failure or SealError(self.log.stopped)
            raise self.failure

    def reopen(self) -> None:
        """Have the output file reopened by its name; for signal handlers."""
        if self.log is not None:
            self.log.reopen()

    def leave(self) -> None:
        """Ask to leave; for signal handlers."""
        self._asked.append(time.monotonic())
        if len(self._asked) > 1:
            self._give_up()
        else:
            # Repeated: later lines must not wait any longer either.
            signal.setitimer(signal.ITIMER_REAL, 1, 1)

    def asked_after(self, moment: float) -> bool:
        """Was it asked to leave after a moment of the monotonic clock?"""
        return bool(self._asked) and self._asked[-1] > moment

    def last(self) -> None:
        """From now on the log is closed: that must not wait any longer than a line."""
        self._since = time.monotonic()

    def _tick(self, _: int, __: FrameType | None) -> None:
        # Only a waiting writer gives up: a service that takes its time to end may go on writing.
        if self._since is not None and time.monotonic() - self._since >= _PATIENCE:
            self._give_up()

    def _give_up(self) -> None:
        if self.log is not None:
            self.log.give_up()


def standing(fd: int) -> int:
    """Return how many bytes are in a pipe, a socket or a terminal; 0 where that is unknown."""
    try:
        count: int = struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))[0]
    except OSError:
        return 0
    return count

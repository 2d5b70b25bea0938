"""The common part of `seal` and `run`: signals that are handled at once, and a log that can be asked to end.

While a disk is full the writer waits for room. A request to leave then ends it in bounded time: after some seconds,
or at once if it comes again.
"""

import fcntl
import os
import select
import signal
import struct
import termios
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any, Self

from tallystick import _core
from tallystick.cli.output import complain
from tallystick.cli.waiting import Waiting
from tallystick.errors import LogBusyError, SealError, TallystickError
from tallystick.log import Log, open_origin
from tallystick.sinks.rotation import Rotation
from tallystick.writer.opening import Taken, take_lease
from tallystick.writer.origin import Origin
from tallystick.writer.parts import Settings

__all__ = ["Writing", "hear", "standing"]

PATIENCE = 5.0  # seconds for which a leaving writer may wait for room: less than docker's 10 until SIGKILL
_NOTICES = 100  # that the log has to say once it is open, the newest
_BRIEFLY = 3.0  # seconds for which it goes on waiting for another writer to end


def hear(numbers: Iterable[int], heard: Callable[[int, FrameType | None], None]) -> None:
    """Set a handler for signals; those that are ignored stay ignored, as under nohup."""
    for number in numbers:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, heard)


class Writing:
    """A log that lines go to, as a splitter wants it, until it is asked to leave.

    While another writer has the log, lines are held, up to a bound; they go first once that one has ended. `woken` is a
    descriptor that becomes readable when a signal comes, the log has trouble, or it was waited for long enough: for a
    loop that waits for several things.
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
        self._stack = ExitStack()
        self._waiting: Waiting | None = None
        self._notices: deque[tuple[str, str]] = deque(maxlen=_NOTICES)
        self._opened: Callable[[], None] = lambda: None
        signal.signal(signal.SIGALRM, self._tick)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the log, and stop the clock: Python takes our handlers away at its end, and the alarm would kill us."""
        try:
            if self._waiting is not None:
                self._waiting.abandon()
            self._stack.__exit__(kind, error, trace)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def open(
        self,
        name: str,
        *,
        output: str | int,
        store: str | None,
        wait: float | None,
        rotation: Rotation | None = None,
        user: str | None = None,
        mixed: bool = False,
        adopt: bool = False,
        opened: Callable[[], None] = lambda: None,
        **options: Any,
    ) -> None:
        """Open the log, or wait for it while another writer has it.

        Args:
            name: The log.
            output: As for `open_log`.
            store: As for `open_log`.
            wait: Seconds to wait; None to be refused at once.
            rotation: As for `open_log`.
            user: As for `open_log`.
            mixed: As for `open_log`.
            adopt: As for `open_log`.
            opened: Called when the log is open.
            options: The fields of `Settings`, but for `on_trouble`.

        Raises:
            LogBusyError: Another writer has it, and nobody waits.
            TallystickError: As for `open_log`.
        """
        settings = Settings(on_trouble=self.trouble, **options)
        origin = Origin(name, output, store, settings.custody, rotation, user, mixed=mixed, adopt=adopt)
        self._how, self._opened = (origin, settings), opened
        origin.prepare(self.trouble)
        try:
            taken = take_lease(origin.store, name, settings.custody)
        except LogBusyError as error:
            if wait is None:
                raise
            self._waiting = Waiting(origin.store, error, wait, name, settings, self._knock)
            return
        self._begin(taken)

    def _begin(self, taken: Taken) -> None:
        waiting, self._waiting = self._waiting, None
        try:
            origin, settings = self._how
            origin.have(taken)
            self.log = self._stack.enter_context(open_origin(origin, settings))
        except BaseException:
            self._waiting = waiting  # it knows how much is lost
            raise
        if waiting is not None:
            self.log.note_dropped(waiting.dropped)
        self._opened()
        while self._notices:
            self.log.notice(*self._notices.popleft())
        for data in waiting.hand_over() if waiting is not None else ():
            self.write_lines(data)

    @property
    def is_full(self) -> bool:
        """Are so many lines held that no more are to be read?"""
        return self._waiting is not None and self._waiting.is_full

    @property
    def unsealed(self) -> int:
        """How many lines were held or dropped for a log that never opened."""
        return 0 if self._waiting is None else self._waiting.lines

    def write_lines(self, data: bytes) -> int:
        """Seal whole lines, or hold them.

        Raises:
            SealError: They could not be sealed, or lines before them could not: it is over.
        """
        if self.log is None and self.failure is None:
            assert self._waiting is not None
            return self._waiting.hold(data)
        with self._sealing() as log:
            return log.write_lines(data)

    def notice(self, kind: str, text: str) -> None:
        """Have the log itself say something, once it is open.

        Raises:
            SealError: As for `write_lines`.
        """
        if self.log is None and self.failure is None:
            self._notices.append((kind, text))
            return
        with self._sealing() as log:
            log.notice(kind, text)

    @contextmanager
    def _sealing(self) -> Iterator[Log]:
        if self.failure is not None:
            raise self.failure
        assert self.log is not None
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
        self._knock()

    def _knock(self) -> None:
        with suppress(BlockingIOError):
            os.write(self._waking, b"\0")

    def wake(self) -> None:
        """Take note of having been woken.

        Raises:
            SealError: The log has stopped.
            TallystickError: The wait for the log was in vain, or it could not be opened.
        """
        with suppress(BlockingIOError):
            os.read(self.woken, 4096)
        if self.log is None and self.failure is None and self._waiting is not None and self._waiting.is_done:
            try:
                self._begin(self._waiting.taken())
            except TallystickError as error:
                self.failure = error
                raise
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
        """From now on the log is closed: that must not wait any longer than a line.

        Raises:
            TallystickError: Lines are held for a log whose writer does not end, or that could not be opened.
        """
        self._since = time.monotonic()
        while self.log is None and self.failure is None:
            select.select([self.woken], [], [])
            self.wake()
        self._since = time.monotonic()

    def _tick(self, _: int, __: FrameType | None) -> None:
        # Only a waiting writer gives up: a service that takes its time to end may go on writing.
        patience = PATIENCE if self.log is not None else _BRIEFLY
        if self._since is not None and time.monotonic() - self._since >= patience:
            self._give_up()

    def _give_up(self) -> None:
        if self._waiting is not None:
            self._waiting.give_up()
        if self.log is not None:
            self.log.give_up()


def standing(fd: int) -> int:
    """Return how many bytes are in a pipe, a socket or a terminal; 0 where that is unknown."""
    try:
        count: int = struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))[0]
    except OSError:
        return 0
    return count

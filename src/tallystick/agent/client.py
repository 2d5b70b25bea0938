"""A client of the agent: takes lines, sends them, and keeps each until the agent has acknowledged it.

    with Client("unix:/run/tallystick/payments.sock") as client:
        client.write("user=7 action=login")
        client.flush()                            # it is in the log

A line is handed to the operating system in the call that takes it, as long as the agent keeps up. What cannot be sent
waits here, and a thread sends it. That thread connects, reads what the agent says, and sends again what was not
acknowledged.

>>> Client("unix:/run/tallystick/payments.sock", capacity=100).position is None
True
"""

import warnings
from collections.abc import Callable
from threading import get_ident
from types import TracebackType
from typing import Literal, Self

from tallystick.agent.conversation import lines
from tallystick.agent.reach import Reach
from tallystick.agent.sending import Sending
from tallystick.errors import OutputError, SealError, explain, safely
from tallystick.writer import lifecycle

__all__ = ["Client", "WhenFull", "connect"]

WhenFull = Literal["block", "drop", "raise"]

_STATES = {"sealed": 1, "synced": 2}
_MOST = 2**26  # bytes of lines that wait
_TICK = 0.05  # seconds after which it is looked for room that nobody made known
_END = 5.0  # seconds that the end of a process waits for acknowledgements


class Client:
    """Sends lines to an agent; threads, tasks of asyncio and forked processes may share it.

    A forked process begins with nothing, and connects by itself: lines that its parent wrote are its parent's to send.

    State: what is sent, under its lock; what was dropped, and how many threads wait for room.
    """

    def __init__(
        self,
        address: str,
        *,
        capacity: int = 10_000,
        on_full: WhenFull = "block",
        state: Literal["sealed", "synced"] = "sealed",
        on_trouble: Callable[[str], None] | None = None,
        tls_cert: str | None = None,
        tls_key: str | None = None,
        tls_ca: str | None = None,
    ) -> None:
        """Begin; the first line connects, so that an agent may start later than its clients.

        Args:
            address: Where the agent listens: `unix:PATH`, or `tls:HOST:PORT`.
            capacity: How many lines wait at most: for the agent, or for their acknowledgement.
            on_full: What `write` does when so many wait: `block` until there is room, `drop` the line, which is
                reported, or `raise` OutputError.
            state: What is awaited of each line: that it is `sealed` and handed to the operating system, or `synced` to
                the disk, too.
            on_trouble: Called with a message, also from another thread, when something is wrong that `write` does not
                raise; the default warns. Errors of it go to `threading.excepthook`.
            tls_cert: File of our certificate, for `tls:`.
            tls_key: File of its key.
            tls_ca: File of the authorities, one of which must have signed the agent's certificate.

        Raises:
            FormatError: That is no address of an agent that acknowledges.
        """
        if on_full not in ("block", "drop", "raise"):
            raise ValueError(f"on_full is block, drop or raise, not {on_full}")
        if state not in _STATES:
            raise ValueError(f"state is sealed or synced, not {state}")
        if capacity < 1:
            raise ValueError(f"capacity is at least 1, not {capacity}")
        self._reach = Reach(address, tls_cert, tls_key, tls_ca)
        self._capacity, self._on_full, self._state = capacity, on_full, _STATES[state]
        self._report = safely(on_trouble or _warn)
        self._closed = False
        self._begin()
        lifecycle.LOGS.add(self)

    def _begin(self) -> None:
        self._sending = Sending(self._reach, self._state, self._report)
        self._gave_up = False
        self._blocked = self._dropped = 0

    @property
    def closed(self) -> bool:
        """Is it closed?"""
        return self._closed

    @property
    def is_leaving(self) -> bool:
        """Is it closed, or about to be?"""
        return self._closed or self._gave_up

    @property
    def position(self) -> str | None:
        """Position of the last line that was acknowledged, such as `1.0.7`; None before there is one."""
        return self._sending.talk.outbox.position

    def write(self, line: str | bytes) -> None:
        """Send one line; it is kept until it is acknowledged.

        Args:
            line: The line. A line end after it is no part of it, and one inside is written as `\\n` or `\\r`. A line
                that is longer than the agent takes (1 MiB) becomes several.

        Raises:
            OutputError: There is no room for it, and `on_full` is `raise`; or the client is about to be closed.
            SealError: The client is closed.
        """
        data = line if isinstance(line, bytes) else line.encode("utf-8", "backslashreplace")
        sending = self._sending
        with sending.lock:
            if sending.owner == (me := get_ident()):  # a signal handler that interrupted a step of this thread
                sending.late.append(data)
                return
            outbox = sending.talk.outbox
            is_ready = sending.is_running and len(outbox.lines) < self._capacity and outbox.size < _MOST
            if (not is_ready or self._dropped) and not self._make_room(me):
                return
            sending.owner = me
            try:
                sending.take(data)
                while sending.late:
                    sending.take(sending.late.popleft())
            finally:
                sending.owner = 0
        if self._gave_up:
            lifecycle.follow_up()

    def flush(self, wait: float | None = None) -> None:
        """Return when everything that was written before is acknowledged.

        Args:
            wait: Seconds to wait at most; None for as long as it takes.

        Raises:
            SealError: It is not acknowledged by then; or lines of before were lost: they were dropped, or were sent and
                the agent does not remember them.
        """
        left = self._sending.settle(wait, goes_on=lambda: not self._gave_up)
        with self._sending.lock:
            lost, self._sending.talk.lost = self._sending.talk.lost, 0
        if left:
            raise SealError(self._missing(left), hint="see whether the agent runs; lines go on waiting")
        if lost:
            raise SealError(f"{lines(lost)} of before that may not be in the log", hint="messages of before say why")

    def close(self, wait: float = _END) -> None:
        """Send the pending lines, and end.

        Args:
            wait: Seconds to wait for acknowledgements at most.

        Raises:
            SealError: Not all lines are acknowledged.
        """
        self.give_up()
        if self._closed:
            return
        left = self._blocked + self._sending.settle(wait, goes_on=lambda: True)
        self._closed = True
        with self._sending.lock:
            self._say_what_was_dropped()
        self._sending.end()
        lifecycle.LOGS.discard(self)
        if left:
            raise SealError(self._missing(left), hint="those that it had taken are in the log, and no others")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except SealError as left:
            if error is None:
                raise
            self._report(explain(left))

    # For `lifecycle`, and for handlers

    is_inherited = False
    """Belongs it to the parent of this process? Never: a forked process begins by itself."""

    @property
    def is_ours(self) -> bool:
        """Is this thread in the middle of a step?"""
        return self._sending.owner == get_ident()

    def give_up(self) -> None:
        """Let nobody wait for room any more."""
        with self._sending.lock:
            self._gave_up = True
            self._sending.changed.notify_all()

    def hold(self, seconds: float) -> bool:
        """Keep other threads from being in the middle of a step; return False if that took too long."""
        return self._sending.lock.acquire(timeout=seconds)

    def let_go(self) -> None:
        """Let them go on."""
        self._sending.lock.release()

    def die_in_child(self) -> None:
        """Begin with nothing in a forked process; the connection is its parent's."""
        self._sending.talk.close()
        self._begin()

    # Under the lock

    def _has_room(self) -> bool:
        outbox = self._sending.talk.outbox
        if outbox.count >= self._capacity or outbox.size >= _MOST:
            return False
        if self._dropped:
            self._say_what_was_dropped()
        return True

    def _make_room(self, me: int) -> bool:
        """Begin in this process if it has to be, and wait for room; return False if the line is dropped.

        Raises:
            TallystickError: As for `write`.
        """
        if self._closed:
            raise SealError("the client is closed", hint="connect again")
        if not self._sending.is_running:
            lifecycle.LOGS.add(self)
            lifecycle.close_at_end()
            self._sending.begin()
        if self._has_room():
            return True
        talk = self._sending.talk
        if self._on_full == "drop" or me in lifecycle.BACKGROUND:
            if not self._dropped:
                talk.report(f"takes no lines, and {talk.outbox.count} wait: more are dropped")
            self._dropped += 1
            talk.lost += 1
            self._sending.wake()
            return False
        if self._on_full == "block":
            self._wait_for_room()
        if self._has_room():
            return True
        raise OutputError(
            f"{self._reach.address} takes no lines, and {talk.outbox.count} wait", hint="see whether the agent runs"
        )

    def _wait_for_room(self) -> None:
        sending = self._sending
        self._blocked += 1
        sending.waiting += 1
        try:
            sending.wake()
            while not (self._gave_up or self._has_room()):
                sending.changed.wait(_TICK)
        finally:
            self._blocked -= 1
            sending.waiting -= 1

    def _say_what_was_dropped(self) -> None:
        if self._dropped:
            self._sending.talk.report(f"took no lines for a while: {lines(self._dropped)} that were dropped")
            self._dropped = 0

    def _missing(self, count: int) -> str:
        return f"{lines(count)} that {self._reach.address} has not acknowledged"


connect = Client
"""Begin to send lines to an agent."""


def _warn(message: str) -> None:
    warnings.warn(f"tallystick: {message}", RuntimeWarning, stacklevel=1)

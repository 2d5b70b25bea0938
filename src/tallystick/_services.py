"""Calls over a network, for key stores and custody: attempts, time, and libraries.

>>> answers = iter([AwayError("is asleep"), "here"])
>>> def ask(seconds):
...     answer = next(answers)
...     if isinstance(answer, AwayError):
...         raise answer
...     return answer
>>> insist(ask, timeout=5)
'here'
"""

import importlib
import ipaddress
import math
import os
import queue
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol, TypeVar

from tallystick.errors import TallystickError

__all__ = ["AwayError", "Line", "insist", "is_here", "library"]

T = TypeVar("T")

_FIRST_PAUSE = 0.05  # seconds before the second attempt, at most; it doubles
_LONGEST_PAUSE = 1.0


class AwayError(Exception):
    """The server did not answer, which may be over at the next attempt. Its text holds no secret."""


def insist(work: Callable[[float], T], timeout: float, between: Callable[[], None] = lambda: None) -> T:
    """Do some work, again and again while the server is away, until the time is over.

    Args:
        work: Does it within so many seconds; an AwayError says that another attempt may succeed.
        timeout: Seconds that all attempts may take.
        between: Called after each attempt that failed.

    Raises:
        AwayError: That of the last attempt.
    """
    until = time.monotonic() + timeout
    longest = _FIRST_PAUSE
    while True:
        try:
            return work(max(0.0, until - time.monotonic()))
        except AwayError:
            between()
            pause = random.uniform(longest / 2, longest)  # so that many writers do not come back all at once
            if time.monotonic() + pause + timeout / 4 > until:
                raise
        time.sleep(pause)
        longest = min(longest * 2, _LONGEST_PAUSE)


class _Connection(Protocol):
    def fileno(self) -> int: ...

    def close(self) -> None: ...


C = TypeVar("C", bound=_Connection)


class Line:
    """The connection that a client speaks over, one at a time, so that its calls end in time.

    Client libraries bound each wait for bytes, not a call: a byte now and then would keep them waiting for ever. So
    a thread cuts the connection when the time is over. It lasts as long as the connection, for at the end of the
    interpreter no thread can be started.

    >>> line, (near, far) = Line(), socket.socketpair()
    >>> try:
    ...     with line.within(0.01):
    ...         if not line.open(lambda: near).recv(1):
    ...             raise OSError("the connection broke")
    ... except AwayError as error:
    ...     print(error)
    does not answer in time
    >>> line.close(), near.close(), far.close()
    (None, None, None)
    """

    def __init__(self) -> None:
        self._turn = threading.Condition()
        self._held: socket.socket | None = None  # a descriptor of our own: the owner of the other may close it any time
        self._until = math.inf
        self._watching = False

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Cut the connection if a block takes longer.

        Raises:
            AwayError: The block failed after its time was over.
        """
        before, until = self._until, min(self._until, time.monotonic() + seconds)
        self._set(until)
        try:
            yield
        except Exception:
            if time.monotonic() >= until:
                raise AwayError("does not answer in time") from None
            raise
        finally:
            self._set(before)

    def open(self, connect: Callable[[], C]) -> C:
        """Connect and hold the connection; for blocks of `within`.

        To look up a name and to reach a host that says nothing cannot be cut short. So a thread does it, which is left
        to itself when the time is over.

        Raises:
            TimeoutError: The time is over.
        """
        made = _in_a_thread(connect, self._until)
        with self._turn:
            self._drop()
            self._held = socket.socket(fileno=os.dup(made.fileno()))
            if not self._watching:
                self._watching = _started(self._watch)
        return made

    def close(self) -> None:
        """Let go of the connection; its opener closes it."""
        with self._turn:
            self._drop()
            self._turn.notify_all()

    def forget(self) -> None:
        """In a forked child, where no thread watches: let go of it without a lock that may be held for ever."""
        self._drop()
        self.__init__()  # type: ignore[misc]

    def _set(self, until: float) -> None:
        with self._turn:
            self._until = until
            self._turn.notify_all()

    def _drop(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.close()

    def _watch(self) -> None:
        with self._turn:
            while self._held is not None:
                left = self._until - time.monotonic()
                if left > 0:
                    self._turn.wait(None if left == math.inf else left)
                else:
                    with suppress(OSError):
                        self._held.shutdown(socket.SHUT_RDWR)
                    self._drop()
            self._watching = False


def _in_a_thread(connect: Callable[[], C], until: float) -> C:
    """Connect in a thread; a connection that comes too late is closed."""
    answers: queue.SimpleQueue[C | BaseException] = queue.SimpleQueue()
    turn, left_alone = threading.Lock(), False

    def work() -> None:
        try:
            answer: C | BaseException = connect()
        except BaseException as error:
            answer = error
        with turn:
            if not left_alone:
                answers.put(answer)
            elif not isinstance(answer, BaseException):
                answer.close()

    if not _started(work):
        return connect()
    try:
        answer = answers.get(timeout=None if until == math.inf else max(0.0, until - time.monotonic()))
    except queue.Empty:
        with turn:
            left_alone = True
        if answers.empty():
            raise TimeoutError("no connection within the time") from None
        answer = answers.get()
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _started(work: Callable[[], None]) -> bool:
    """Start a thread; False if that cannot be, as at the end of the interpreter."""
    try:
        threading.Thread(target=work, name="tallystick line", daemon=True).start()
    except RuntimeError:
        return False
    return True


def is_here(host: str) -> bool:
    """Return whether a host is this one by its name: `localhost`, or an address of the loopback.

    >>> [host for host in ("localhost", "127.0.0.9", "::1", "::ffff:127.0.0.1", "127.0.0.1.example") if is_here(host)]
    ['localhost', '127.0.0.9', '::1', '::ffff:127.0.0.1']
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def library(module: str, extra: str, error: type[TallystickError]) -> Any:
    """Import a library at its first use; raise an error if it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise error(
            f"{extra} needs the package {module}", hint=f"install it with: pip install 'tallystick[{extra}]'"
        ) from None

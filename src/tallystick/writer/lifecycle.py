"""Open logs and the forks and ends of their process; every hook for those stands here.

A forked child's copies are dead at once (spec section 3). SIGTERM and the end of the interpreter close chains; a
program that handles SIGTERM itself is left alone. A signal handler that finds its own thread in the middle of a step
lets it come to its end first: it could meet locks that this thread holds. Among green threads it has all done in one of
its own.

>>> with KEY_SETUP:
...     pass                    # keys are derived, and handed to what wipes them in a forked child
"""

import atexit
import importlib
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType, TracebackType
from typing import Protocol

from tallystick.errors import TallystickError, explain
from tallystick.keystore.base import forget_leases
from tallystick.writer.loops import Elsewhere, natives
from tallystick.writer.raised_again import HeldBack, is_raised_again

__all__ = [
    "BACKGROUND",
    "HANDLERS",
    "KEY_SETUP",
    "LOGS",
    "UNDER_WAY",
    "before_end",
    "before_exit",
    "close_at_end",
    "close_on_sigterm",
    "follow_up",
    "forking_for",
    "in_child",
    "was_forked",
]

_PATIENCE = 4.0  # seconds that a fork waits for a line, or for a key, that is on its way
_LAST = -1000  # the priority of what multiprocessing calls last
_LONGEST = 5.0  # seconds that SIGTERM waits for a step of its own thread


class Held(Protocol):
    """Something with a lock, which is held while the process forks."""

    def hold(self, seconds: float) -> bool:
        """Keep other threads from being in the middle of a line; return False if that took too long."""
        ...

    def let_go(self) -> None:
        """Let them go on."""
        ...


class OpenLog(Held, Protocol):
    """The part of a log that this module needs."""

    @property
    def is_ours(self) -> bool:
        """Is this thread in the middle of a step?"""
        ...

    def give_up(self) -> None:
        """Let nobody wait any longer."""
        ...

    def close(self) -> None:
        """Close the chain."""
        ...

    def die_in_child(self) -> None:
        """Be dead from now on: this is the copy of a forked child."""
        ...


class Abandonable(Protocol):
    """Something under way that waits for others."""

    def abandon(self) -> None:
        """Have it fail now."""
        ...


class _KeySetup:
    """Held while keys are unlocked and before the log that wipes them in a child is known; a fork waits for it.

    It is taken before any lock of a log.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def hold(self, seconds: float) -> bool:
        """Take it; return False if that took too long."""
        return self._lock.acquire(timeout=seconds)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(RuntimeError):  # in a child that was forked in the middle of a set-up it is another lock
            self._lock.release()

    def renew(self) -> None:
        """Begin with a new lock: the old one may belong to a thread that is not there in a child."""
        self._lock = threading.RLock()


KEY_SETUP = _KeySetup()
"""Held while keys are set up."""

LOGS: "weakref.WeakSet[OpenLog]" = weakref.WeakSet()
"""The logs that this process has open."""

HANDLERS: "weakref.WeakSet[Held]" = weakref.WeakSet()
"""What writes to logs while it holds a lock: at a fork, its lock is taken before those of logs, as at a line."""

BACKGROUND: set[int] = set()
"""Numbers of the logs' own threads: what such a thread must not wait for, records that arise in it must not either."""

UNDER_WAY: set[Abandonable] = set()
"""Couriers that are under way; a thread that must not wait for one has it fail."""

_forking_since: float | None = None
_handlers_held: list[Held] = []
_held: list[OpenLog] = []
_keys_held: list[bool] = []
_before_end: list[Callable[[], None]] = []
_before_exit: list[Callable[[], object]] = []
_in_child: list[Callable[[], None]] = []
_worker = 0  # pid of the worker of multiprocessing whose end is noticed
_following: list[tuple[int, int]] = []  # a signal, and the thread in whose step it came


def close_on_sigterm() -> None:
    """Have SIGTERM close all logs before it ends the process, where it would have ended it at once, or does at last."""
    with suppress(ValueError):  # this is not the main thread, of which green threads have an idea of their own
        handler = signal.getsignal(signal.SIGTERM)
        if handler is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _terminated)
        elif is_raised_again(handler):
            _held_back.wrap(signal.SIGTERM)


def close_at_end() -> None:
    """Have the end of this process close all logs, where that end can be noticed at all."""
    close_on_sigterm()
    _close_at_end_of_worker()


def before_end(call: Callable[[], None]) -> None:
    """Have something called when SIGTERM ends the process, before logs are closed; once, however often this is asked.

    Args:
        call: What is called, in the main thread and in the middle of no step.
    """
    if call not in _before_end:
        _before_end.append(call)


def before_exit(call: Callable[[], object]) -> None:
    """Have something called when the interpreter ends, before logs are closed and before what was registered so far."""
    _before_exit.append(call)
    atexit.register(call)


def in_child(call: Callable[[], None]) -> None:
    """Have something called in each forked child, after the copies of logs there are dead."""
    _in_child.append(call)


def was_forked() -> None:
    """Do in a child that C code forked what is done in others at once: its copies of logs and leases are dead."""
    _after_fork_in_child()
    forget_leases()


def forking_for() -> float:
    """Return the seconds for which a thread of this process has been forking; 0 where none does."""
    return 0.0 if (since := _forking_since) is None else time.monotonic() - since


def follow_up() -> None:
    """End the process if SIGTERM came in the middle of a step that is over now; logs call this after steps."""
    if _following and _following[-1][1] == threading.get_ident() and not _is_in_step():
        _end(_following.pop()[0])


def _terminated(number: int, _: FrameType | None) -> None:
    if not _elsewhere.has(partial(_terminate, number), partial(os.kill, os.getpid(), number)):
        _terminate(number)


def _terminate(number: int) -> None:
    for log in list(LOGS):
        log.give_up()
    if not _is_in_step():
        _end(number)
    elif not _following:
        _following.append((number, threading.get_ident()))
        # Nothing of `threading`: the thread that we interrupted may hold locks of it.
        start, sleep = natives()
        start(_end_a_step_that_hangs, (sleep,))


def _end_a_step_that_hangs(sleep: Callable[[float], object]) -> None:
    sleep(_LONGEST)
    if _following:
        print("tallystick: a line does not come to its end, and may not be written whole", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)


def _close_at_end_of_worker() -> None:
    # A process of multiprocessing ends without the end of the interpreter, but calls this.
    global _worker
    process, util = (sys.modules.get(f"multiprocessing.{name}") for name in ("process", "util"))
    if process and util and process.parent_process() is not None and _worker != os.getpid():
        _worker = os.getpid()
        util.Finalize(None, _end_of_worker, exitpriority=_LAST)


def _end_of_worker() -> None:
    for call in reversed(_before_exit):
        call()
    _close_at_exit()


def _is_in_step() -> bool:
    return any(log.is_ours for log in list(LOGS))


def _end(number: int) -> None:
    for call in list(_before_end):
        call()
    _close_all()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _close_at_exit() -> None:
    _close_all()
    _held_back.let_through()


def _close_all() -> None:
    for log in list(LOGS):
        try:
            log.close()
        except TallystickError as error:
            print(f"tallystick: {explain(error)}", file=sys.stderr)


def _refuse_sub_interpreters() -> None:
    # What wipes keys, at a fork and at the end, is one for a process; the core is bound to one interpreter.
    for name in ("_interpreters", "_xxsubinterpreters"):
        with suppress(ImportError):
            interpreters = importlib.import_module(name)
            if interpreters.get_current() != interpreters.get_main():
                raise _SubInterpreterError
            return


class _SubInterpreterError(RuntimeError):
    def __init__(self) -> None:
        super().__init__("tallystick cannot be used in a sub-interpreter; import it in the main one, or use processes")


def _before_fork() -> None:
    # With every lock held no thread is in the middle of a line, and a child's copies are whole when they die. A lock
    # that cannot be had in time is one of a thread that waits for a courier, which then fails, or for a disk. Keys are
    # wiped in a child in any case: their pages are marked so.
    global _forking_since
    _forking_since = time.monotonic()
    until = _forking_since + _PATIENCE
    # Another hook may log, and would wait for a handler whose thread waits for a lock of ours.
    _handlers_held[:] = [each for each in list(HANDLERS) if each.hold(max(0.0, until - time.monotonic()))]
    _keys_held.append(_is_held(KEY_SETUP.hold, until))
    _held[:] = [log for log in list(LOGS) if _is_held(log.hold, until)]


def _is_held(hold: Callable[[float], bool], until: float) -> bool:
    if sys.platform != "linux":
        return hold(-1)  # nothing else wipes keys there
    if hold(max(0.0, until - time.monotonic())):
        return True
    for courier in list(UNDER_WAY):
        courier.abandon()
    return hold(0.2)


def _after_fork_in_parent() -> None:
    global _forking_since
    _forking_since = None
    for log in _held:
        log.let_go()
    _held.clear()
    if _keys_held.pop():
        KEY_SETUP.__exit__(None, None, None)
    for handler in _handlers_held:
        handler.let_go()
    _handlers_held.clear()


def _after_fork_in_child() -> None:
    global _forking_since
    _forking_since = None
    for log in list(LOGS):
        log.die_in_child()
    _held.clear()
    _handlers_held.clear()  # `logging` renews their locks
    LOGS.clear()
    _keys_held.clear()
    KEY_SETUP.renew()
    UNDER_WAY.clear()
    BACKGROUND.clear()
    _held_back.let_through()
    _following.clear()
    _elsewhere.renew()
    for call in _in_child:
        call()


_held_back = HeldBack(_close_all)
_elsewhere = Elsewhere()
_refuse_sub_interpreters()
os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
atexit.register(_close_at_exit)

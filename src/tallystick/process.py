"""What becomes of open logs when their process forks or ends.

A forked child's copies are dead at once (spec section 3). SIGTERM and the end of the interpreter close chains; a
program that handles SIGTERM itself is left alone.
"""

import atexit
import importlib
import os
import signal
import sys
import threading
import weakref
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING

from tallystick.errors import TallystickError

if TYPE_CHECKING:
    from tallystick.log import Log

__all__ = ["LOGS", "close_on_sigterm"]

LOGS: "weakref.WeakSet[Log]" = weakref.WeakSet()
"""The logs that this process has open."""

_HELD: "list[Log]" = []


def close_on_sigterm() -> None:
    """Have SIGTERM close all logs before it ends the process, where it would have ended it at once."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminated)


def _terminated(number: int, _: FrameType | None) -> None:
    for log in list(LOGS):
        log.give_up()
    _close_all()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _close_all() -> None:
    for log in list(LOGS):
        try:
            log.close()
        except TallystickError as error:
            print(f"tallystick: {error}", file=sys.stderr)


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
    # With every lock held no thread is in the middle of a line, so a child can wipe its copies.
    _HELD[:] = list(LOGS)
    for log in _HELD:
        log._lock.acquire()


def _after_fork_in_parent() -> None:
    for log in _HELD:
        log._lock.release()
    _HELD.clear()


def _after_fork_in_child() -> None:
    for log in _HELD:
        log._dies_in_child()
        log._lock.release()
    _HELD.clear()
    LOGS.clear()


_refuse_sub_interpreters()
os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
atexit.register(_close_all)

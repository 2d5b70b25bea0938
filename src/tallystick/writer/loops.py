"""Green threads, gevent's and eventlet's, among which a signal handler may find itself.

There it interrupts any of them, or the loop that runs them, within locks that are written in Python. So it takes no
lock: what it asks for is done in a green thread of its own.

>>> Elsewhere().has(print)
False
"""

import _thread
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

__all__ = ["Elsewhere", "longest_rest", "natives"]

_LONGEST_REST = 0.5  # seconds for which eventlet's loop sleeps at most: a signal does not end its sleep
_BEGUN_IN = 1.0  # seconds in which a green thread begins, unless another one keeps the loop from running


class Elsewhere:
    """Has things done outside of the code that a signal interrupted, where that is a green thread's.

    State: whether that was asked for, and whether it has begun.
    Invariant: what was asked for begins in a green thread of its own; where none runs for a second, `again` says so,
    and the next time it is left to the caller.
    """

    def __init__(self) -> None:
        """Begin."""
        self.renew()

    def renew(self) -> None:
        """Begin again, in a forked child."""
        self._asked = self._begun = False

    def has(self, call: Callable[[], object], again: Callable[[], object] | None = None) -> bool:
        """Have something called in a green thread if there are such threads; return whether that is so.

        Args:
            call: What is called, once.
            again: Called in a thread of the system's if that has not begun in a second.
        """
        if (world := _world()) is None:
            return False
        spawn, is_loop = world
        if self._asked:
            # The loop comes to it as soon as this handler is over; other code may keep the loop from running.
            return self._begun or is_loop
        self._asked = True
        spawn(self._begin, call)
        if again is not None:
            start, sleep = natives()
            start(self._remind, (sleep, again))
        return True

    def _begin(self, call: Callable[[], object]) -> None:
        self._begun = True
        call()

    def _remind(self, sleep: Callable[[float], object], again: Callable[[], object]) -> None:
        sleep(_BEGUN_IN)
        if not self._begun:
            again()


def longest_rest() -> float:
    """Return the seconds for which a thread waits at most before it looks again at what signal handlers noted."""
    return _LONGEST_REST if _is_patched_by_eventlet() else threading.TIMEOUT_MAX


def natives() -> tuple[Callable[..., object], Callable[[float], object]]:
    """Return what starts a thread of the system's, and what sleeps in one, also where those were replaced."""
    if monkey := _imported("gevent.monkey"):
        return monkey.get_original("_thread", "start_new_thread"), monkey.get_original("time", "sleep")
    if patcher := _imported("eventlet.patcher"):
        return patcher.original("_thread").start_new_thread, patcher.original("time").sleep
    return _thread.start_new_thread, time.sleep


def _world() -> tuple[Callable[..., object], bool] | None:
    """Return what starts a green thread here, and whether this is the loop; None where locks are the system's."""
    if (greenlet := _imported("greenlet")) is None:
        return None
    here = greenlet.getcurrent()
    if (hub := _imported("gevent.hub")) and (monkey := _imported("gevent.monkey")):
        is_loop = isinstance(here, hub.Hub)
        if is_loop or monkey.is_module_patched("threading"):
            return sys.modules["gevent"].spawn, is_loop
    if hubs := _imported("eventlet.hubs"):
        is_loop = here is hubs.get_hub().greenlet
        if is_loop or _is_patched_by_eventlet():
            return sys.modules["eventlet"].spawn_n, is_loop
    return None


def _is_patched_by_eventlet() -> bool:
    patcher = _imported("eventlet.patcher")
    return patcher is not None and bool(patcher.is_monkey_patched("thread"))


def _imported(name: str) -> Any:
    return sys.modules.get(name)

"""The background thread of a writer: heads after lines, epochs by age, signs of life, the next chain early."""

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from tallystick.errors import LeaseLostError, SealError, TallystickError, explain
from tallystick.writer import lifecycle
from tallystick.writer.outlet import PASSING
from tallystick.writer.steps import Parts, Steps

__all__ = ["Background"]

_HEAD_AFTER = 0.4  # seconds for which lines gather before a head counts them; section 6 allows 1


class Background:
    """Does what nobody asks for.

    State: the thread, and the queue that wakes it.
    Invariant: it waits for no room, and holds the turn for a step only; it ends when the log is no longer open, and no
    thread that holds the turn waits for that.
    """

    def __init__(
        self,
        parts: Parts,
        steps: Steps,
        take: Callable[[Callable[[], None]], None],
        report: Callable[[str], None],
        gather: float | None = None,
    ) -> None:
        """Make it; `start` starts it.

        Args:
            parts: Those of the writer.
            steps: Those of the writer.
            take: Takes a step.
            report: Called with what goes wrong.
            gather: Seconds for which lines gather before a head counts them.
        """
        self._parts, self._steps, self._take, self._report = parts, steps, take, report
        self._gather = _HEAD_AFTER if gather is None else gather
        self._woken: queue.SimpleQueue[None] = queue.SimpleQueue()  # its put is safe in signal handlers
        self.is_over = False
        self.thread = threading.Thread(target=self._run, name=f"tallystick {parts.lease.name}", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self.thread.start()

    def wake(self) -> None:
        """Have it look whether there is something to do; signal handlers may call this."""
        self._woken.put(None)

    def die_in_child(self) -> None:
        """Note that there is no such thread in a forked child."""
        self.is_over = True

    def _run(self) -> None:
        me = threading.get_ident()
        lifecycle.BACKGROUND.add(me)
        try:
            while True:
                self._rest()
                if not self._parts.phase.is_open:
                    return
                self.round()
        finally:
            lifecycle.BACKGROUND.discard(me)
            with self._parts.turn.lock:
                self.is_over = True
                self._parts.turn.wake()

    def round(self) -> None:
        """Do what is due now."""
        heads, status = self._parts.heads, self._parts.status
        try:
            if self._is_due():
                self._take(self._steps.tend)
            if heads.dirty:
                with self._parts.turn.lock:
                    head = self._steps.count()
                self._steps.store(head, self._parts.outlet.sink.sync)
            if self._parts.chains.fetch_early(self._parts.clock.epoch):
                status.write()
            if heads.trouble:
                heads.trouble = None
                status.write()
        except LeaseLostError as error:
            self._stop(error)
        except PASSING as error:
            # Lines go on being sealed; the next round tries again.
            if explain(error) not in (heads.trouble, self._parts.outlet.trouble) and not self._parts.phase.is_closing:
                heads.trouble = explain(error)
                self._report(heads.trouble)
                status.write()
        except SealError as error:
            # A sync that failed once may seem to work later, with the lines gone: no head must count them.
            self._stop(error)

    def _stop(self, error: TallystickError) -> None:
        with self._parts.turn.lock:
            if self._parts.phase.is_closing:
                return
            self._steps.stop(explain(error))
        self._report(f"{explain(error)}; log {self._parts.lease.name} was stopped")

    def _rest(self) -> None:
        """Wait until there is something to do, and then a little, so that lines gather."""
        phase = self._parts.phase
        while phase.is_open and not self._parts.heads.dirty and not self._is_due():
            with self._parts.turn.lock:
                left = self._due_in()
            with suppress(queue.Empty):
                self._woken.get(timeout=None if left is None else min(left, threading.TIMEOUT_MAX))
        until = time.monotonic() + self._gather
        while phase.is_open and (left := until - time.monotonic()) > 0:
            with suppress(queue.Empty):
                self._woken.get(timeout=left)

    def _is_due(self) -> bool:
        with self._parts.turn.lock:
            return self._due_in() == 0.0

    def _due_in(self) -> float | None:
        """Return the seconds until something has to be done even if no line comes."""
        if self._parts.heads.trouble:
            return 0.0
        due = (self._parts.clock.due_in(), self._parts.outlet.due_in(), self._parts.forks.due_in())
        return min((each for each in due if each is not None), default=None)

"""The background thread of a writer: heads after lines, epochs by age, signs of life, the next chain early."""

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from tallystick.errors import LeaseLostError, SealError, TallystickError, explain
from tallystick.writer import lifecycle
from tallystick.writer.head import LeaseInUseError
from tallystick.writer.loops import longest_rest
from tallystick.writer.outlet import PASSING
from tallystick.writer.parts import Parts
from tallystick.writer.steps import Steps

__all__ = ["Background"]

HEAD_AFTER = 0.4  # seconds for which lines gather before a head counts them; section 6 allows 1
_GIVE_WAY = 0.1  # seconds that a thread which writes gives to one that is storing a head
_AT_MOST = 0.5  # seconds after which it does so again: a store that does not answer must not hold writers up
_LOOK = 0.005  # seconds after which it looks whether that was enough
_EARLIER = 0.2  # seconds before the time that is promised for a head, at which a thread that writes stores it itself
_LEASE = 0.05  # seconds for which such a thread waits for the lease


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
        self._gather = HEAD_AFTER if gather is None else gather
        self._woken: queue.SimpleQueue[None] = queue.SimpleQueue()  # its put is safe in signal handlers: see `loops`
        self._catching_up, self._no_way_before = threading.Lock(), 0.0
        self._dropped, self._is_hurried = 0, False
        self._late = parts.late.promised - _EARLIER
        self.is_over = False
        self.thread = threading.Thread(target=self._run, name=f"tallystick {parts.lease.name}", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self.thread.start()

    def wake(self) -> None:
        """Have it look whether there is something to do; signal handlers may call this."""
        self._woken.put(None)

    def hurry(self) -> None:
        """Have it store a head of the lines that are there now, and gather no others."""
        self._is_hurried = True
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
        self._is_hurried = False
        self._watch(self._round)
        if (total := self._parts.outlet.dropped.total) != self._dropped:
            self._dropped = total  # the next writer has to know, also where this one is killed
            self._parts.status.write()

    def catch_up(self) -> None:
        """Store a head that is late, in the thread that calls: our own one may not run. Called without the turn.

        Under gevent, or while other code keeps the interpreter, the threads that write may be the only ones that run.
        """
        if self._parts.heads.age < self._late:
            return
        parts = self._parts
        known = parts.heads.trouble or parts.outlet.trouble or parts.chains.is_carrying or not parts.phase.is_open
        if known or not self._catching_up.acquire(blocking=False):
            return
        try:
            if not parts.heads.is_storing or self._give_way():
                with suppress(LeaseInUseError):
                    self._watch(lambda: self._count(_LEASE))
        finally:
            self._catching_up.release()

    def _give_way(self) -> bool:
        """Let the thread go on that is storing a head; return whether it is done and there is another one to store."""
        now = time.monotonic()
        if now < self._no_way_before:
            return False
        self._no_way_before = now + _AT_MOST
        while self._parts.heads.is_storing and time.monotonic() < now + _GIVE_WAY:
            time.sleep(_LOOK)
        return not self._parts.heads.is_storing and self._parts.heads.age >= self._late

    def _round(self) -> None:
        heads, status = self._parts.heads, self._parts.status
        if self._is_due():
            self._take(self._steps.tend)
        self._count()
        if self._parts.chains.fetch_early(self._parts.clock.epoch):
            status.write()
        if heads.trouble:
            heads.trouble = None
            status.write()

    def _count(self, within: float = -1) -> None:
        """Store a head, if there are lines that none counts."""
        if self._parts.heads.dirty:
            with self._parts.turn.lock:
                head = self._steps.count()
            self._steps.store(head, self._parts.outlet.sink.sync, within)

    def _watch(self, work: Callable[[], None]) -> None:
        """Do some work, and report what goes wrong."""
        heads, status = self._parts.heads, self._parts.status
        try:
            work()
        except LeaseInUseError:
            raise
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
                rest = longest_rest()
                self._woken.get(timeout=rest if left is None else min(left, rest))
        # Lines that came while the last head was stored have waited already.
        waited = 0.0 if self._parts.heads.trouble else self._parts.heads.gathered
        until = time.monotonic() + max(0.0, self._gather - waited)
        while phase.is_open and not self._is_hurried and (left := until - time.monotonic()) > 0:
            with suppress(queue.Empty):
                self._woken.get(timeout=left)

    def _is_due(self) -> bool:
        with self._parts.turn.lock:
            return self._due_in() == 0.0

    def _due_in(self) -> float | None:
        """Return the seconds until something has to be done even if no line comes."""
        if self._parts.heads.trouble:
            return 0.0
        parts = self._parts
        due = (parts.clock.due_in(), parts.outlet.due_in(), parts.forks.due_in(), parts.witnesses.due_in())
        return min((each for each in due if each is not None), default=None)

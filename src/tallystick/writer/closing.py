"""How a log is closed: in bounded time, whatever others are doing."""

import threading
import time
from contextlib import suppress
from functools import partial

from tallystick.errors import SealError
from tallystick.writer import lifecycle
from tallystick.writer.background import Background
from tallystick.writer.parts import Parts
from tallystick.writer.steps import Steps

__all__ = ["Closing"]

PATIENCE = 3.5  # seconds for which a log that is closed waits: for room, for other threads, for a disk
COURIER = 2.0  # seconds of these that a courier has to come to its end
HEARING = 2.0  # seconds that witnesses have after that, to hear of the end
MOMENT = 0.5  # seconds in which other threads come to an end that were asked to


class Closing:
    """Closes the chain, and gives output and lease back.

    State: what is still to be given back.
    Invariant: each wait has a bound, and none is made while holding the turn; output and lease are given back once,
    when nothing uses them any more.
    """

    def __init__(self, parts: Parts, steps: Steps, background: Background) -> None:
        """Begin."""
        self._parts, self._steps, self._background = parts, steps, background
        self._held = [parts.forks.let_go, parts.lease.release, parts.outlet.sink.close, self._drain]

    def give_up(self) -> None:
        """Let nobody wait any more, for room or for the next chain; signal handlers may call this."""
        self._parts.outlet.give_up(0.0)
        self._parts.chains.hurry(time.monotonic() + PATIENCE)
        self._parts.chains.abandon()
        self._background.wake()

    def close(self, *, ended: bool) -> None:
        """Close the chain, or end the log; in the middle of a step of this thread, after that step.

        Raises:
            SealError: The last lines could not be written or made durable, or another thread hangs in a line.
            KeyStoreError: The head could not be stored.
        """
        turn, until = self._parts.turn, time.monotonic() + PATIENCE
        step = partial(self._close, ended=ended, until=until)
        if turn.is_ours:
            turn.take(step)
            return
        self._hold()
        try:
            turn.take(step)
        finally:
            turn.lock.release()
            self.follow_up()

    def _hold(self) -> None:
        """Take the lock of the turn; a line that waits for a courier fails after a while."""
        turn = self._parts.turn
        if turn.hold(COURIER):
            return
        self._parts.chains.abandon()
        if turn.hold(PATIENCE - COURIER):
            return
        self.give_up()
        if not turn.hold(MOMENT):
            raise SealError(
                f"log {self._parts.lease.name} cannot be closed: another thread is in the middle of a line, which "
                f"{self._parts.outlet.sink.name} does not take; it may not be written whole"
            )

    def follow_up(self) -> None:
        """Do what is left to do after a step: give everything back, if that closed the log, and end the process."""
        if self._parts.phase.is_closed and not self._parts.turn.is_ours:
            self._give_back()
        lifecycle.follow_up()

    def _close(self, *, ended: bool, until: float) -> None:
        parts = self._parts
        parts.outlet.give_up(until)
        parts.chains.hurry(until)
        # Lines that wait for room go before the last ones, or are counted as dropped.
        parts.turn.wait_for(lambda: not parts.turn.pausing, _left(until) + MOMENT)
        if not parts.phase.begin_closing():
            parts.turn.wait_for(lambda: parts.phase.is_closed, _left(until) + MOMENT)
            return
        # From here on nothing else is sealed, not even by a signal handler.
        parts.turn.fast = False
        parts.forks.begin_closing()
        self._background.wake()
        if not parts.turn.wait_for(lambda: not parts.chains.is_carrying, min(COURIER, _left(until))):
            parts.chains.abandon()
        try:
            self._steps.last_lines(ended=ended)
            within = max(MOMENT, _left(until))
            self._steps.store(self._steps.count(), lambda: parts.outlet.sink.drain(within), within)
        finally:
            self._steps.sealer.erase()
            parts.status.note.closed(well=not (parts.phase.reason or parts.outlet.output.pending))
            parts.status.write()
            parts.phase.closed()
            parts.turn.wake()

    def _give_back(self) -> None:
        is_ours = threading.current_thread() is self._background.thread
        if self._held and not is_ours and not self._parts.turn.wait_for(lambda: self._background.is_over, 2 * MOMENT):
            self._held.clear()  # it hangs in a call to disk or key store, and uses both; they end with the process
        while self._held:
            with suppress(RuntimeError):  # in a child: a thread that is not there was using it
                self._held.pop()()

    def _drain(self) -> None:
        """Let witnesses have the end, as long as the lease is ours: the next writer shows what follows it."""
        if not (witnesses := self._parts.witnesses):
            return
        for lacking in witnesses.drain(HEARING):
            self._steps.report(lacking)
        self._parts.status.note.witnesses = witnesses.note()
        self._parts.status.write()


def _left(until: float) -> float:
    return max(0.0, until - time.monotonic())

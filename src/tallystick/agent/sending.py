"""A conversation that several threads share, and the thread that goes on with it when no other one does.

>>> sending = Sending(Reach("unix:/run/tallystick/no.sock"), 1, print)
>>> with sending.lock:
...     sending.take(b"one")
>>> sending.talk.outbox.count
1
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import get_ident

from tallystick.agent.conversation import Conversation
from tallystick.agent.reach import Link, Reach
from tallystick.errors import SealError
from tallystick.writer import lifecycle

__all__ = ["Sending"]

_EACH, _BURST = 0.001, 0.05  # seconds: lines that come faster than one in 1 ms, after 50 that do, are sent together
_PACE = 0.01  # seconds after which the thread sends those that no other thread has sent
_LAZY = 0.2  # seconds after which acknowledgements are read for which nobody waits
_TICK = 0.05  # seconds after which a thread looks around though nothing came
_HEAR = 128  # lines in flight after which it is heard what the agent says, above half a window


class Sending:
    """Takes lines from any thread, and has them sent.

    State: the conversation; the thread that is in the middle of a step, and lines of signal handlers that came there;
    how many threads wait for acknowledgements. All under `lock`; nobody waits while holding it.
    """

    def __init__(self, reach: Reach, state: int, report: Callable[[str], None]) -> None:
        """Begin; see `Client`."""
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.talk = Conversation(reach, state)
        self.owner = 0
        self.late: deque[bytes] = deque()
        self.waiting = 0
        self.is_running = self.is_over = False
        self._reach, self._report = reach, report
        self._thread: threading.Thread | None = None
        self._is_resting = self._is_idle = False
        self._due, self._hear_at = 0.0, 4 * _HEAR

    def begin(self) -> None:
        """Start the thread. Where none can be started any more, `settle` does its work."""
        self.is_running = True
        self._thread = threading.Thread(target=self._run, name=f"tallystick {self._reach.address}", daemon=True)
        with suppress(RuntimeError):
            self._thread.start()

    def take(self, line: bytes) -> None:
        """Take a line, and send it if that can be done at once. Called under the lock."""
        talk, now = self.talk, time.monotonic()
        talk.outbox.put(line)
        if now < self._due or talk.rest or not talk.say_next():
            if self._is_resting:
                self.wake()
            return
        self._due = max(self._due, now - _BURST) + _EACH
        if talk.outbox.in_flight >= self._hear_at:
            self.hear()
            self._hear_at = max(4, talk.outbox.in_flight // _HEAR + 1) * _HEAR
        if self._is_idle:
            self.wake()

    def hear(self) -> None:
        """Read what the agent says. Called under the lock."""
        if self.talk.hear() and self.waiting:
            self.changed.notify_all()

    def wake(self) -> None:
        """Have the thread look what is to be done, if it rests. Called under the lock."""
        if self._is_resting:
            self._is_resting = self._is_idle = False
            self.changed.notify_all()

    def settle(self, wait: float | None, *, goes_on: Callable[[], bool]) -> int:
        """Wait until everything of before is acknowledged, or lost; return how many lines are not.

        Args:
            wait: Seconds at most.
            goes_on: Is asked again and again whether to wait any longer.
        """
        until = None if wait is None else time.monotonic() + wait
        outbox = self.talk.outbox
        with self.lock:
            if self.owner == get_ident():
                raise SealError("a signal handler that interrupted a step cannot wait for its end", hint="wait later")
            target = outbox.settled + outbox.count + len(self.late) - outbox.grown
            self.waiting += 1
            self.changed.notify_all()
        try:
            while True:
                with self.lock:
                    left = target + outbox.grown - outbox.settled
                    pause = _TICK if until is None else min(_TICK, until - time.monotonic())
                    if left <= 0 or pause <= 0 or not goes_on():
                        return max(0, left)
                    if self._thread is not None and self._thread.is_alive():
                        self.changed.wait(pause)
                        continue
                self._round()
        finally:
            with self.lock:
                self.waiting -= 1
            self.report_pending()

    def end(self) -> None:
        """End the connection and the thread."""
        with self.lock:
            self.is_running, self.is_over = False, True
            self.talk.close()
            self.changed.notify_all()
        self.report_pending()

    def report_pending(self) -> None:
        """Report what there is to report. Called without the lock: the report may be slow, or log."""
        while self.talk.said:
            with suppress(IndexError):
                message = self.talk.said.popleft()
                self._report(message)

    # The thread

    def _run(self) -> None:
        lifecycle.BACKGROUND.add(me := get_ident())
        try:
            while self._round():
                pass
        finally:
            lifecycle.BACKGROUND.discard(me)

    def _round(self) -> bool:
        """Wait until there is something to do, and do it once; return False at the end."""
        talk = self.talk
        with self.lock:
            self._wait_for_work()
            if self.is_over:
                return False
            link, pause = talk.link, talk.pause
            if link is None and pause > 0:
                self.changed.wait(pause)
                return True
        self.report_pending()
        made = self._reach.open() if link is None else None  # without the lock: this may take a while
        with self.lock:
            self._step(made)
            link, writes = talk.link, bool(talk.rest)
            if link is None or not (self.waiting or talk.is_behind):
                return True
        with suppress(OSError, ValueError):  # another thread has closed it
            link.wait(_TICK, writes=writes)
        return True

    def _wait_for_work(self) -> None:
        talk = self.talk
        while not (talk.outbox.count or self.late or self.is_over):
            self._rest_for(None)
        if talk.link is not None and not self.waiting:
            if not talk.is_behind:
                self._rest_for(_LAZY)
            if talk.outbox.may_send and not talk.rest:
                self.changed.wait(_PACE)

    def _step(self, made: Link | str | None) -> None:
        self.owner = get_ident()
        try:
            if self.is_over and isinstance(made, Link):
                made.close()
            elif made is not None:
                self.talk.begin(made)
            while self.late:
                self.talk.outbox.put(self.late.popleft())
            self.hear()
            self.talk.say_all()
        finally:
            self.owner = 0

    def _rest_for(self, seconds: float | None) -> None:
        self._is_resting, self._is_idle = True, seconds is None
        self.changed.wait(seconds)
        self._is_resting = self._is_idle = False

"""One step of a writer at a time, whichever thread or signal handler it comes from.

>>> said, turn = [], Turn(threading.RLock(), lambda: True)
>>> def step():
...     turn.take(lambda: said.append("asked in the middle"))
...     said.append("step")
>>> turn.take(step)
>>> said
['step', 'asked in the middle']
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from threading import get_ident
from typing import Any

__all__ = ["Step", "Turn"]

Step = Callable[[], None]

_LOOK = 0.02  # seconds after which a condition is looked at that nobody made known


class Turn:
    """Whose turn it is to seal.

    State: the lock, the steps of each thread that is in one, how many threads pause in the middle of theirs, and
    whether a line may be sealed under the lock without a step: `fast`.
    Invariant: one step at a time, but for those that pause. A step that a signal handler asks for in the middle
    of one, or of the sync after it, follows it: so a handler never meets a lock of its own thread. Nobody
    waits while holding the turn: `pause` lets go of it, however often this thread has taken it.
    """

    def __init__(self, lock: Any, is_idle: Callable[[], bool]) -> None:
        """Make a turn of a reentrant lock; `fast` is what the callable returns when no step is left."""
        self._is_idle = is_idle
        self._begin(lock)

    def _begin(self, lock: Any) -> None:
        self.lock = lock
        self._pauses, self._waits = threading.Condition(lock), threading.Condition(lock)
        self._steps: dict[int, deque[Step]] = {}
        self._pausing = 0
        self.fast = False

    @property
    def is_ours(self) -> bool:
        """Is this thread in the middle of a step? A signal handler asks."""
        return get_ident() in self._steps

    @property
    def pausing(self) -> int:
        """How many threads pause in the middle of a step."""
        return self._pausing

    def take(self, step: Step, afterwards: Step | None = None) -> None:
        """Take a step, and then those that signal handlers asked for meanwhile.

        Args:
            step: Called under the turn. If this thread is in the middle of a step, it is called after that one, and
                this call returns at once.
            afterwards: Called without the turn when no step is left.

        Raises:
            Exception: The first one that a step raised; the other steps are taken all the same. Anything else that is
                raised, such as KeyboardInterrupt by a signal handler, cancels them.
        """
        me = get_ident()
        if (mine := self._steps.get(me)) is not None:
            mine.append(step)
            return
        mine, failure = deque((step,)), None
        while mine:  # no call stands between what marks the step and `try`, or in `finally` before what unmarks it:
            # an error of a signal handler comes after a call, and would have later steps of this thread wait for ever
            self._steps[me] = mine
            try:
                try:
                    with self.lock:
                        self.fast = False
                        failure = self._run(mine, failure)
                        self.fast = self._is_idle()
                    if afterwards is not None and failure is None:
                        afterwards()
                except Exception as error:
                    failure = failure or error
            finally:
                # What a handler adds before this line is done in the next round; after it, it has a turn of its own.
                mine = self._steps.pop(me, None)
        if failure is not None:
            raise failure

    @staticmethod
    def _run(steps: deque[Step], failure: Exception | None) -> Exception | None:
        while steps:
            try:
                steps.popleft()()
            except Exception as error:
                failure = failure or error
        return failure

    def pause(self, seconds: float) -> None:
        """Let others have the turn for a while, or until `wake`; called in the middle of a step."""
        self._pausing += 1
        try:
            self._pauses.wait(seconds)
        finally:
            self._pausing -= 1
            self._waits.notify_all()

    def wake(self) -> None:
        """Have all that wait look again; called by a thread that has the turn."""
        self._pauses.notify_all()
        self._waits.notify_all()

    def wait_for(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait without holding the turn until a condition holds; return whether it does.

        It may be called in a signal handler that interrupted a thread in the middle of a line: that one's hold on the
        turn is let go of as well, and taken again.
        """
        until = time.monotonic() + seconds
        with self.lock:
            while not condition() and (left := until - time.monotonic()) > 0:
                self._waits.wait(min(left, _LOOK))
            return condition()

    def hold(self, seconds: float) -> bool:
        """Take the lock itself, so that no thread is in the middle of a line; return False if that took too long."""
        return bool(self.lock.acquire(timeout=seconds))

    def renew(self) -> None:
        """Begin with a new lock, in a forked child: the old one may belong to a thread that is not there."""
        self._begin(threading.RLock())

"""The lock of a handler, at forks: it is taken before those of logs, in the order in which lines take them.

>>> handler = Locked()
>>> handler.hold(0.0), handler.waited()
(True, True)
>>> handler.let_go()
"""

import logging

from tallystick.writer import lifecycle

__all__ = ["Locked"]

_FORKS_WITHIN = 0.1  # seconds in which a fork is over, unless it waits for somebody who waits for it
_LOOK = 0.02  # seconds between two looks at that


class Locked(logging.Handler):
    """A handler that writes to a log while it holds its lock.

    State: the lock, which `logging` renews in a forked child.
    Invariant: a fork never waits for ever for a thread that waits for this lock. Other hooks may log, or take locks of
    threads that do, as loguru's hook takes that of each sink.
    """

    def __init__(self) -> None:
        """Begin; forks hold the lock from now on."""
        super().__init__()
        lifecycle.HANDLERS.add(self)

    def hold(self, seconds: float) -> bool:
        """Take the lock; return False if that took too long."""
        return self.lock is None or self.lock.acquire(timeout=seconds)

    def let_go(self) -> None:
        """Release the lock."""
        self.release()

    def waited(self) -> bool:
        """Wait for the lock; return False where a fork keeps it that may wait for what our caller holds."""
        while not self.hold(_LOOK):
            if lifecycle.forking_for() > _FORKS_WITHIN:
                return False
        return True

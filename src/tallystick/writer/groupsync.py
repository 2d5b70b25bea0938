"""One sync for all threads that wait until their lines are on the disk.

>>> import threading
>>> synced = []
>>> group = GroupSync(threading.Lock(), lambda: group.written, lambda: synced.append("sync"))
>>> group.note()
>>> group.note()
>>> group.wait()
>>> group.wait()
>>> synced
['sync']
"""

from collections.abc import Callable
from typing import Any

__all__ = ["GroupSync"]


class GroupSync:
    """Has lines on the disk.

    State: how many lines were written, and up to which of them a sync has come.
    Invariant: `wait` returns only after a sync that began after the write.
    """

    def __init__(self, lock: Any, count: Callable[[], int], sync: Callable[[], None]) -> None:
        """Begin.

        Args:
            lock: Held during a sync; the turn is taken after it, never the other way round.
            count: Returns `written`, under the turn; raises where lines are pending that no sync can reach.
            sync: Has what was written on the disk.
        """
        self._lock, self._count, self._sync = lock, count, sync
        self.written = self._synced = 0

    def note(self) -> None:
        """Count a write; called under the turn."""
        self.written += 1

    def wait(self) -> None:
        """Return when every write of this thread is on the disk.

        Raises:
            SealError: It cannot be.
        """
        mine = self.written
        with self._lock:
            if self._synced >= mine:
                return
            reached = self._count()
            self._sync()
            self._synced = reached

"""Lines that come while another writer has the log: held, up to a bound, until it has ended.

>>> lines = Held(most=8, drops=True)
>>> [lines.hold(each) for each in (b"one\\n", b"two\\n", b"three\\n")], lines.is_full
([4, 4, 6], False)
>>> list(lines.hand_over()), lines.dropped.count
([b'one\\n', b'two\\n'], 1)
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator

from tallystick.errors import LogBusyError
from tallystick.keystore import KeyStore
from tallystick.writer.opening import Taken
from tallystick.writer.parts import Settings
from tallystick.writer.status import Dropped
from tallystick.writer.waiting import wait_for_lease

__all__ = ["Held", "Waiting"]

_MOST = 2**24  # bytes


class Held:
    """Lines in memory, up to a bound.

    State: the lines, how many bytes they have, those that were dropped.
    Invariant: no line is lost uncounted.
    """

    def __init__(self, most: int = _MOST, *, drops: bool) -> None:
        """Begin; beyond so many bytes lines are dropped, or else `is_full` asks that no more are read."""
        self._most, self._drops = most, drops
        self._held: deque[bytes] = deque()
        self._size = self._count = 0
        self.dropped = Dropped()

    def hold(self, data: bytes) -> int:
        """Hold whole lines; return how many bytes they have."""
        count = data.count(b"\n")
        if self._drops and self._size + len(data) > self._most:
            self.dropped.add(count, "another writer had the log, and no more lines could be held")
        else:
            self._held.append(data)
            self._size += len(data)
            self._count += count
        return len(data)

    @property
    def is_full(self) -> bool:
        """Are no more lines to be read?"""
        return self._size >= self._most and not self._drops

    @property
    def lines(self) -> int:
        """How many lines came and were not handed over."""
        return self._count + self.dropped.count

    def hand_over(self) -> Iterator[bytes]:
        """Give the lines in their order, and hold them no longer."""
        while self._held:
            data = self._held.popleft()
            self._size -= len(data)
            self._count -= data.count(b"\n")
            yield data


class Waiting(Held):
    """A thread that waits for the lease of a log, and the lines that come meanwhile.

    Invariant: a lease that was taken is handed over, or given back.
    """

    def __init__(
        self,
        store: KeyStore,
        refused: LogBusyError,
        seconds: float,
        name: str,
        settings: Settings,
        woken: Callable[[], None],
    ) -> None:
        """Begin to wait.

        Args:
            store: The key store.
            refused: What a first try met.
            seconds: How long to wait.
            name: The log.
            settings: How the log is written; what is waited for goes to its `on_trouble`.
            woken: Called when `is_done`.
        """
        super().__init__(drops=settings.on_full == "drop")
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._taken: Taken | None = None
        self._failure: BaseException | None = None
        self._abandoned = False
        self.is_done = False

        def wait() -> None:
            try:
                report, custody = settings.on_trouble, settings.custody
                self._found(wait_for_lease(store, name, custody, seconds, report, self._over, refused))
            except BaseException as error:
                self._failure = error
            self.is_done = True
            woken()

        threading.Thread(target=wait, name=f"tallystick waits for {name}", daemon=True).start()

    def taken(self) -> Taken:
        """Return the lease, once `is_done`.

        Raises:
            TallystickError: The wait was in vain.
        """
        if self._failure is not None:
            raise self._failure
        assert self._taken is not None
        taken, self._taken = self._taken, None
        return taken

    def give_up(self) -> None:
        """Wait no longer; signal handlers may call this."""
        self._over.set()

    def abandon(self) -> None:
        """Wait no longer, and give a lease back that is not needed any more."""
        self.give_up()
        with self._lock:
            self._abandoned = True
            if self._taken is not None:
                self._taken.lease.release()
                self._taken = None

    def _found(self, taken: Taken) -> None:
        with self._lock:
            if self._abandoned:
                taken.lease.release()
            else:
                self._taken = taken

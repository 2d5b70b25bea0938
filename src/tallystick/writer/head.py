"""The head: how far the log goes, as the key store remembers it (spec section 6).

>>> import tempfile, threading, tallystick
>>> from tallystick import keystore
>>> with tempfile.TemporaryDirectory() as d:
...     _ = tallystick.create("payments", store=f"file:{d}/s", custody=f"master-key:{d}/k", key_file=f"{d}/key")
...     with keystore.connect(f"file:{d}/s").lease("payments") as lease:
...         heads = HeadKeeper(lease, threading.Lock(), threading.Lock())
...         head = Counted(lease.head(), 1, (0, 0, 0), 0, time.monotonic())
...         heads.store(head, lambda: None), heads.store(head, lambda: None), set(head.text)
(True, False, {0})
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from tallystick import _core
from tallystick.errors import KeyStoreError, TallystickError

__all__ = ["Counted", "HeadKeeper", "LeaseInUseError"]


class LeaseInUseError(KeyStoreError):
    """Another thread of this writer uses the lease."""


class _Heads(Protocol):
    """The part of a lease that heads are stored by."""

    def replace_head(self, head: bytes | bytearray) -> None: ...


@dataclass(frozen=True, slots=True)
class Counted:
    """A head on its way to the key store.

    Args:
        text: The head; wiped once it is stored.
        number: The how manyth it is.
        at: The position that it counts up to.
        lines: How many lines its chain has before that.
        since: When the oldest line came that only this head counts, by the monotonic clock in seconds.
    """

    text: bytearray
    number: int
    at: tuple[int, int, int]
    lines: int
    since: float


class HeadKeeper:
    """Makes heads and stores them.

    State: how many heads were made, the newest one that was stored, since when lines wait for the next one, and for
    those that are on their way.
    Invariant: never an older head over a newer one, whichever thread is slower; a head counts only bytes that are as
    safe as the sink can make them; our copy of it is wiped, since an old head lets its finder go back to it.
    """

    def __init__(
        self, lease: _Heads, head_lock: Any, lease_lock: Any, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin.

        Args:
            lease: Where heads are stored.
            head_lock: Keeps heads in order.
            lease_lock: That of the lease.
            clock: The monotonic clock, in seconds.
        """
        self._lease, self._lock, self._lease_lock, self._clock = lease, head_lock, lease_lock, clock
        self._made = self._stored = 0
        self._since: float | None = None
        self._under_way: dict[int, float] = {}  # for each head, since when its lines wait
        self.trouble: str | None = None
        """Why the last head could not be stored."""

    @property
    def dirty(self) -> bool:
        """Are there lines that no head counts?"""
        return self._since is not None

    @property
    def is_storing(self) -> bool:
        """Is a head on its way to the key store?"""
        return bool(self._under_way)

    @property
    def age(self) -> float:
        """Seconds for which the oldest line waits that no stored head counts; 0 where all are counted."""
        oldest = self._since
        if under_way := list(self._under_way.values()):
            oldest = min(under_way) if oldest is None else min(oldest, *under_way)
        return 0.0 if oldest is None else self._clock() - oldest

    @property
    def gathered(self) -> float:
        """Seconds for which lines gather that the next head will count."""
        return 0.0 if (since := self._since) is None else self._clock() - since

    def note_line(self) -> bool:
        """Note a line that a head has to count; return whether it is the first one. Called under the turn."""
        if self._since is not None:
            return False
        self._since = self._clock()
        return True

    def make(self, sealer: _core.Sealer) -> Counted | None:
        """Return a head that counts every line so far, None where there is none; called under the turn."""
        text = sealer.head()
        since, self._since = self._since, None
        self._made += 1
        if text is None:
            return None
        since = self._clock() if since is None else since
        self._under_way[self._made] = since
        return Counted(text, self._made, sealer.position, sealer.lines, since)

    def waited(self, head: Counted) -> float:
        """Return the seconds for which the oldest line has waited that only this head counts."""
        return self._clock() - head.since

    def store(self, head: Counted, settle: Callable[[], None], within: float = -1) -> bool:
        """Store a head once the lines that it counts are safe; return False if a newer one was faster.

        Args:
            head: The head; it is wiped in any case.
            settle: Returns when what was written so far is safe.
            within: Seconds for which another user of the lease is waited for; -1 for as long as it takes.

        Raises:
            SealError: The lines cannot be made safe.
            LeaseInUseError: Another thread has used the lease for longer than that.
            KeyStoreError: The head cannot be stored, or the lease is lost.
        """
        try:
            settle()
            if not self._lock.acquire(timeout=within):
                raise self._busy()
            try:
                if head.number <= self._stored:
                    return False
                if not self._lease_lock.acquire(timeout=within):
                    raise self._busy()
                try:
                    self._lease.replace_head(head.text)
                finally:
                    self._lease_lock.release()
                self._stored = head.number
                for number in list(self._under_way):  # a copy: another thread may make a head now
                    if number <= head.number:
                        self._under_way.pop(number, None)
                return True
            finally:
                self._lock.release()
        except TallystickError:
            self._since = head.since if self._since is None else min(head.since, self._since)
            raise
        finally:
            self._under_way.pop(head.number, None)
            head.text[:] = bytes(len(head.text))

    @staticmethod
    def _busy() -> LeaseInUseError:
        return LeaseInUseError(
            "the key store does not answer, so no head counts the last lines", hint="see that it is reached"
        )

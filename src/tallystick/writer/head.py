"""The head: how far the log goes, as the key store remembers it (spec section 6).

>>> import tempfile, threading, tallystick
>>> from tallystick import keystore
>>> with tempfile.TemporaryDirectory() as d:
...     _ = tallystick.create("payments", store=f"file:{d}/s", custody=f"master-key:{d}/k", key_file=f"{d}/key")
...     with keystore.connect(f"file:{d}/s").lease("payments") as lease:
...         heads = HeadKeeper(lease, threading.Lock(), threading.Lock())
...         head = Counted(lease.head(), 1, (0, 0, 0), 0)
...         heads.store(head, lambda: None), heads.store(head, lambda: None), set(head.text)
(True, False, {0})
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from tallystick import _core
from tallystick.errors import KeyStoreError, TallystickError

__all__ = ["Counted", "HeadKeeper"]


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
    """

    text: bytearray
    number: int
    at: tuple[int, int, int]
    lines: int


class HeadKeeper:
    """Makes heads and stores them.

    State: how many heads were made, the newest one that was stored, whether lines came since the last one was made.
    Invariant: never an older head over a newer one, whichever thread is slower; a head counts only bytes that are as
    safe as the sink can make them; our copy of it is wiped, since an old head lets its finder go back to it.
    """

    def __init__(self, lease: _Heads, head_lock: Any, lease_lock: Any) -> None:
        """Begin; the first lock keeps heads in order, the second is that of the lease."""
        self._lease, self._lock, self._lease_lock = lease, head_lock, lease_lock
        self._made = self._stored = 0
        self.dirty = False
        """Are there lines that no head counts?"""
        self.trouble: str | None = None
        """Why the last head could not be stored."""

    def make(self, sealer: _core.Sealer) -> Counted | None:
        """Return a head that counts every line so far, None where there is none; called under the turn."""
        text = sealer.head()
        self.dirty = False
        self._made += 1
        return None if text is None else Counted(text, self._made, sealer.position, sealer.lines)

    def store(self, head: Counted, settle: Callable[[], None], within: float = -1) -> bool:
        """Store a head once the lines that it counts are safe; return False if a newer one was faster.

        Args:
            head: The head; it is wiped in any case.
            settle: Returns when what was written so far is safe.
            within: Seconds for which another user of the lease is waited for; -1 for as long as it takes.

        Raises:
            SealError: The lines cannot be made safe.
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
                return True
            finally:
                self._lock.release()
        except TallystickError:
            self.dirty = True
            raise
        finally:
            head.text[:] = bytes(len(head.text))

    @staticmethod
    def _busy() -> KeyStoreError:
        return KeyStoreError(
            "the key store does not answer, so no head counts the last lines", hint="see that it is reached"
        )

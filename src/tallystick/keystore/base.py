"""Every key store and every lease.

A key store holds two things of each log: its sealing state and its head (spec section 6). It understands
neither. It gives the lease of a log, the exclusive right to write it, to one writer at a time.
"""

import os
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from tallystick.errors import KeyStoreError, LeaseLostError

__all__ = [
    "HEAD_LIMIT",
    "NOTE_LIMIT",
    "STATE_LIMIT",
    "Grant",
    "HeadText",
    "KeyStore",
    "Lease",
    "Stored",
    "check_sizes",
    "forget_in_children",
    "forget_leases",
]

STATE_LIMIT = 16 * 1024 * 1024  # bytes: a state holds one `open` per finished generation
HEAD_LIMIT = 4096  # bytes
NOTE_LIMIT = 4096  # bytes


class HeadText(bytearray):
    """A head as text, wiped as soon as nobody holds it: with an old one a log can be cut back to it."""

    def __del__(self) -> None:
        """Overwrite it with zeros."""
        self[:] = bytes(len(self))


@dataclass(frozen=True, slots=True)
class Stored:
    """The content of a store for one log.

    Args:
        state: The sealing state; its secrets are encrypted by custody.
        head: The head as text, or None if it is not there, which a verifier takes for a bad head.
        private: Only this user and root can have written it.
    """

    state: bytes
    head: HeadText | None
    private: bool = field(default=False, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Grant:
    """Access to a key store or a lease of this process, for a process of ours that is started for a moment.

    Args:
        place: Where it is, and the proof of the lease; it may hold a password.
        fds: Open descriptors that it inherits.
    """

    place: dict[str, Any] = field(repr=False)
    fds: tuple[int, ...] = ()

    def message(self) -> dict[str, Any]:
        """Return it as a message to the other process."""
        return {"place": self.place, "fds": self.fds}


class Lease(ABC):
    """The exclusive right to write one log, until it is released or its process ends.

    It is bound to the process that took it: in a forked child every use of it raises LeaseLostError, except a
    release, which does nothing there.

    Args:
        name: Name of the log.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._pid = os.getpid()
        self._released = False

    @abstractmethod
    def load(self) -> Stored:
        """Return the content of the store. Never called in a writer, whose memory must not hold a state.

        Raises:
            KeyStoreError: It cannot be read, or the lease is lost.
        """

    @abstractmethod
    def head(self) -> HeadText | None:
        """Return the head, without the state.

        Raises:
            KeyStoreError: It cannot be read, or the lease is lost.
        """

    @abstractmethod
    def state_version(self) -> int:
        """Return a number that grows whenever the state is replaced, without the state.

        Raises:
            KeyStoreError: It cannot be read, or the lease is lost.
        """

    @abstractmethod
    def confirm(self) -> None:
        """Check that the lease is still held.

        Raises:
            KeyStoreError: It is lost, or that cannot be found out.
        """

    @abstractmethod
    def grant(self) -> Grant:
        """Return access for another process, which works under this lease while this one waits for it."""

    @abstractmethod
    def store(self) -> "KeyStore":
        """Return the key store."""

    @abstractmethod
    def replace_state(self, state: bytes) -> None:
        """Put another state in the place of the one there; durable on return, and the old one is erased.

        Raises:
            KeyStoreError: It cannot be written, or the lease is lost. The old or the new state is there.
        """

    @abstractmethod
    def replace_head(self, head: bytes | bytearray) -> None:
        """Put another head in the place of the one there; durable on return, and the old one is erased.

        Raises:
            KeyStoreError: It cannot be written, or the lease is lost. The old or the new head is there.
        """

    @abstractmethod
    def note(self) -> bytes | None:
        """Return the note of the last writer, or None.

        Raises:
            KeyStoreError: It cannot be read, or the lease is lost.
        """

    @abstractmethod
    def replace_note(self, note: bytes) -> None:
        """Note the writer's condition, for people: at most 4,096 bytes, not secret, and it need not outlast a crash.

        Raises:
            KeyStoreError: It cannot be written, or the lease is lost.
        """

    @abstractmethod
    def release(self) -> None:
        """Give the lease back. A second call does no harm.

        In a forked child this does nothing: the lease is its parent's. A server that is away keeps it until it expires.
        """

    def __enter__(self) -> Self:
        """Return the lease itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lease back."""
        self.release()

    @abstractmethod
    def _forget(self) -> None:
        """In a forked child: close its copies of descriptors and connections; the lease is its parent's alone."""

    def _check_held(self) -> None:
        """Raise LeaseLostError in a forked child, and after a release."""
        if self._pid != os.getpid():
            raise LeaseLostError(
                f"the lease of log {self.name} is that of process {self._pid}",
                hint="a forked child must open a log of its own",
            )
        if self._released:
            raise LeaseLostError(f"the lease of log {self.name} has been given back", hint="open the log again")


class KeyStore(ABC):
    """The place of the states and heads of logs (spec section 6).

    Its `url` names it, without a password.
    """

    url: str

    @abstractmethod
    def create(self, name: str, state: bytes, head: bytes | bytearray) -> None:
        """Store a new log, whole and durable or not at all.

        Raises:
            KeyStoreError: There is a log of this name, the name is invalid, or the store cannot be written.
        """

    @abstractmethod
    def remove(self, name: str) -> None:
        """Erase a log whose set-up was not carried through.

        Raises:
            KeyStoreError: There is no such log, someone is writing it, or the store cannot be written.
        """

    @abstractmethod
    def names(self) -> list[str]:
        """Return the names of all logs, sorted.

        Raises:
            KeyStoreError: The store is not there or cannot be read.
        """

    def prepare(self) -> None:
        """Be ready to get a log; a directory is made where it is not there.

        Raises:
            KeyStoreError: It cannot be reached or made.
        """
        self.names()

    @abstractmethod
    def under_way(self) -> list[str]:
        """Return the names of entries that a change of keys or place made and has not finished, sorted.

        Raises:
            KeyStoreError: The store is not there or cannot be read.
        """

    @abstractmethod
    def grant(self) -> Grant:
        """Return access to this store for another process."""

    @abstractmethod
    def load(self, name: str) -> Stored:
        """Return the content of the store for a log, without a lease.

        Raises:
            KeyStoreError: There is no such log, or it cannot be read.
        """

    @abstractmethod
    def head(self, name: str) -> HeadText | None:
        """Return the head of a log, without its state.

        Raises:
            KeyStoreError: There is no such log, or it cannot be read.
        """

    @abstractmethod
    def note(self, name: str) -> bytes | None:
        """Return the note of the last writer of a log, or None.

        Raises:
            KeyStoreError: There is no such log, or it cannot be read.
        """

    @abstractmethod
    def holder(self, name: str) -> str | None:
        """Return who holds the lease of a log now, in words for people, or None.

        Raises:
            KeyStoreError: There is no such log, or it cannot be read.
        """

    def standing(self, name: str) -> tuple[HeadText | None, str | None]:
        """Return the head of a log and who holds its lease, in words; None for each that is not there.

        That nobody can tell who holds it counts as nobody.

        Raises:
            KeyStoreError: There is no such log, or its head cannot be read.
        """
        head, holder = self.head(name), None
        with suppress(KeyStoreError):
            holder = self.holder(name)
        return head, holder

    @abstractmethod
    def lease(self, name: str) -> Lease:
        """Take the lease of a log: the exclusive right to write it.

        Raises:
            LogBusyError: Another writer holds it, and is named.
            KeyStoreError: There is no such log, or it cannot be written.
        """

    @abstractmethod
    def borrow(self, grant: Grant) -> Lease:
        """Return a lease that another process of ours holds, for as long as it waits for this one.

        Args:
            grant: That of the lease.

        Raises:
            KeyStoreError: The lease is lost, or the store cannot be reached.
        """

    def _absent(self, name: str, names: Iterable[str]) -> KeyStoreError:
        """Return the error for a log that is not among the names of those that are here."""
        held = ", ".join(names)
        advice = f"it holds {held}" if held else f"make it with `tallystick init {name}`"
        return KeyStoreError(f"there is no log {name} in {self.url}", hint=advice)

    def _present(self, name: str) -> KeyStoreError:
        """Return the error for a log whose name is taken."""
        return KeyStoreError(f"there is a log {name} in {self.url}", hint="take another name")


_LEASES: weakref.WeakSet[Lease] = weakref.WeakSet()


def forget_in_children(lease: Lease) -> None:
    """Make forked children close their copies of the files and connections of a lease."""
    _LEASES.add(lease)


def forget_leases() -> None:
    """In a forked child: close its copies of what leases have open; C code that forks does not call this."""
    for lease in list(_LEASES):
        lease._forget()
    _LEASES.clear()


os.register_at_fork(after_in_child=forget_leases)


def check_sizes(name: str, state: bytes, head: bytes | bytearray) -> None:
    """Raise KeyStoreError if a state or a head is too large to be read again."""
    for what, data, limit in (("state", state, STATE_LIMIT), ("head", head, HEAD_LIMIT)):
        if len(data) > limit:
            raise KeyStoreError(
                f"the {what} of log {name} has {len(data)} bytes and {limit} at most can be stored",
                hint="start a new log",
            )

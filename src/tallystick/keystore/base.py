"""What every key store can do.

A key store keeps two things of each log: its sealing state and its head (spec section 6). It understands
neither. It gives the right to write a log to one writer at a time.
"""

import itertools
import os
import re
import socket
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Protocol, Self

from tallystick.errors import KeyStoreError

__all__ = [
    "HEAD_LIMIT",
    "NOTE_LIMIT",
    "STATE_LIMIT",
    "Grant",
    "HeadText",
    "KeyStore",
    "Lease",
    "Stored",
    "check_entry",
    "check_name",
    "check_sizes",
    "moving_entry",
    "next_entry",
    "ourselves",
    "shown",
]

STATE_LIMIT = 16 * 1024 * 1024  # bytes: a state holds one `open` per finished generation
HEAD_LIMIT = 4096  # bytes
NOTE_LIMIT = 4096  # bytes

_WAITING = re.compile(r"~(next|moving)\.")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class HeadText(bytearray):
    """A head as text, wiped as soon as nobody holds it: whoever finds an old one can go back to it."""

    def __del__(self) -> None:
        """Overwrite it with zeros."""
        self[:] = bytes(len(self))


@dataclass(frozen=True, slots=True)
class Stored:
    """What a store holds for one log.

    Args:
        state: The sealing state; its secrets are encrypted by custody.
        head: The head as text, or None if it is not there, which a verifier takes for a bad head.
        private: Nobody but this user and root can have written it.
    """

    state: bytes
    head: HeadText | None
    private: bool = field(default=False, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a process of ours that is started for a moment needs to use a key store or a lease of this one.

    Args:
        place: Where it is, and what proves the right; it may hold a password.
        fds: Open descriptors that it inherits.
    """

    place: dict[str, str] = field(repr=False)
    fds: tuple[int, ...] = ()

    def told(self) -> dict[str, Any]:
        """Return it in the form in which the other process is told."""
        return {"place": self.place, "fds": self.fds}


class Lease(Protocol):
    """The exclusive right to write one log, until it is released or its process ends.

    It is bound to the process that took it: in a forked child every use of it raises KeyStoreError, except a
    release, which does nothing there.
    """

    name: str

    def load(self) -> Stored:
        """Return what the store holds. Never called in a writer, whose memory must not hold a state.

        Raises:
            KeyStoreError: It cannot be read, or the right is gone.
        """
        ...

    def head(self) -> HeadText | None:
        """Return the head, without the state.

        Raises:
            KeyStoreError: It cannot be read, or the right is gone.
        """
        ...

    def state_version(self) -> int:
        """Return a number that grows whenever the state is replaced, without the state.

        Raises:
            KeyStoreError: It cannot be read, or the right is gone.
        """
        ...

    def confirm(self) -> None:
        """Look whether the right is still there.

        Raises:
            KeyStoreError: It is gone, or that cannot be found out.
        """
        ...

    def grant(self) -> Grant:
        """Return what another process needs to work under this lease as long as this one waits for it."""
        ...

    def store(self) -> "KeyStore":
        """Return the key store."""
        ...

    def replace_state(self, state: bytes) -> None:
        """Put another state in the place of the one there; durable on return, and the old one is erased.

        Raises:
            KeyStoreError: It cannot be written, or the right is gone. The old or the new state is there.
        """
        ...

    def replace_head(self, head: bytes | bytearray) -> None:
        """Put another head in the place of the one there; durable on return, and the old one is erased.

        Raises:
            KeyStoreError: It cannot be written, or the right is gone. The old or the new head is there.
        """
        ...

    def note(self) -> bytes | None:
        """Return what a writer last said of itself, or None.

        Raises:
            KeyStoreError: It cannot be read, or the right is gone.
        """
        ...

    def replace_note(self, note: bytes) -> None:
        """Say something of the writer, for people: at most 4,096 bytes, not secret, and it need not outlast a crash.

        Raises:
            KeyStoreError: It cannot be written, or the right is gone.
        """
        ...

    def release(self) -> None:
        """Give the right back. Once is enough, more does no harm."""
        ...

    def __enter__(self) -> Self:
        """Return the lease itself."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the right back."""
        ...


class KeyStore(Protocol):
    """Where state and head of logs live (spec section 6)."""

    url: str

    def create(self, name: str, state: bytes, head: bytes | bytearray) -> None:
        """Store a new log, whole and durable or not at all.

        Raises:
            KeyStoreError: There is a log of this name, the name is none, or the store cannot be written.
        """
        ...

    def remove(self, name: str) -> None:
        """Erase a log whose set-up was not carried through.

        Raises:
            KeyStoreError: There is no such log, someone is writing it, or the store cannot be written.
        """
        ...

    def names(self) -> list[str]:
        """Return the names of all logs, sorted.

        Raises:
            KeyStoreError: The store is not there or cannot be read.
        """
        ...

    def under_way(self) -> list[str]:
        """Return the names of entries that a change of keys or place made and has not finished, sorted.

        Raises:
            KeyStoreError: The store is not there or cannot be read.
        """
        ...

    def grant(self) -> Grant:
        """Return what another process needs to use this store."""
        ...

    def load(self, name: str) -> Stored:
        """Return what the store holds for a log, without the right to write it.

        Raises:
            KeyStoreError: There is no such log, or it cannot be read.
        """
        ...

    def head(self, name: str) -> HeadText | None:
        """Return the head of a log, without its state.

        Raises:
            KeyStoreError: There is no such log, or it cannot be read.
        """
        ...

    def note(self, name: str) -> bytes | None:
        """Return what the writer of a log last said of itself, or None.

        Raises:
            KeyStoreError: There is no such log, or it cannot be read.
        """
        ...

    def holder(self, name: str) -> str | None:
        """Return who has the right to write a log now, in words for people, or None.

        Raises:
            KeyStoreError: There is no such log, or it cannot be read.
        """
        ...

    def lease(self, name: str) -> Lease:
        """Take the exclusive right to write a log.

        Raises:
            KeyStoreError: Someone else has it (named), there is no such log, or it cannot be written.
        """
        ...


def next_entry(name: str) -> str:
    """Return the name under which the successor of a log waits in its key store: that of no log."""
    return f"~next.{name}"


def moving_entry(name: str) -> str:
    """Return the name under which a log that comes from elsewhere waits in its key store: that of no log."""
    return f"~moving.{name}"


def check_entry(name: str) -> None:
    """Raise KeyStoreError unless this can be the name of a log or of what waits to become one."""
    check_name(_WAITING.sub("", name, count=1))


def check_name(name: str) -> None:
    """Raise KeyStoreError unless this can be the name of a log (spec section 3)."""
    if not _NAME.fullmatch(name):
        raise KeyStoreError(
            f"{name[:100]!r} cannot be the name of a log; "
            "take 1 to 64 of A-Z a-z 0-9 . _ - and begin with a letter or a digit"
        )


def check_sizes(name: str, state: bytes, head: bytes | bytearray) -> None:
    """Raise KeyStoreError if a state or a head is too large to be read again."""
    for what, data, limit in (("state", state, STATE_LIMIT), ("head", head, HEAD_LIMIT)):
        if len(data) > limit:
            raise KeyStoreError(
                f"the {what} of log {name} has {len(data)} bytes and {limit} at most can be stored; start a new log"
            )


def ourselves() -> str:
    """Return who has a right that this process takes now, in words for people, in ASCII."""
    command = os.path.basename(sys.argv[0] if sys.argv else "") or "python"
    # Others read this. Of our own arguments the first ones hold no secret; of another program's who knows?
    shown = itertools.takewhile(lambda word: _NAME.fullmatch(word), sys.argv[1:3] if command == "tallystick" else [])
    words = " ".join([command, *shown])
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    said = f"pid {os.getpid()} ({words[:200]}) on {socket.gethostname()} since {now}"
    return said.encode("ascii", "replace").decode()


def shown(said: bytes) -> str:
    """Return who wrote that he has a right, fit to be shown. Anyone may have written anything there."""
    text = said.decode("ascii", "replace")
    text = "".join(letter if letter.isprintable() and letter.isascii() else "?" for letter in text).strip()
    return text or "another process"

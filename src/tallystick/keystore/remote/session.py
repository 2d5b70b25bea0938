"""The calls that a key store makes to its server, and how often it makes them again."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from tallystick._services import AwayError, insist
from tallystick.errors import KeyStoreError
from tallystick.keystore.base import Stored
from tallystick.keystore.remote.place import Place

__all__ = ["Connect", "Field", "Record", "Session", "insist_on", "unanswered"]

Field = Literal["state", "head"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, repr=False)
class Record:
    """All that a server holds for a log.

    Args:
        stored: Its state and its head.
        versions: The version of each; it grows whenever one is replaced.
        token: That of the last writer that took the lease.
        holder: The writer that holds the lease now, in its words, or None.
    """

    stored: Stored
    versions: dict[Field, int]
    token: str
    holder: bytes | None


class Session(ABC):
    """A connection to a server, made when it is needed. Every call may be made again after an AwayError.

    Calls raise AwayError where another attempt may succeed and KeyStoreError where none will.
    """

    provider: str  # as people call it
    remedy: str  # what to do if it does not answer
    patience: float  # seconds after which a call ends, even if bytes still come in

    @abstractmethod
    def create(self, name: str, state: bytes, head: bytes, token: str) -> bool:
        """Store a new log at once; False if there is one that was not made with this token."""

    @abstractmethod
    def names(self) -> list[str]:
        """Return the names of all logs, in any order."""

    @abstractmethod
    def load(self, name: str) -> Record | None:
        """Return all that there is of a log, or None."""

    @abstractmethod
    def peek(self, name: str) -> Record | None:
        """Return all that there is of a log but its state, of which no byte may come here; an empty one stands for it.

        The version of the state grows whenever that is replaced, and need not be the one that `load` gives.
        """

    @abstractmethod
    def take(self, name: str, token: str, who: bytes) -> bytes | None:
        """Give the lease of an existing log to a token, or return its holder. The state must not come here."""

    def claim(self, name: str, token: str) -> None:
        """Let nobody replace the state any more but the token that holds the lease, where `take` could not do that."""
        return

    @abstractmethod
    def replace(self, name: str, field: Field, data: bytes, token: str, low: int, high: int) -> bool:
        """Replace state or head if the token holds the lease and the version is between two, and make it high + 1.

        True also if it is that already: an earlier attempt got through.
        """

    @abstractmethod
    def renew(self, name: str, token: str) -> bool:
        """Keep the lease from passing to others; False if it did already."""

    @abstractmethod
    def release(self, name: str, token: str) -> None:
        """Give the lease back, if the token holds it."""

    @abstractmethod
    def remove(self, name: str, token: str) -> None:
        """Erase a log whose lease the token holds."""

    @abstractmethod
    def note(self, name: str) -> bytes | None:
        """Return the note, or None."""

    @abstractmethod
    def replace_note(self, name: str, note: bytes, token: str) -> None:
        """Replace the note."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection; the next call makes another. Never raises."""

    @abstractmethod
    def forget(self) -> None:
        """In a forked child: close its copy of the connection without a word to the server."""


Connect = Callable[[Place], Session]
"""Makes a session; nothing is opened yet."""


def insist_on(session: Session, place: Place, work: Callable[[], T]) -> T:
    """Do some work, again and again while the server is away, until the time is over.

    Raises:
        KeyStoreError: The server is still away, or another attempt cannot succeed.
    """
    patience = session.patience

    def attempt(seconds: float) -> T:
        session.patience = seconds
        return work()

    try:
        return insist(attempt, place.timeout, session.close)
    except AwayError as error:
        raise unanswered(session, place, error) from None
    finally:
        session.patience = patience


def unanswered(session: Session, place: Place, error: AwayError) -> KeyStoreError:
    """Return the error for a server that is away, with what to do."""
    return KeyStoreError(f"{session.provider} at {place.shown}: {error}", hint=session.remedy)

"""What the key stores on servers share: the right to write, retries, and words for what goes wrong.

A backend gives a `Session`: a connection that is made at its first use and again after a failure. The right to write
is a token, drawn anew for each lease and kept beside the state and the head, each of which also has a version that
only grows. A server puts something in the place of another only for the token that is there and the version that is
expected. So it does not matter how late a writer learns that its right has passed to another: it can write nothing.
"""

import os
import secrets
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

from tallystick._services import AwayError, insist
from tallystick.errors import KeyStoreError, LeaseLostError
from tallystick.keystore.base import (
    NOTE_LIMIT,
    Grant,
    HeadText,
    Stored,
    check_entry,
    check_name,
    check_sizes,
    ourselves,
    shown,
)

__all__ = ["Field", "Place", "Record", "RemoteLease", "RemoteStore", "Session"]

Field = Literal["state", "head"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server is, and how long to wait for it.

    Args:
        url: The URL as it was given, with any password.
        shown: The URL without a password, and with those options only that are known to be harmless.
        timeout: Seconds that a call may take, with all its attempts.
        expiry: Seconds after which the right of a writer that says nothing any more passes to others.
        options: What else stood behind `?`.

    >>> Place.parse("redis://app:secret@db.example/0?timeout=2", {}).shown
    'redis://app@db.example/0?timeout=2'
    """

    url: str
    shown: str
    timeout: float
    expiry: float
    options: dict[str, str]

    @classmethod
    def parse(cls, url: str, known: dict[str, str] | None, harmless: Iterable[str] = ()) -> Self:
        """Take a URL apart.

        Args:
            url: The URL.
            known: Options that the backend knows, with their defaults; none of them is secret. None if it takes any,
                and looks at hosts and ports itself.
            harmless: What else may be shown of the options.

        Raises:
            KeyStoreError: It is none, or an option is not known. The message does not show it: it may hold a password.
        """
        scheme = url.partition(":")[0]
        try:
            parts = urlsplit(url)
            # A plus is a plus here; only forms of the web mean a blank by it.
            query = parts.query.replace("+", "%2B")
            options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
            open_to_all = {key: options[key] for key in options if key in {"timeout", "expiry", *(known or harmless)}}
            timeout, expiry = float(options.pop("timeout", 5)), float(options.pop("expiry", 30))
            # Where another @ or # stands, a password goes on that is taken for something to be shown.
            plain = url.isprintable() and not set(url) & set(" #") and url.count("@") == int("@" in parts.netloc)
            whole = url.startswith(f"{scheme}://") and (known is None or (parts.netloc and parts.port != 0))
            if not (plain and whole and 0.1 <= timeout <= 600 and 1 <= expiry <= 3600):
                raise ValueError
        except ValueError:
            raise KeyStoreError(
                f"the URL of the key store on {scheme} is malformed; write {scheme}://HOST:PORT/... with %40 for @ and "
                "so on in a user or a password, and after ? at most timeout (0.1 to 600 seconds) and expiry (1 to 3600 "
                "seconds) besides its own options"
            ) from None
        if known is not None and (strange := sorted(set(options) - set(known))):
            raise KeyStoreError(f"a key store on {scheme} knows no option {strange[0]!r}; {_listed(known)}")
        user, host = parts.netloc.rpartition("@")[::2]
        place = f"{user.partition(':')[0]}@{host}" if user.partition(":")[0] else host
        shown = f"{scheme}://{place}{parts.path}" + ("?" if open_to_all else "") + urlencode(open_to_all, safe="/,:")
        return cls(url, shown, timeout, expiry, {**(known or {}), **options})


def _listed(known: dict[str, str]) -> str:
    return "known are " + ", ".join(sorted([*known, "timeout", "expiry"]))


@dataclass(frozen=True, slots=True, repr=False)
class Record:
    """What a server holds for a log.

    Args:
        stored: Its state and its head.
        versions: The version of each; it grows whenever one is replaced.
        token: That of the last writer who took the right.
        holder: Who has the right now, in his words, or None.
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
    patience: float  # seconds after which a call ends, whatever comes in

    @abstractmethod
    def create(self, name: str, state: bytes, head: bytes, token: str) -> bool:
        """Store a new log at once; False if there is one that was not made with this token."""

    @abstractmethod
    def names(self) -> list[str]:
        """Return the names of all logs, in any order."""

    @abstractmethod
    def load(self, name: str) -> Record | None:
        """Return what there is of a log, or None."""

    @abstractmethod
    def peek(self, name: str) -> Record | None:
        """Return what there is of a log but its state, of which no byte may come here; an empty one stands for it.

        The version of the state grows whenever that is replaced, and need not be the one that `load` gives.
        """

    @abstractmethod
    def take(self, name: str, token: str, who: bytes) -> bytes | None:
        """Give the right over an existing log to a token, or return who has it. The state must not come here."""

    def claim(self, name: str, token: str) -> None:
        """Let nobody replace the state any more but a token that has the right, where `take` could not do that."""
        return

    @abstractmethod
    def replace(self, name: str, field: Field, data: bytes, token: str, low: int, high: int) -> bool:
        """Replace state or head if the token has the right and the version is between two, and make it high + 1.

        True also if that is what it is already: an earlier attempt got through.
        """

    @abstractmethod
    def renew(self, name: str, token: str) -> bool:
        """Keep the right from passing to others; False if it did already."""

    @abstractmethod
    def release(self, name: str, token: str) -> None:
        """Give the right back, if the token has it."""

    @abstractmethod
    def remove(self, name: str, token: str) -> None:
        """Erase a log that the token has the right to."""

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


class RemoteStore:
    """A key store on a server.

    Args:
        place: Where it is.
        connect: Makes a session; nothing is opened yet.
    """

    def __init__(self, place: Place, connect: Callable[[Place], Session]) -> None:
        self._place, self._connect = place, connect
        self.url = place.shown

    def __eq__(self, other: object) -> bool:
        """Is it the same place? What is not shown of its URL counts as well."""
        return isinstance(other, RemoteStore) and self._place == other._place

    def __hash__(self) -> int:
        return hash(self._place.url)

    def create(self, name: str, state: bytes, head: bytes | bytearray) -> None:
        """Store a new log, whole and durable or not at all.

        Raises:
            KeyStoreError: There is a log of this name, the name is none, or the store cannot be written.
        """
        check_entry(name)
        check_sizes(name, state, head)
        token = secrets.token_hex(16)
        if not self._ask(lambda session: session.create(name, state, bytes(head), token)):
            raise KeyStoreError(f"there is a log {name} in {self.url}; take another name")

    def remove(self, name: str) -> None:
        """Erase a log whose set-up was not carried through.

        Raises:
            KeyStoreError: There is no such log, someone is writing it, or the store cannot be written.
        """
        with self.lease(name) as lease:
            lease._remove()

    def names(self) -> list[str]:
        """Return the names of all logs, sorted.

        Raises:
            KeyStoreError: The store is not there or cannot be read.
        """
        return sorted(name for name in self._ask(lambda session: session.names()) if _is_name(name))

    def under_way(self) -> list[str]:
        """Return the names of entries that a change of keys or place made and has not finished, sorted.

        Raises:
            KeyStoreError: The store is not there or cannot be read.
        """
        return sorted(name for name in self._ask(lambda session: session.names()) if name.startswith("~"))

    def grant(self) -> Grant:
        """Return what another process needs to use this store."""
        return Grant({"url": self._place.url})

    def load(self, name: str) -> Stored:
        """Return what the store holds for a log, without the right to write it.

        Raises:
            KeyStoreError: There is no such log, or it cannot be read.
        """
        check_entry(name)
        record = self._ask(lambda session: session.load(name))
        return (record or self._record(name)).stored

    def head(self, name: str) -> HeadText | None:
        """Return the head of a log, without its state.

        Raises:
            KeyStoreError: There is no such log, or it cannot be read.
        """
        return self._record(name).stored.head

    def note(self, name: str) -> bytes | None:
        """Return what the writer of a log last said of itself, or None.

        Raises:
            KeyStoreError: There is no such log, or it cannot be read.
        """
        self._record(name)
        return self._ask(lambda session: session.note(name))

    def holder(self, name: str) -> str | None:
        """Return who has the right to write a log now, in words for people, or None.

        Raises:
            KeyStoreError: There is no such log, or it cannot be read.
        """
        holder = self._record(name).holder
        return None if holder is None else shown(holder[:400])

    def lease(self, name: str) -> "RemoteLease":
        """Take the exclusive right to write a log.

        Raises:
            KeyStoreError: Someone else has it (named), there is no such log, or it cannot be written.
        """
        self._record(name)
        return RemoteLease(name, self._place, self._connect)

    def borrow(self, name: str, token: str) -> "RemoteLease":
        """Return the lease that another process of ours has.

        Raises:
            KeyStoreError: The right is gone, or the server cannot be reached.
        """
        return RemoteLease(name, self._place, self._connect, token)

    def _record(self, name: str) -> Record:
        check_entry(name)
        record = self._ask(lambda session: session.peek(name))
        if record is None:
            held = ", ".join(self.names())
            raise KeyStoreError(
                f"there is no log {name} in {self.url}; "
                + (f"it holds {held}" if held else f"make it with `tallystick init {name}`")
            )
        return record

    def _ask(self, work: Callable[[Session], T]) -> T:
        session = self._connect(self._place)
        try:
            return _insist(session, self._place, lambda: work(session))
        finally:
            session.close()


class RemoteLease:
    """The exclusive right to write one log on a server; made by the `lease` of its store.

    A thread renews it. While the server is away it goes on to be ours, until another writer takes it.
    """

    def __init__(
        self, name: str, place: Place, connect: Callable[[Place], Session], borrowed: str | None = None
    ) -> None:
        """Take the right; or work under that of another process, whose token was `borrowed`."""
        self.name = name
        self._place, self._connect, self._session = place, connect, connect(place)
        self._pid = os.getpid()
        self._token = borrowed or secrets.token_hex(16)
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._released = False
        self._lost: str | None = None
        # What the versions may be: a replacement whose answer got lost may have been made or not.
        self._least: dict[Field, int] = {"state": 0, "head": 0}
        self._most: dict[Field, int] = {"state": 0, "head": 0}
        self._peeked: dict[Field, int] = {"state": 0, "head": 0}
        self._claimed = False
        _LEASES.add(self)
        try:
            if borrowed:
                self.load()
                return
            self._take()
        except BaseException:
            self._session.close()
            raise
        threading.Thread(target=self._renew, name=f"tallystick right {name}", daemon=True).start()

    def load(self) -> Stored:
        """Return what the store holds. Never called in a writer, whose memory must not hold a state.

        Raises:
            KeyStoreError: It cannot be read, or the right is gone.
        """
        with self._ours():
            return self._load().stored

    def head(self) -> HeadText | None:
        """Return the head, without the state.

        Raises:
            KeyStoreError: It cannot be read, or the right is gone.
        """
        return self._peek().stored.head

    def state_version(self) -> int:
        """Return a number that grows whenever the state is replaced, without the state.

        Raises:
            KeyStoreError: It cannot be read, or the right is gone.
        """
        return self._peek().versions["state"]

    def confirm(self) -> None:
        """Look whether the right is still there.

        Raises:
            KeyStoreError: It is gone, or that cannot be found out.
        """
        self._peek()

    def grant(self) -> Grant:
        """Return what another process needs to work under this lease as long as this one waits for it."""
        with self._ours():
            return Grant({"url": self._place.url, "name": self.name, "token": self._token})

    def store(self) -> RemoteStore:
        """Return the key store."""
        return RemoteStore(self._place, self._connect)

    def replace_state(self, state: bytes) -> None:
        """Put another state in the place of the one there; durable on return, and the old one is erased.

        Raises:
            KeyStoreError: It cannot be written, or the right is gone. The old or the new state is there.
        """
        check_sizes(self.name, state, b"")
        self._replace("state", state)

    def replace_head(self, head: bytes | bytearray) -> None:
        """Put another head in the place of the one there; durable on return, and the old one is erased.

        Raises:
            KeyStoreError: It cannot be written, or the right is gone. The old or the new head is there.
        """
        check_sizes(self.name, b"", head)
        self._replace("head", bytes(head))

    def note(self) -> bytes | None:
        """Return what a writer last said of itself, or None.

        Raises:
            KeyStoreError: It cannot be read, or the right is gone.
        """
        with self._ours():
            return self._insist(lambda: self._session.note(self.name))

    def replace_note(self, note: bytes) -> None:
        """Say something of the writer, for people: at most 4,096 bytes, not secret, and it need not outlast a crash.

        Raises:
            KeyStoreError: It cannot be written, or the right is gone.
        """
        with self._ours():
            try:
                self._session.replace_note(self.name, note[:NOTE_LIMIT], self._token)
            except AwayError as error:  # it is not worth waiting for
                self._session.close()
                raise _unanswered(self._session, self._place, error) from None

    def release(self) -> None:
        """Give the right back. In a forked child this does nothing: the right is its parent's.

        A server that is away keeps it until it expires.
        """
        if self._released or self._pid != os.getpid():
            return
        with self._lock:
            self._released = True
            self._over.set()
            if self._lost is None:
                with suppress(KeyStoreError):
                    self._insist(lambda: self._session.release(self.name, self._token))
            self._session.close()

    def __enter__(self) -> Self:
        """Return the lease itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the right back."""
        self.release()

    def _take(self) -> None:
        holder = self._insist(lambda: self._session.take(self.name, self._token, ourselves().encode()))
        if holder is not None:
            raise KeyStoreError(f"log {self.name} is being written by {shown(holder[:400])}; only one writer at a time")
        self._least["head"] = self._most["head"] = self._look().versions["head"]

    def _peek(self) -> Record:
        with self._ours():
            return self._look()

    def _look(self) -> Record:
        least: dict[Field, int] = {"state": self._peeked["state"], "head": self._least["head"]}
        record = self._check(self._insist(lambda: self._session.peek(self.name)), least)
        self._peeked = dict(record.versions)
        return record

    def _load(self) -> Record:
        if not self._claimed:
            self._insist(lambda: self._session.claim(self.name, self._token))
        record = self._check(self._insist(lambda: self._session.load(self.name)), self._least)
        self._claimed = True
        self._least = dict(record.versions)
        self._most = {field: max(self._most[field], least) for field, least in self._least.items()}
        return record

    def _replace(self, field: Field, data: bytes) -> None:
        with self._ours():
            if field == "state" and not self._claimed:
                self._load()
            low, high = self._least[field], self._most[field]
            self._most[field] = high + 1
            if not self._insist(lambda: self._session.replace(self.name, field, data, self._token, low, high)):
                self._most[field] = high
                self._look()
                raise KeyStoreError(f"{self._place.shown} did not take the {field} of log {self.name}; try again")
            self._least[field] = high + 1

    def _remove(self) -> None:
        with self._ours():
            if not self._claimed:
                self._load()
            self._insist(lambda: self._session.remove(self.name, self._token))
            self._lost = f"log {self.name} was removed"

    def _renew(self) -> None:
        """Keep the right alive; what goes wrong is told by the next use."""
        while not self._over.wait(self._place.expiry / 3):
            with self._lock, suppress(KeyStoreError):
                if self._released or self._lost:
                    return
                try:
                    kept = self._session.renew(self.name, self._token)
                except AwayError:
                    self._session.close()
                    continue
                if not kept:
                    self._look()

    def _check(self, record: Record | None, least: dict[Field, int]) -> Record:
        """Give back what was loaded, if it is what we left there, of these versions at least."""
        if record is None:
            self._lost = (
                f"log {self.name} is gone from {self._place.shown} while it was being written; look into who "
                "removed it or which backup was restored, and start a new log"
            )
        elif any(record.versions[field] < version for field, version in least.items()):
            self._lost = (
                f"what {self._place.shown} holds for log {self.name} is older than what was written there: a restored "
                "backup must not be sealed with; start a new log"
            )
        elif record.token != self._token:
            who = "another writer, which has ended" if record.holder is None else shown(record.holder[:400])
            self._lost = f"the right to write log {self.name} passed to {who}; only one writer at a time"
        else:
            return record
        raise LeaseLostError(self._lost)

    @contextmanager
    def _ours(self) -> Iterator[None]:
        if self._pid != os.getpid():
            raise LeaseLostError(
                f"the right to write log {self.name} stays with process {self._pid}; "
                "a forked child must open a log of its own"
            )
        with self._lock:
            if self._released:
                raise LeaseLostError(f"the right to write log {self.name} has been given back; open the log anew")
            if self._lost:
                raise LeaseLostError(self._lost)
            yield

    def _insist(self, work: Callable[[], T]) -> T:
        return _insist(self._session, self._place, work)


_LEASES: weakref.WeakSet[RemoteLease] = weakref.WeakSet()


def _after_fork() -> None:
    for lease in list(_LEASES):
        lease._session.forget()
    _LEASES.clear()


os.register_at_fork(after_in_child=_after_fork)


def _insist(session: Session, place: Place, work: Callable[[], T]) -> T:
    """Do some work, again and again while the server is away, until the time is over."""
    patience = session.patience

    def attempt(seconds: float) -> T:
        session.patience = seconds
        return work()

    try:
        return insist(attempt, place.timeout, session.close)
    except AwayError as error:
        raise _unanswered(session, place, error) from None
    finally:
        session.patience = patience


def _unanswered(session: Session, place: Place, error: AwayError) -> KeyStoreError:
    return KeyStoreError(f"{session.provider} at {place.shown}: {error}; {session.remedy}")


def _is_name(name: str) -> bool:
    try:
        check_name(name)
    except KeyStoreError:
        return False
    return True

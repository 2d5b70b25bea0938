"""The lease of a log on a server.

A lease is a token, drawn for each writer and stored beside the state and the head, each of which also has a version
that only grows. A server replaces something only for the token that is there and the version that is expected. So it
does not matter how late a writer learns that its lease is lost: it can write nothing.
"""

import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from tallystick._services import AwayError
from tallystick.errors import ONE_WRITER, KeyStoreError, LeaseLostError, LogBusyError
from tallystick.keystore.base import (
    NOTE_LIMIT,
    Grant,
    HeadText,
    KeyStore,
    Lease,
    Stored,
    check_sizes,
    forget_in_children,
)
from tallystick.keystore.names import ourselves, shown
from tallystick.keystore.remote.place import Place
from tallystick.keystore.remote.session import Connect, Field, Record, insist_on, unanswered

__all__ = ["RemoteLease"]

T = TypeVar("T")


class RemoteLease(Lease):
    """The lease of one log on a server, made by the `lease` of its store; `Lease` describes its methods.

    A thread renews it. While the server is away it goes on to be ours, until another writer takes it.

    Args:
        name: Name of the log.
        store: Its key store.
        place: That of the store.
        connect: That of the store.
        borrowed: Token of the lease of another process, to work under that; None to take the lease.
    """

    def __init__(self, name: str, store: KeyStore, place: Place, connect: Connect, borrowed: str | None = None) -> None:
        super().__init__(name)
        self._store, self._place, self._session = store, place, connect(place)
        self._token = borrowed or secrets.token_hex(16)
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._lost: str | None = None
        # Bounds of the versions: a replacement whose answer got lost may have been made or not.
        self._least: dict[Field, int] = {"state": 0, "head": 0}
        self._most: dict[Field, int] = {"state": 0, "head": 0}
        self._peeked: dict[Field, int] = {"state": 0, "head": 0}
        self._claimed = False
        forget_in_children(self)
        try:
            if borrowed:
                self.load()
                return
            self._take()
        except BaseException:
            self._session.close()
            raise
        threading.Thread(target=self._renew, name=f"tallystick lease {name}", daemon=True).start()

    def load(self) -> Stored:
        with self._ours():
            return self._load().stored

    def head(self) -> HeadText | None:
        return self._peek().stored.head

    def state_version(self) -> int:
        return self._peek().versions["state"]

    def confirm(self) -> None:
        self._peek()

    def grant(self) -> Grant:
        with self._ours():
            return Grant({"url": self._place.url, "name": self.name, "token": self._token})

    def store(self) -> KeyStore:
        return self._store

    def replace_state(self, state: bytes) -> None:
        check_sizes(self.name, state, b"")
        self._replace("state", state)

    def replace_head(self, head: bytes | bytearray) -> None:
        check_sizes(self.name, b"", head)
        self._replace("head", bytes(head))

    def note(self) -> bytes | None:
        with self._ours():
            return self._insist(lambda: self._session.note(self.name))

    def replace_note(self, note: bytes) -> None:
        with self._ours():
            try:
                self._session.replace_note(self.name, note[:NOTE_LIMIT], self._token)
            except AwayError as error:  # it is not worth waiting for
                self._session.close()
                raise unanswered(self._session, self._place, error) from None

    def remove(self) -> None:
        """Erase the log.

        Raises:
            KeyStoreError: It cannot be erased, or the lease is lost.
        """
        with self._ours():
            if not self._claimed:
                self._load()
            self._insist(lambda: self._session.remove(self.name, self._token))
            self._lost = f"log {self.name} was removed"

    def release(self) -> None:
        if self._released or self._pid != os.getpid():
            return
        with self._lock:
            self._released = True
            self._over.set()
            if self._lost is None:
                with suppress(KeyStoreError):
                    self._insist(lambda: self._session.release(self.name, self._token))
            self._session.close()

    def _take(self) -> None:
        holder = self._insist(lambda: self._session.take(self.name, self._token, ourselves().encode()))
        if holder is not None:
            raise LogBusyError(f"log {self.name} is being written by {shown(holder[:400])}", hint=ONE_WRITER)
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
                raise KeyStoreError(
                    f"{self._place.shown} did not take the {field} of log {self.name}", hint="try again"
                )
            self._least[field] = high + 1

    def _renew(self) -> None:
        """Renew the lease; the next use reports trouble."""
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
        """Return a loaded record if it is the one that we left there, of these versions at least."""
        if record is None:
            self._lost = (
                f"log {self.name} is gone from {self._place.shown} while it was being written; look into who "
                "removed it or which backup was restored, and start a new log"
            )
        elif any(record.versions[field] < version for field, version in least.items()):
            self._lost = (
                f"{self._place.shown} holds something older for log {self.name} than was written there: a restored "
                "backup must not be sealed with; start a new log"
            )
        elif record.token != self._token:
            who = "another writer, which has ended" if record.holder is None else shown(record.holder[:400])
            self._lost = f"the lease of log {self.name} passed to {who}; only one writer at a time"
        else:
            return record
        raise LeaseLostError(self._lost)

    @contextmanager
    def _ours(self) -> Iterator[None]:
        self._check_held()  # before the lock, which a forked child may find taken
        with self._lock:
            self._check_held()
            if self._lost:
                raise LeaseLostError(self._lost)
            yield

    def _insist(self, work: Callable[[], T]) -> T:
        return insist_on(self._session, self._place, work)

    def _forget(self) -> None:
        self._session.forget()

"""A key store on a server: each call is a session of its own."""

import secrets
from collections.abc import Callable
from typing import TypeVar

from tallystick.errors import KeyStoreError
from tallystick.keystore.base import Grant, HeadText, KeyStore, Stored, check_sizes
from tallystick.keystore.names import check_entry, check_name, shown
from tallystick.keystore.remote.lease import RemoteLease
from tallystick.keystore.remote.place import Place
from tallystick.keystore.remote.session import Connect, Record, Session, insist_on

__all__ = ["RemoteStore"]

T = TypeVar("T")


class RemoteStore(KeyStore):
    """A key store on a server; `KeyStore` describes its methods.

    Args:
        place: Its place.
        connect: Makes a session; nothing is opened yet.
    """

    def __init__(self, place: Place, connect: Connect) -> None:
        self._place, self._connect = place, connect
        self.url = place.shown

    def __eq__(self, other: object) -> bool:
        """Is it the same place? Parts of its URL that are not shown count as well."""
        return isinstance(other, RemoteStore) and self._place == other._place

    def __hash__(self) -> int:
        return hash(self._place.url)

    def create(self, name: str, state: bytes, head: bytes | bytearray) -> None:
        check_entry(name)
        check_sizes(name, state, head)
        token = secrets.token_hex(16)
        if not self._ask(lambda session: session.create(name, state, bytes(head), token)):
            raise self._present(name)

    def remove(self, name: str) -> None:
        with self.lease(name) as lease:
            lease.remove()

    def names(self) -> list[str]:
        return sorted(name for name in self._ask(lambda session: session.names()) if _is_name(name))

    def under_way(self) -> list[str]:
        return sorted(name for name in self._ask(lambda session: session.names()) if name.startswith("~"))

    def grant(self) -> Grant:
        return Grant({"url": self._place.url})

    def load(self, name: str) -> Stored:
        check_entry(name)
        record = self._ask(lambda session: session.load(name))
        return (record or self._record(name)).stored

    def head(self, name: str) -> HeadText | None:
        return self._record(name).stored.head

    def note(self, name: str) -> bytes | None:
        self._record(name)
        return self._ask(lambda session: session.note(name))

    def holder(self, name: str) -> str | None:
        holder = self._record(name).holder
        return None if holder is None else shown(holder[:400])

    def lease(self, name: str) -> RemoteLease:
        self._record(name)
        return RemoteLease(name, self, self._place, self._connect)

    def borrow(self, grant: Grant) -> RemoteLease:
        return RemoteLease(grant.place["name"], self, self._place, self._connect, grant.place["token"])

    def _record(self, name: str) -> Record:
        check_entry(name)
        record = self._ask(lambda session: session.peek(name))
        if record is None:
            raise self._absent(name, self.names())
        return record

    def _ask(self, work: Callable[[Session], T]) -> T:
        session = self._connect(self._place)
        try:
            return insist_on(session, self._place, lambda: work(session))
        finally:
            session.close()


def _is_name(name: str) -> bool:
    try:
        check_name(name)
    except KeyStoreError:
        return False
    return True

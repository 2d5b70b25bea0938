"""OpenBao or HashiCorp Vault as key store: `openbao://HOST[:PORT]/MOUNT[/PREFIX]`, or `vault://...`, in KV version 2.

Below the mount and the prefix (`tallystick` if there is none) are `state/NAME`, `head/NAME`, `lease/NAME` and
`note/NAME`, and `piece/NAME/...` of a state that is larger than a server takes at once. Each replacement names the
version it replaces. Only the newest version of each is kept: old states and heads are secrets of the past. The lease
is a record with the name of its holder that expires by the server's clock. `tallystick._openbao` logs in.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from tallystick._openbao import OPTIONS, REMEDY, Server
from tallystick._services import AwayError, Line
from tallystick.errors import KeyStoreError
from tallystick.keystore.base import HeadText, Stored
from tallystick.keystore.kv import Found, Secrets, no_mount, text_of
from tallystick.keystore.remote import Field, Place, Record, RemoteStore, Session
from tallystick.secreturl import SecretUrl

__all__ = ["open_store"]


def open_store(url: SecretUrl) -> RemoteStore:
    """Return the key store at a URL; nothing is opened yet.

    Raises:
        KeyStoreError: It is malformed, or the package hvac is not installed.
    """
    place = Place.parse(url, OPTIONS)
    if not urlsplit(str(url)).path.strip("/"):
        raise KeyStoreError(
            f"{place.shown} names no mount", hint=f"write {place.shown.rstrip('/')}/MOUNT or .../MOUNT/PREFIX"
        )
    if "@" in urlsplit(url.reveal()).netloc:
        raise KeyStoreError("the URL of an OpenBao server holds no token", hint="give it by the variable BAO_TOKEN")
    host = urlsplit(url.reveal()).netloc
    server = Server(place.shown, host, place.options, place.timeout / 2, "openbao", KeyStoreError)
    hvac = server.hvac  # so that its absence is reported at once
    return RemoteStore(place, lambda place: OpenBaoSession(place, server, hvac))


class OpenBaoSession(Session):
    """A connection to OpenBao or Vault; `Session` describes its methods."""

    provider = "OpenBao"
    remedy = REMEDY

    def __init__(self, place: Place, server: Server, hvac: Any) -> None:
        self._place, self._server, self._hvac = place, server, hvac
        self.patience, self._line = place.timeout / 2, Line()
        self._open: Any = None
        self._secrets: Secrets
        self._mount, _, prefix = urlsplit(place.url.reveal()).path.strip("/").partition("/")
        self._prefix = prefix or "tallystick"

    def create(self, name: str, state: bytes, head: bytes, token: str) -> bool:
        with self._connected():
            if (found := self._secrets.read("state", name)) is not None:
                return bool(found.content["token"] == token)
            # Two processes that make the same log must not mix heads and states, so this needs the lease as well.
            if self._take_lease(name, token, b"another process that makes it") is not None:
                raise AwayError("is making this log for another process just now")
            for kind, data in (("head", head), ("state", state)):  # the state last: with it the log is there
                self._secrets.keep_one(kind, name)
                old = self._secrets.read(kind, name)
                content = self._secrets.content(name, data, 1, token)
                if not self._secrets.put(kind, name, content, old.version if old else 0):
                    raise AwayError("is making this log for another process just now")
            self._drop_lease(name, token)
            return True

    def names(self) -> list[str]:
        with self._connected():
            return self._secrets.names("state")

    def load(self, name: str) -> Record | None:
        with self._connected():
            state, head = self._secrets.read("state", name), self._secrets.read("head", name)
            if state is None:
                return None
            stored = Stored(self._secrets.whole(name, state), None if head is None else HeadText(head.data()))
            versions: dict[Field, int] = {
                "state": int(state.content["version"]),
                "head": 0 if head is None else int(head.content["version"]),
            }
            return Record(
                stored, versions, str(state.content["token"]), self._holder(self._secrets.read("lease", name))
            )

    def peek(self, name: str) -> Record | None:
        """As in `Session`; the version of the state is that of the secret."""
        with self._connected():
            versions: dict[Field, int] = {"state": self._secrets.version("state", name), "head": 0}
            if not versions["state"]:
                return None
            head, lease = self._secrets.read("head", name), self._secrets.read("lease", name)
            marked = head or lease
            if head is not None:
                versions["head"] = int(head.content["version"])
            stored = Stored(b"", None if head is None else HeadText(head.data()))
            token = "" if marked is None else str(marked.content["token"])
            return Record(stored, versions, token, self._holder(lease))

    def take(self, name: str, token: str, who: bytes) -> bytes | None:
        with self._connected():
            holder = self._take_lease(name, token, who)
            if holder is not None:
                return holder
            # From here on nothing that the last writer still sends finds the version that it expects.
            self._secrets.keep_one("head", name)
            self._secrets.mark("head", name, token)
            return None

    def claim(self, name: str, token: str) -> None:
        with self._connected():
            lease = self._secrets.read("lease", name)
            if lease is None or lease.content["token"] != token:
                return  # the lease has passed to another writer, which the next look reports
            self._secrets.keep_one("state", name)
            self._secrets.mark("state", name, token)
            if (state := self._secrets.read("state", name)) is not None:
                self._secrets.sweep(name, state.content.get("pieces", []))  # remains of a crash

    def replace(self, name: str, field: Field, data: bytes, token: str, low: int, high: int) -> bool:
        with self._connected():
            found = self._secrets.read(field, name)
            version = 0 if found is None else int(found.content["version"])
            guard = found or self._secrets.read("lease", name)
            if guard is None or guard.content["token"] != token:
                return False
            if version == high + 1:
                return True
            if not low <= version <= high:
                return False
            content = self._secrets.content(name, data, high + 1, token)
            done = self._secrets.put(field, name, content, found.version if found else 0)
            if done and field == "state":
                self._secrets.sweep(name, content.get("pieces", []))
            return done

    def renew(self, name: str, token: str) -> bool:
        with self._connected():
            found = self._secrets.read("lease", name)
            if found is None or found.content["token"] != token:
                return False
            return self._secrets.put("lease", name, found.content, found.version)

    def release(self, name: str, token: str) -> None:
        with self._connected():
            self._drop_lease(name, token)

    def remove(self, name: str, token: str) -> None:
        with self._connected():
            found = self._secrets.read("state", name)
            if found is not None and found.content["token"] != token:
                return
            for kind in ("state", "head", "note"):
                self._secrets.erase(kind, name)
            self._secrets.sweep(name, [])
            self._secrets.erase("lease", name)

    def note(self, name: str) -> bytes | None:
        with self._connected():
            found = self._secrets.read("note", name)
            return None if found is None else found.data()

    def replace_note(self, name: str, note: bytes, token: str) -> None:
        with self._connected():
            self._secrets.put("note", name, {"data": text_of(note)}, None)

    def close(self) -> None:
        client, self._open = self._open, None
        if client is not None:
            with suppress(Exception):
                client.adapter.close()
        self._line.close()

    def forget(self) -> None:
        """In a forked child: close our copy of the connection; HTTP has no goodbye."""
        self._line.forget()
        self.close()

    def _take_lease(self, name: str, token: str, who: bytes) -> bytes | None:
        found = self._secrets.read("lease", name)
        if found is None:
            self._secrets.keep_one("lease", name)
        elif found.content["token"] != token and (holder := self._holder(found)) is not None:
            return holder
        content = {"token": token, "who": who.decode("ascii", "replace"), "expiry": self._place.expiry}
        if not self._secrets.put("lease", name, content, found.version if found else 0):
            raise AwayError("gives the lease to another writer just now")
        return None

    def _drop_lease(self, name: str, token: str) -> None:
        found = self._secrets.read("lease", name)
        if found is not None and found.content["token"] == token:
            self._secrets.put("lease", name, {"token": "", "who": "", "expiry": 0}, found.version)

    def _holder(self, lease: Found | None) -> bytes | None:
        if lease is None or not lease.content["token"]:
            return None
        health = self._open.sys.read_health_status(method="GET")
        now = int((health if isinstance(health, dict) else health.json())["server_time_utc"])  # a standby's is raw
        since = datetime.fromisoformat(lease.since[:19]).replace(tzinfo=UTC).timestamp()
        return str(lease.content["who"]).encode() if now - since <= float(lease.content["expiry"]) else None

    @contextmanager
    def _connected(self) -> Iterator[None]:
        """Give a block an open connection, and turn its trouble into errors for people."""
        errors, old = self._hvac.exceptions, self._open is not None
        with self._line.within(self.patience), self._server.reporting():
            try:
                if self._open is None:
                    self._open = self._server.client(self._line)
                    kv = self._open.secrets.kv.v2
                    self._secrets = Secrets(kv, errors, self._mount, self._prefix, self._place.shown)
                yield
            except (errors.Forbidden, errors.Unauthorized):
                if old:  # a login expires: the next attempt logs in again
                    raise AwayError("does not take the login from before") from None
                raise
            except errors.InvalidPath:
                raise no_mount(self._place.shown, self._mount) from None
            except errors.InvalidRequest:
                raise KeyStoreError(
                    f"OpenBao at {self._place.shown} refuses a request",
                    hint=f"see that {self._mount!r} is KV of version 2 "
                    "and that the state is not larger than the server's storage takes",
                ) from None

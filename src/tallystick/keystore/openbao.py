"""OpenBao or HashiCorp Vault as key store: `openbao://HOST[:PORT]/MOUNT[/PREFIX]`, or `vault://...`, in KV version 2.

Behind the mount and the prefix (`tallystick` if there is none) lie `state/NAME`, `head/NAME`, `lease/NAME` and
`note/NAME`, and `piece/NAME/...` of a state that is larger than a server takes at once. Each replacement names the
version it replaces. Of each only the newest version is kept: old states and heads are secrets of the past. The right
is a record with the name of its holder that expires by the server's clock.
`tallystick._openbao` says how it is logged in to.
"""

import base64
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from tallystick._openbao import OPTIONS, REMEDY, Server
from tallystick._services import AwayError, Line
from tallystick.errors import KeyStoreError
from tallystick.keystore.base import HeadText, Stored
from tallystick.keystore.remote import Field, Place, Record, RemoteStore, Session

__all__ = ["open_store"]

_PIECE = 512 * 1024  # bytes: Raft storage takes a MiB at once, in base64
_ROUNDS = 5  # attempts to put our token where the last writer may be about to write


@dataclass(frozen=True, slots=True, repr=False)
class _Found:
    """What lies at a path, its version in the server's count, and when it was put there."""

    content: dict[str, Any]
    version: int
    since: str


def open_store(url: str) -> RemoteStore:
    """Return the key store at a URL; nothing is opened yet.

    Raises:
        KeyStoreError: It is malformed, or the package hvac is not installed.
    """
    place = Place.parse(url, OPTIONS)
    if not urlsplit(url).path.strip("/"):
        raise KeyStoreError(f"{place.shown} names no mount; write {place.shown.rstrip('/')}/MOUNT or .../MOUNT/PREFIX")
    if "@" in urlsplit(url).netloc:
        raise KeyStoreError("the URL of an OpenBao server holds no token; give it by the variable BAO_TOKEN")
    host = urlsplit(url).netloc
    server = Server(place.shown, host, place.options, place.timeout / 2, "openbao", KeyStoreError)
    hvac = server.hvac  # so that its absence is told at once
    return RemoteStore(place, lambda place: OpenBaoSession(place, server, hvac))


class OpenBaoSession(Session):
    """A connection to OpenBao or Vault."""

    provider = "OpenBao"
    remedy = REMEDY

    def __init__(self, place: Place, server: Server, hvac: Any) -> None:
        self._place, self._server, self._hvac = place, server, hvac
        self.patience, self._line = place.timeout / 2, Line()
        self._open: Any = None
        self._mount, _, prefix = urlsplit(place.url).path.strip("/").partition("/")
        self._prefix = prefix or "tallystick"

    def create(self, name: str, state: bytes, head: bytes, token: str) -> bool:
        """Store a new log at once; False if there is one that was not made with this token."""
        with self._telling():
            if (found := self._read("state", name)) is not None:
                return bool(found.content["token"] == token)
            # Two who make the same log must not mix their heads and states, so this needs the right as well.
            if self._take_lease(name, token, b"another one who makes it") is not None:
                raise AwayError("is making this log for another one just now")
            for kind, data in (("head", head), ("state", state)):  # the state last: with it the log is there
                self._keep_one(kind, name)
                old = self._read(kind, name)
                content = self._content(name, data, 1, token)
                if not self._put(kind, name, content, old.version if old else 0):
                    raise AwayError("is making this log for another one just now")
            self._drop_lease(name, token)
            return True

    def names(self) -> list[str]:
        """Return the names of all logs, in any order."""
        with self._telling():
            try:
                listed = self._kv.list_secrets(path=f"{self._prefix}/state", mount_point=self._mount)
            except self._hvac.exceptions.InvalidPath as error:
                if "no handler" in str(error):
                    raise self._no_mount() from None
                return []
            return [str(name) for name in listed["data"]["keys"]]

    def load(self, name: str) -> Record | None:
        """Return what there is of a log, or None."""
        with self._telling():
            state, head = self._read("state", name), self._read("head", name)
            if state is None:
                return None
            stored = Stored(self._whole(name, state), None if head is None else HeadText(_data(head)))
            versions: dict[Field, int] = {
                "state": int(state.content["version"]),
                "head": 0 if head is None else int(head.content["version"]),
            }
            return Record(stored, versions, str(state.content["token"]), self._holder(self._read("lease", name)))

    def peek(self, name: str) -> Record | None:
        """Return what there is of a log but its state, whose version is that of the secret."""
        with self._telling():
            versions: dict[Field, int] = {"state": self._version("state", name), "head": 0}
            if not versions["state"]:
                return None
            head, lease = self._read("head", name), self._read("lease", name)
            marked = head or lease
            if head is not None:
                versions["head"] = int(head.content["version"])
            stored = Stored(b"", None if head is None else HeadText(_data(head)))
            token = "" if marked is None else str(marked.content["token"])
            return Record(stored, versions, token, self._holder(lease))

    def take(self, name: str, token: str, who: bytes) -> bytes | None:
        """Give the right over an existing log to a token, or return who has it."""
        with self._telling():
            holder = self._take_lease(name, token, who)
            if holder is not None:
                return holder
            # From here on nothing that the last writer still sends finds the version that it expects.
            self._keep_one("head", name)
            self._mark("head", name, token)
            return None

    def claim(self, name: str, token: str) -> None:
        """Let nobody replace the state any more but a token that has the right."""
        with self._telling():
            lease = self._read("lease", name)
            if lease is None or lease.content["token"] != token:
                return  # the right has passed to another writer, which the next look tells
            self._keep_one("state", name)
            self._mark("state", name, token)
            if (state := self._read("state", name)) is not None:
                self._sweep(name, state.content.get("pieces", []))  # what a crash left

    def replace(self, name: str, field: Field, data: bytes, token: str, low: int, high: int) -> bool:
        """Replace state or head if the token has the right and the version is between two, and make it high + 1."""
        with self._telling():
            found = self._read(field, name)
            version = 0 if found is None else int(found.content["version"])
            guard = found or self._read("lease", name)
            if guard is None or guard.content["token"] != token:
                return False
            if version == high + 1:
                return True
            if not low <= version <= high:
                return False
            content = self._content(name, data, high + 1, token)
            done = self._put(field, name, content, found.version if found else 0)
            if done and field == "state":
                self._sweep(name, content.get("pieces", []))
            return done

    def renew(self, name: str, token: str) -> bool:
        """Keep the right from passing to others; False if it did already."""
        with self._telling():
            found = self._read("lease", name)
            if found is None or found.content["token"] != token:
                return False
            return self._put("lease", name, found.content, found.version)

    def release(self, name: str, token: str) -> None:
        """Give the right back, if the token has it."""
        with self._telling():
            self._drop_lease(name, token)

    def remove(self, name: str, token: str) -> None:
        """Erase a log that the token has the right to."""
        with self._telling():
            found = self._read("state", name)
            if found is not None and found.content["token"] != token:
                return
            for kind in ("state", "head", "note"):
                self._erase(kind, name)
            self._sweep(name, [])
            self._erase("lease", name)

    def note(self, name: str) -> bytes | None:
        """Return the note, or None."""
        with self._telling():
            found = self._read("note", name)
            return None if found is None else _data(found)

    def replace_note(self, name: str, note: bytes, token: str) -> None:
        """Replace the note."""
        with self._telling():
            self._put("note", name, {"data": _text(note)}, None)

    def close(self) -> None:
        """Close the connection; the next call makes another."""
        client, self._open = self._open, None
        if client is not None:
            with suppress(Exception):
                client.adapter.close()
        self._line.close()

    def forget(self) -> None:
        """In a forked child: close our copy of the connection; HTTP has no goodbye."""
        self._line.forget()
        self.close()

    @property
    def _kv(self) -> Any:
        return self._open.secrets.kv.v2

    def _read(self, kind: str, name: str) -> _Found | None:
        path = f"{self._prefix}/{kind}/{name}"
        try:
            answer = self._kv.read_secret_version(path=path, mount_point=self._mount, raise_on_deleted_version=True)
        except self._hvac.exceptions.InvalidPath as error:
            if "no handler" in str(error):
                raise self._no_mount() from None
            return None
        data = answer["data"]
        return _Found(data["data"], int(data["metadata"]["version"]), str(data["metadata"]["created_time"]))

    def _version(self, kind: str, name: str) -> int:
        """Return the version of a secret, without what it holds; 0 if there is none."""
        path = f"{self._prefix}/{kind}/{name}"
        try:
            known = self._kv.read_secret_metadata(path=path, mount_point=self._mount)["data"]
        except self._hvac.exceptions.InvalidPath as error:
            if "no handler" in str(error):
                raise self._no_mount() from None
            return 0
        version = int(known["current_version"])
        newest = known["versions"].get(str(version))
        return 0 if newest is None or newest["deletion_time"] or newest["destroyed"] else version

    def _put(self, kind: str, name: str, content: dict[str, Any], version: int | None) -> bool:
        """Replace one version; False if another one is there."""
        path = f"{self._prefix}/{kind}/{name}"
        try:
            self._kv.create_or_update_secret(path=path, secret=content, cas=version, mount_point=self._mount)
        except self._hvac.exceptions.InvalidRequest as error:
            if "check-and-set" in str(error):
                return False
            raise
        return True

    def _keep_one(self, kind: str, name: str) -> None:
        """See to it that a version is destroyed as soon as there is a newer one."""
        path = f"{self._prefix}/{kind}/{name}"
        try:
            known = self._kv.read_secret_metadata(path=path, mount_point=self._mount)["data"]
        except self._hvac.exceptions.InvalidPath:
            known = {"max_versions": 0, "versions": {}, "current_version": 0}
        if known["max_versions"] != 1:
            self._kv.update_metadata(path=path, max_versions=1, cas_required=True, mount_point=self._mount)
        old = [int(version) for version in known["versions"] if int(version) != known["current_version"]]
        if old:
            self._kv.destroy_secret_versions(path=path, versions=old, mount_point=self._mount)

    def _content(self, name: str, data: bytes, version: int, token: str) -> dict[str, Any]:
        """Return what to store for some data, with the pieces stored before it if it is too large."""
        about: dict[str, Any] = {"version": version, "token": token}
        if len(data) <= _PIECE:
            return {"data": _text(data), **about}
        pieces = []
        for start in range(0, len(data), _PIECE):
            pieces.append(f"{token}-{version}-{start}")
            self._put(f"piece/{name}", pieces[-1], {"data": _text(data[start : start + _PIECE])}, None)
        return {"pieces": pieces, **about}

    def _whole(self, name: str, found: _Found) -> bytes:
        if "pieces" not in found.content:
            return _data(found)
        pieces = [self._read(f"piece/{name}", str(piece)) for piece in found.content["pieces"]]
        there = [piece for piece in pieces if piece is not None]
        if len(there) < len(pieces):
            raise AwayError("replaces this state just now, or has lost a piece of it")
        return b"".join(map(_data, there))

    def _sweep(self, name: str, keep: list[str]) -> None:
        """Erase the pieces of a state that is none any more."""
        try:
            listed = self._kv.list_secrets(path=f"{self._prefix}/piece/{name}", mount_point=self._mount)
        except self._hvac.exceptions.InvalidPath:
            return
        for piece in set(listed["data"]["keys"]) - set(keep):
            self._erase(f"piece/{name}", piece)

    def _erase(self, kind: str, name: str) -> None:
        path = f"{self._prefix}/{kind}/{name}"
        self._kv.delete_metadata_and_all_versions(path=path, mount_point=self._mount)

    def _mark(self, kind: str, name: str, token: str) -> None:
        for _ in range(_ROUNDS):
            found = self._read(kind, name)
            if found is None or self._put(kind, name, {**found.content, "token": token}, found.version):
                return
        raise AwayError("lets another writer go on although its right has expired")

    def _take_lease(self, name: str, token: str, who: bytes) -> bytes | None:
        found = self._read("lease", name)
        if found is None:
            self._keep_one("lease", name)
        elif found.content["token"] != token and (holder := self._holder(found)) is not None:
            return holder
        content = {"token": token, "who": who.decode("ascii", "replace"), "expiry": self._place.expiry}
        if not self._put("lease", name, content, found.version if found else 0):
            raise AwayError("gives the right to another writer just now")
        return None

    def _drop_lease(self, name: str, token: str) -> None:
        found = self._read("lease", name)
        if found is not None and found.content["token"] == token:
            self._put("lease", name, {"token": "", "who": "", "expiry": 0}, found.version)

    def _holder(self, lease: _Found | None) -> bytes | None:
        if lease is None or not lease.content["token"]:
            return None
        health = self._open.sys.read_health_status(method="GET")
        now = int((health if isinstance(health, dict) else health.json())["server_time_utc"])  # a standby's is raw
        since = datetime.fromisoformat(lease.since[:19]).replace(tzinfo=UTC).timestamp()
        return str(lease.content["who"]).encode() if now - since <= float(lease.content["expiry"]) else None

    def _no_mount(self) -> KeyStoreError:
        return KeyStoreError(
            f"OpenBao at {self._place.shown} has no KV mount {self._mount!r}; make it with "
            f"`bao secrets enable -path={self._mount} -version=2 kv`"
        )

    @contextmanager
    def _telling(self) -> Iterator[None]:
        errors, old = self._hvac.exceptions, self._open is not None
        with self._line.within(self.patience), self._server.telling():
            try:
                if self._open is None:
                    self._open = self._server.client(self._line)
                yield
            except (errors.Forbidden, errors.Unauthorized):
                if old:  # what was given at a login expires: the next attempt logs in anew
                    raise AwayError("does not take the login from before") from None
                raise
            except errors.InvalidPath:
                raise self._no_mount() from None
            except errors.InvalidRequest:
                raise KeyStoreError(
                    f"OpenBao at {self._place.shown} refuses a request; see that {self._mount!r} is KV of version 2 "
                    "and that the state is not larger than the server's storage takes"
                ) from None


def _data(found: _Found) -> bytes:
    return base64.b64decode(found.content["data"], validate=True)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()

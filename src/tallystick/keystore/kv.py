"""Secrets in an engine KV version 2 of OpenBao and Vault, by kind and name, of which one version is kept.

A replacement names the version that it replaces. A server takes a MiB at once, so a larger content lies in pieces.
"""

import base64
from dataclasses import dataclass
from typing import Any

from tallystick._services import AwayError
from tallystick.errors import KeyStoreError

__all__ = ["Found", "Secrets", "no_mount", "text_of"]

_PIECE = 512 * 1024  # bytes: Raft storage takes a MiB at once, in base64
_ROUNDS = 5  # attempts to put our token where the last writer may be about to write


@dataclass(frozen=True, slots=True, repr=False)
class Found:
    """A secret: its content, its version in the server's count, and when it was written."""

    content: dict[str, Any]
    version: int
    since: str

    def data(self) -> bytes:
        """Return its data, where they are in one piece."""
        return base64.b64decode(self.content["data"], validate=True)


class Secrets:
    """The secrets of a key store, by an open client.

    Args:
        kv: The client's calls of KV version 2.
        errors: The exceptions of hvac.
        mount: Where the engine is mounted.
        prefix: The path of the key store below it.
        shown: The URL of the key store, for errors.
    """

    def __init__(self, kv: Any, errors: Any, mount: str, prefix: str, shown: str) -> None:
        self._kv, self._errors = kv, errors
        self._mount, self._prefix, self._shown = mount, prefix, shown

    def names(self, kind: str) -> list[str]:
        """Return the names of all secrets of a kind, in any order."""
        try:
            listed = self._kv.list_secrets(path=f"{self._prefix}/{kind}", mount_point=self._mount)
        except self._errors.InvalidPath as error:
            self._need_mount(error)
            return []
        return [str(name) for name in listed["data"]["keys"]]

    def read(self, kind: str, name: str) -> Found | None:
        """Return the newest version of a secret; None if there is none."""
        path = self._path(kind, name)
        try:
            answer = self._kv.read_secret_version(path=path, mount_point=self._mount, raise_on_deleted_version=True)
        except self._errors.InvalidPath as error:
            self._need_mount(error)
            return None
        data = answer["data"]
        return Found(data["data"], int(data["metadata"]["version"]), str(data["metadata"]["created_time"]))

    def version(self, kind: str, name: str) -> int:
        """Return the version of a secret, without its content; 0 if there is none."""
        path = self._path(kind, name)
        try:
            known = self._kv.read_secret_metadata(path=path, mount_point=self._mount)["data"]
        except self._errors.InvalidPath as error:
            self._need_mount(error)
            return 0
        version = int(known["current_version"])
        newest = known["versions"].get(str(version))
        return 0 if newest is None or newest["deletion_time"] or newest["destroyed"] else version

    def put(self, kind: str, name: str, content: dict[str, Any], version: int | None) -> bool:
        """Replace one version; False if another one is there."""
        path = self._path(kind, name)
        try:
            self._kv.create_or_update_secret(path=path, secret=content, cas=version, mount_point=self._mount)
        except self._errors.InvalidRequest as error:
            if "check-and-set" in str(error):
                return False
            raise
        return True

    def keep_one(self, kind: str, name: str) -> None:
        """Make the server destroy a version as soon as there is a newer one."""
        path = self._path(kind, name)
        try:
            known = self._kv.read_secret_metadata(path=path, mount_point=self._mount)["data"]
        except self._errors.InvalidPath:
            known = {"max_versions": 0, "versions": {}, "current_version": 0}
        if known["max_versions"] != 1:
            self._kv.update_metadata(path=path, max_versions=1, cas_required=True, mount_point=self._mount)
        old = [int(version) for version in known["versions"] if int(version) != known["current_version"]]
        if old:
            self._kv.destroy_secret_versions(path=path, versions=old, mount_point=self._mount)

    def content(self, name: str, data: bytes, version: int, token: str) -> dict[str, Any]:
        """Return the content of a secret for some data; if that is too large, its pieces are stored before it."""
        about: dict[str, Any] = {"version": version, "token": token}
        if len(data) <= _PIECE:
            return {"data": text_of(data), **about}
        pieces = []
        for start in range(0, len(data), _PIECE):
            pieces.append(f"{token}-{version}-{start}")
            self.put(f"piece/{name}", pieces[-1], {"data": text_of(data[start : start + _PIECE])}, None)
        return {"pieces": pieces, **about}

    def whole(self, name: str, found: Found) -> bytes:
        """Return the data of a secret, put together from its pieces."""
        if "pieces" not in found.content:
            return found.data()
        pieces = [self.read(f"piece/{name}", str(piece)) for piece in found.content["pieces"]]
        there = [piece for piece in pieces if piece is not None]
        if len(there) < len(pieces):
            raise AwayError("replaces this state just now, or has lost a piece of it")
        return b"".join(piece.data() for piece in there)

    def sweep(self, name: str, keep: list[str]) -> None:
        """Erase the pieces of states that were replaced; those to keep belong to the present one."""
        try:
            listed = self._kv.list_secrets(path=self._path("piece", name), mount_point=self._mount)
        except self._errors.InvalidPath:
            return
        for piece in set(listed["data"]["keys"]) - set(keep):
            self.erase(f"piece/{name}", piece)

    def erase(self, kind: str, name: str) -> None:
        """Erase all versions of a secret."""
        path = self._path(kind, name)
        self._kv.delete_metadata_and_all_versions(path=path, mount_point=self._mount)

    def mark(self, kind: str, name: str, token: str) -> None:
        """Put a token into a secret, so that the last writer no longer finds the version that it expects."""
        for _ in range(_ROUNDS):
            found = self.read(kind, name)
            if found is None or self.put(kind, name, {**found.content, "token": token}, found.version):
                return
        raise AwayError("lets another writer go on although its lease has expired")

    def _need_mount(self, error: Exception) -> None:
        """Raise KeyStoreError if a path was not found because there is no engine."""
        if "no handler" in str(error):
            raise no_mount(self._shown, self._mount) from None

    def _path(self, kind: str, name: str) -> str:
        return f"{self._prefix}/{kind}/{name}"


def no_mount(shown: str, mount: str) -> KeyStoreError:
    """Return the error for an engine that is not there."""
    return KeyStoreError(
        f"OpenBao at {shown} has no KV mount {mount!r}",
        hint=f"make it with `bao secrets enable -path={mount} -version=2 kv`",
    )


def text_of(data: bytes) -> str:
    """Return data in the form in which a secret holds them."""
    return base64.b64encode(data).decode()

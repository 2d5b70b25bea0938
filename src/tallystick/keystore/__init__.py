"""Key stores: the places of the sealing state and the head of each log (spec section 6).

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as directory:
...     store = connect(f"file:{directory}")
...     store.create("payments", b"state", b"set-up head")
...     with store.lease("payments") as lease:
...         lease.replace_head(b"next head")
...     store.names(), store.load("payments")
(['payments'], Stored(state=b'state', head=HeadText(b'next head')))
"""

import importlib
import os
import re
from collections.abc import Sequence
from typing import Any

from tallystick.errors import KeyStoreError
from tallystick.home import nobody, user_place
from tallystick.keystore.base import Grant, KeyStore, Lease, Stored
from tallystick.keystore.file import FileKeyStore
from tallystick.keystore.names import check_name, moving_entry, next_entry
from tallystick.secreturl import SecretUrl, absolute_files

__all__ = [
    "FileKeyStore",
    "Grant",
    "KeyStore",
    "Lease",
    "Stored",
    "borrow",
    "check_name",
    "connect",
    "moving_entry",
    "next_entry",
    "state_directory",
]

# Each is imported at its first use, so that other stores cost nothing.
_REMOTE = {
    "openbao": "openbao",
    "vault": "openbao",
    "postgresql": "postgresql",
    "redis": "redis",
    "rediss": "redis",
}
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+-]*):(.*)", re.DOTALL)


def connect(url: str | SecretUrl | None = None) -> KeyStore:
    """Return the key store at a URL. Nothing is made or opened yet.

    Args:
        url: `file:DIRECTORY`, `openbao://...` or `vault://...`, `postgresql://...`, `redis://...` or `rediss://...`,
            or None for the default: the value of the environment variable TALLYSTICK_STORE
            (a directory or a URL), else `/var/lib/tallystick` for root and `$XDG_STATE_HOME/tallystick` for
            everybody else.

    Raises:
        KeyStoreError: This is no URL of a key store, or there is no default.
    """
    url = SecretUrl(absolute_files(SecretUrl(_default_url() if url is None else url).reveal()))
    kind = _kind(url)
    if kind is None:
        raise KeyStoreError("the URL of the key store is malformed", hint="write KIND://HOST:PORT/... as for redis://")
    if not kind:
        said = str(url)
        raise KeyStoreError(
            f"{said!r} is no URL of a key store", hint=f"for a directory write file:{said or 'DIRECTORY'}"
        )
    if kind in _REMOTE:
        backend = importlib.import_module(f"tallystick.keystore.{_REMOTE[kind]}")
        store: KeyStore = backend.open_store(url)
        return store
    if kind != "file":
        known = ", ".join(["file:", *(f"{known}:" for known in sorted(_REMOTE))])
        raise KeyStoreError(f"there is no kind of key store called {kind!r}; known are {known}")
    path = url.reveal().partition(":")[2]
    if not path:
        raise KeyStoreError("the key store 'file:' names no place", hint="for a directory write file:DIRECTORY")
    return FileKeyStore(path)


def _kind(url: SecretUrl) -> str | None:
    """Return the kind of a key store; None for what was meant to be that of a server, and may hold a password."""
    text = url.reveal()
    if text.startswith("file://") and "@" in text.split("/")[2]:
        return None
    if _URL.fullmatch(text) is None:
        return None if "@" in text or "//" in text else ""
    return url.scheme


def borrow(place: dict[str, Any], fds: Sequence[int]) -> Lease:
    """Return a lease that another process of ours holds, for as long as it waits for this one.

    Args:
        place: That of its `Grant`.
        fds: The descriptors of its `Grant`.

    Raises:
        KeyStoreError: The lease is lost, or the store cannot be reached.
    """
    return connect(place["url"]).borrow(Grant(place, tuple(fds)))


def state_directory() -> str:
    """Return the directory of this user's state.

    That is the directory that the environment variable TALLYSTICK_STORE names, else `/var/lib/tallystick` for root
    and `$XDG_STATE_HOME/tallystick` for everybody else.

    Raises:
        KeyStoreError: None is named, and this user has no home.
    """
    named = os.environ.get("TALLYSTICK_STORE")
    if named and (named.startswith("file:") or _URL.fullmatch(named) is None):
        return named.removeprefix("file:")
    if os.geteuid() == 0:
        return "/var/lib/tallystick"
    place = user_place("XDG_STATE_HOME", ".local/state")
    if place is None:
        raise KeyStoreError(
            f"{nobody()}, so there is no default key store", hint="name one: --store file:DIR, or TALLYSTICK_STORE"
        )
    return place


def _default_url() -> str:
    named = os.environ.get("TALLYSTICK_STORE")
    return named if named and _URL.fullmatch(named) else f"file:{state_directory()}"

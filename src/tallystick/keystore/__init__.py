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

from tallystick.errors import KeyStoreError
from tallystick.home import nobody, user_place
from tallystick.keystore.base import Grant, KeyStore, Lease, Stored, check_name, moving_entry, next_entry
from tallystick.keystore.file import FileKeyStore

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


def connect(url: str | None = None) -> KeyStore:
    """Return the key store at a URL. Nothing is made or opened yet.

    Args:
        url: `file:DIRECTORY`, `openbao://...` or `vault://...`, `postgresql://...`, `redis://...` or `rediss://...`,
            or None for the default: the value of the environment variable TALLYSTICK_STORE
            (a directory or a URL), else `/var/lib/tallystick` for root and `$XDG_STATE_HOME/tallystick` for
            everybody else.

    Raises:
        KeyStoreError: This is no URL of a key store, or there is no default.
    """
    if url is None:
        url = _default_url()
    match = _URL.fullmatch(url)
    if match is None:
        if "@" in url or "//" in url:  # it was meant to be that of a server, and may hold a password
            raise KeyStoreError(
                "the URL of the key store is malformed", hint="write KIND://HOST:PORT/... as for redis://"
            )
        raise KeyStoreError(
            f"{url!r} is no URL of a key store", hint=f"for a directory write file:{url or 'DIRECTORY'}"
        )
    scheme, rest = match.groups()
    if scheme in _REMOTE:
        backend = importlib.import_module(f"tallystick.keystore.{_REMOTE[scheme]}")
        store: KeyStore = backend.open_store(url)
        return store
    if scheme != "file":
        known = ", ".join(["file:", *(f"{known}:" for known in sorted(_REMOTE))])
        raise KeyStoreError(f"there is no kind of key store called {scheme!r}; known are {known}")
    if not rest:
        raise KeyStoreError(f"the key store {url!r} names no place", hint="for a directory write file:DIRECTORY")
    return FileKeyStore(rest)


def borrow(place: dict[str, str], fds: Sequence[int]) -> Lease:
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

"""The heads that a verification must meet: from a key store, or from a file (spec section 6)."""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from tallystick import _core, keystore
from tallystick.errors import FormatError, KeyStoreError, ReportError, explain, reason
from tallystick.verify.positions import At

__all__ = ["DEFAULT_STORE", "NO_STORE", "STORES", "Head", "Heads", "read_heads"]

DEFAULT_STORE = "default key store"
"""Where heads come from that nobody said a word of."""

STORES = (DEFAULT_STORE, "key store")
"""What anchored an end that a key store's head did."""

NO_STORE = "none"
"""In the place of a key store's URL: no key store is asked."""


@dataclass(frozen=True, slots=True)
class Head:
    """A head; whether its mac holds is judged later.

    Args:
        text: Its text.
        log_id: The log.
        at: Position up to which it counts lines.
        digest: Hash of the newest statement before.
    """

    text: bytes
    log_id: str
    at: At
    digest: bytes

    @classmethod
    def parse(cls, text: bytes | bytearray) -> "Head":
        """Read the text of a head; raises `FormatError` for anything else."""
        return cls(bytes(text), *_core.parse_head(text))


@dataclass(frozen=True, slots=True)
class Heads:
    """The heads that were found, and what is wrong where there should be one.

    Args:
        found: Heads by log id.
        bad: Why a head that is there counts for nothing, by log id.
        absent: Why a head that should be there cannot be had, by log id.
        origin: Where heads were looked for: `default key store`, `key store` or `file`.
        written: Log ids of logs that somebody has the right to write just now.
    """

    found: dict[str, Head] = field(default_factory=dict)
    bad: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    origin: str = "file"
    written: frozenset[str] = frozenset()


def read_heads(
    logs: _core.Keys,
    store: str | None,
    head: str | os.PathLike[str] | None,
    expected: Mapping[str, str] | None = None,
    had: Collection[str] = (),
) -> Heads:
    """Return the heads of the logs, as far as they can be had.

    Args:
        logs: The logs; only those whose verification key is at hand can be judged by a head.
        store: URL of the key store to ask; `none` asks none; None asks the one that TALLYSTICK_STORE names, else the
            default one, which need not have the log.
        head: File with a head, instead.
        expected: Log ids of which the default key store had a head before, and what says so.
        had: Log ids of which this key store had a head before: one that has other logs, and this one no more, has lost
            it to somebody.

    Raises:
        FormatError: The file holds no head of these logs.
        KeyStoreError: The key store that was named by its URL cannot be read.
        ReportError: The file cannot be read, or both were named.
    """
    if head is not None:
        if store not in (None, NO_STORE):
            raise ReportError("a head comes from a file or from a key store", hint="give one of --head and --store")
        return _from_file(logs, os.fspath(head))
    if store == NO_STORE:
        return Heads()
    return _from_store(logs, store, expected or {}, had)


def _from_file(logs: _core.Keys, path: str) -> Heads:
    try:
        head = Head.parse(_read_head(path))
    except FormatError:
        raise FormatError("this is no head", hint="get one with: tallystick head NAME", path=path) from None
    with_v = {log_id: secret for _, log_id, secret, *_ in logs.logs()}
    if head.log_id not in with_v:
        raise FormatError(f"this head is of log id {head.log_id}, whose key was not given", path=path)
    return Heads({head.log_id: head} if with_v[head.log_id] else {})


def _from_store(logs: _core.Keys, store: str | None, expected: Mapping[str, str], had: Collection[str]) -> Heads:
    named = store is not None or bool(os.environ.get("TALLYSTICK_STORE"))
    found = Heads(origin="key store" if named else DEFAULT_STORE)
    known = {(name, log_id) for name, log_id, *_ in logs.logs()}
    written: set[str] = set()
    for name, log_id, with_v, *_ in logs.logs():
        if not with_v:
            continue
        try:
            place = keystore.connect(store)
            text, holder = place.standing(name)
            head = _parsed(text) if text is not None else None
            owner = head.log_id if head is not None else None
            if owner != log_id:
                owner = _log_id(place, name)
        except KeyStoreError as error:
            if log_id in had and _lacks(store, name):
                found.bad[log_id] = (
                    "the key store had the head of this log, and has only other logs now: it was removed"
                )
                continue
            if store is not None:
                raise
            if named or _has(name):
                why = explain(error)
                found.absent[log_id] = f"the key store should have the head of this log, but cannot be read: {why}"
            elif log_id in expected:
                found.absent[log_id] = f"the default key store has nothing of this log any more; {expected[log_id]}"
            continue
        if owner != log_id:
            # A key store has one log of a name. Of two logs with that name in one run, it can only have one.
            if (name, owner) not in known:
                found.absent[log_id] = (
                    f"the key store has another log of the name {name}, of log id {owner}: it was set up again, "
                    "or this log comes from elsewhere; then name its head with --head, or say --store none"
                )
        elif text is None:
            found.bad[log_id] = "the key store should have a head of this log and has none: somebody removed it"
        elif head is None or head.log_id != log_id:
            found.bad[log_id] = "the head in the key store is not one of this log: somebody changed it"
        else:
            found.found[log_id] = head
            written |= {log_id} if holder else set()
    return Heads(found.found, found.bad, found.absent, found.origin, frozenset(written))


def _lacks(store: str | None, name: str) -> bool:
    """Has a key store that can be read other logs only? One that is empty may be a disk that is not mounted."""
    try:
        names = keystore.connect(store).names()
    except KeyStoreError:
        return False
    return bool(names) and name not in names


def _has(name: str) -> bool:
    """Has the default key store something of this name, or does it keep that from us?"""
    try:
        store = keystore.connect()
    except KeyStoreError:  # this user has no home, so there is no default
        return False
    try:
        return name in store.names()
    except KeyStoreError:
        return os.path.lexists(store.url.removeprefix("file:"))


def _log_id(store: keystore.KeyStore, name: str) -> str:
    """Return whose state a key store has under a name. Another process looks: a state never comes into this one."""
    from tallystick import courier  # only here: it is needed where something is wrong

    return courier.look(store, name).log_id


def _parsed(text: bytes | bytearray) -> Head | None:
    try:
        return Head.parse(text)
    except FormatError:
        return None


def _read_head(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(4096)
    except OSError as error:
        raise ReportError(f"{path}: {reason(error)}", hint="check the name of the head") from error

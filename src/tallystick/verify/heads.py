"""The heads that a verification must meet: from a key store, or from a file (spec section 6)."""

import os

from tallystick import _core, keystore
from tallystick.errors import FormatError, KeyStoreError, ReportError, reason

__all__ = ["read_heads"]


def read_heads(
    logs: _core.Keys, store: str | None, head: str | os.PathLike[str] | None
) -> tuple[dict[str, bytes], dict[str, str]]:
    """Return head texts by log id, and what is wrong with the heads of those that should have one.

    Args:
        logs: The logs; only those whose verification key is at hand can be judged by a head.
        store: URL of the key store to ask; None for the default one, which need not have the log.
        head: File with a head, instead.

    Raises:
        KeyStoreError: The key store that was named cannot be read.
        ReportError: The file cannot be read, or both were named.
    """
    heads: dict[str, bytes] = {}
    bad: dict[str, str] = {}
    if head is not None:
        if store is not None:
            raise ReportError("a head comes from a file or from a key store; give one of --head and --store")
        text = _read_head(os.fspath(head))
        known = {log_id for _, log_id, with_v, *_ in logs.logs() if with_v}
        owner = _owner(text)
        if owner in known:
            return {owner: text}, {}
        what = f"is of log id {owner}, whose verification key was not given" if owner else "is none"
        return {}, {log_id: f"the head in {os.fspath(head)} {what}" for log_id in known}
    known_logs = {(name, log_id) for name, log_id, *_ in logs.logs()}
    for name, log_id, with_v, *_ in logs.logs():
        if not with_v:
            continue
        try:
            stored = keystore.connect(store).load(name)
            state = _core.read_state(stored.state)
        except (KeyStoreError, FormatError):
            if store is not None:
                raise
            continue  # the default store need not have it
        if state.log_id != log_id:
            # A key store has one log of a name; another one of that name comes from elsewhere.
            if store is not None and (name, state.log_id) not in known_logs:
                raise KeyStoreError(f"the log {name} in {store} is another one than that of the key, {log_id}")
        elif stored.head is None:
            bad[log_id] = "the key store should have a head of this log and has none: somebody removed it"
        elif _owner(stored.head) != log_id:
            bad[log_id] = "the head in the key store is none of this log: somebody changed it"
        else:
            heads[log_id] = bytes(stored.head)
    return heads, bad


def _owner(head: bytes | bytearray) -> str | None:
    """Return the log id in a head text, None if it is none."""
    try:
        return _core.parse_head(head)[0]
    except FormatError:
        return None


def _read_head(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(4096)
    except OSError as error:
        raise ReportError(f"{path}: {reason(error)}; check the name of the head") from error

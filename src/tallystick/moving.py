"""Logs that go on elsewhere: under new keys (`rotate`), in another key store or custody (`migrate`).

What is on its way stands in the key store under a name of its own, which nobody can write, until the place that it
comes from can open no chain any more. So at no moment could two writers open the same log, and whoever was
interrupted does the same once more, which carries it through.

>>> import tempfile, tallystick
>>> with tempfile.TemporaryDirectory() as d:
...     here = {"store": f"file:{d}/here", "custody": f"master-key:{d}/k"}
...     made = tallystick.create("payments", **here, key_file=f"{d}/old.key")
...     after = rotate("payments", output=f"{d}/audit.log", key_file=f"{d}/new.key", store=here["store"])
...     migrate("payments", store=here["store"], to_store=f"file:{d}/there")
...     made.log_id != after.log_id, keystore.connect(f"file:{d}/there").names()
(True, ['payments'])
"""

import os
from collections.abc import Callable
from typing import Any

from tallystick import _core, ceremony, keystore
from tallystick import custody as custodies
from tallystick._fork import KEYS_ON_THEIR_WAY
from tallystick.ceremony import Created
from tallystick.errors import KeyStoreError
from tallystick.keystore import KeyStore, Stored
from tallystick.log import open_log
from tallystick.opening import public_state, unlock

__all__ = ["migrate", "rotate"]

_LONGEST = 56  # of a name's letters, so that there is room for what is put behind it


def rotate(
    name: str,
    *,
    output: Any,
    key_file: str | os.PathLike[str] | int,
    public_file: str | os.PathLike[str] | None = None,
    store: str | None = None,
    custody: str | None = None,
    on_trouble: Callable[[str], None] | None = None,
) -> Created:
    """End a log and begin its successor of the same name, with new keys and a new log id; each names the other.

    Args:
        name: The log; nobody may be writing it.
        output: The log's file, where the last entry of the one and the first of the other go, as for
            `tallystick.open`.
        key_file: Where the successor's verification key goes: a path that must not exist yet, or a file descriptor.
        public_file: Where the successor's public key goes, if anywhere.
        store: URL of the key store, as for `tallystick.open`.
        custody: URL of the custody, old and new, if it is not the one noted in the sealing state.
        on_trouble: As for `tallystick.open`.

    Returns:
        The successor. After an interruption it is the one whose key was handed over then; `key_file` stays unused.

    Raises:
        KeyStoreError: Someone is writing the log, there is none of this name, or a file cannot be written.
        CustodyError: The custody is not at hand.
        SealError: The log has ended, or the lines cannot be written.
    """
    place, waiting = keystore.connect(store), f"{name[:_LONGEST]}.next"
    options = {"output": output, "store": store, "custody": custody, "on_trouble": on_trouble}
    options = {each: value for each, value in options.items() if value is not None}
    old = public_state(name, place.load(name).state)
    before = f"log id {old.log_id}, {old.public_key}"
    if _is_there_already(place, name, waiting):
        before = "the log whose last entry names it"
    elif waiting not in place.names() or old.next_chain is not None:
        log = open_log(name, **options)
        try:
            if waiting in place.names():
                place.remove(waiting)  # its key may have been handed over, but nothing was sealed with it
            made = ceremony.create(
                name, store=store, custody=custody or old.custody, key_file=key_file, public_file=public_file,
                entry=waiting,
            )  # fmt: skip
            log.write(f"tallystick: this log ends here and is followed by log id {made.log_id}, {made.public_key}")
        except BaseException:
            log.close()
            raise
        log.end()
    new = public_state(name, place.load(waiting).state)
    with place.lease(name) as lease:
        stored = place.load(waiting)
        if stored.head is None:
            raise KeyStoreError(f"the head of the log that follows {name} is gone from the key store; start a new log")
        lease.replace_head(stored.head)
        lease.replace_state(stored.state)
    place.remove(waiting)
    with open_log(name, **options) as log:
        log.write(f"tallystick: this log follows {before}")
    return Created(name, new.log_id, new.public_key, place.url, new.custody)


def migrate(
    name: str,
    *,
    store: str | None = None,
    custody: str | None = None,
    to_store: str | None = None,
    to_custody: str | None = None,
) -> None:
    """Move a log to another key store, to another custody, or both; its keys, its head and its lines stay.

    Args:
        name: The log; nobody may be writing it.
        store: URL of the key store that has it; the default is that of `tallystick.keystore.connect`.
        custody: URL of its custody, if it is not the one noted in the sealing state.
        to_store: URL of the key store that gets it; None for the one that has it.
        to_custody: URL of the custody that gets it, None for the one that has it. A master key file that is not
            there is made.

    Raises:
        KeyStoreError: Someone is writing the log, there is none of this name or one in the other key store already.
        CustodyError: A custody is not at hand.
        SealError: The log has ended.
    """
    source = keystore.connect(store)
    target = source if to_store is None else keystore.connect(to_store)
    if target == source:
        with source.lease(name) as lease, KEYS_ON_THEIR_WAY:
            state, text = _relocked(name, lease.load(), custody, to_custody)
            del state
            lease.replace_state(text)
        return
    waiting = f"{name[:_LONGEST]}.moving"
    there = target.names() if _is_made(target) else []
    if name in source.names() and public_state(name, source.load(name).state).next_chain is not None:
        if name in there:
            raise KeyStoreError(f"there is a log {name} in {target.url} already; remove it there, or move another one")
        if waiting in there:
            target.remove(waiting)  # the log can still be written where it was, so that is where it is
        with source.lease(name) as lease, KEYS_ON_THEIR_WAY:
            stored = lease.load()
            if stored.head is None:
                raise KeyStoreError(f"the head of log {name} is gone from {source.url}; start a new log")
            state, text = _relocked(name, stored, custody, to_custody)
            target.create(waiting, text, stored.head)
            lease.replace_state(state.ended())
    elif waiting not in there and name not in there:
        unlock(name, source.load(name), custody)  # tells that it has ended, or is not there
    _arrive(source, target, name, waiting)


def _is_there_already(place: KeyStore, name: str, waiting: str) -> bool:
    """Was a rotation interrupted when the successor had its name, and nothing was left to do but to tidy up?"""
    if waiting not in place.names():
        return False
    successor, now = (public_state(each, place.load(each).state) for each in (waiting, name))
    return successor.public_key == now.public_key


def _arrive(source: KeyStore, target: KeyStore, name: str, waiting: str) -> None:
    """Give the log its name where it is now, and erase what is left where it was."""
    names = target.names()
    if waiting in names:
        stored = target.load(waiting)
        if name not in names:
            assert stored.head is not None
            target.create(name, stored.state, stored.head)
        target.remove(waiting)
    if name in source.names():
        here, there = (public_state(name, each.load(name).state).public_key for each in (source, target))
        if here != there:
            raise KeyStoreError(f"the log {name} in {target.url} is another one than that in {source.url}")
        source.remove(name)


def _relocked(
    name: str, stored: Stored, custody: str | None, to_custody: str | None
) -> tuple[_core.SealingState, bytes]:
    """Return a state, unlocked, and its text for another custody."""
    state, keeper, context = unlock(name, stored, custody)
    if to_custody is not None:
        keeper = custodies.connect(to_custody, create=True)
    key, wrapped = custodies.fresh_key(keeper, context)
    return state, state.lock(key, keeper.url, wrapped)


def _is_made(store: KeyStore) -> bool:
    """Is there a key store at its place? One in a directory is made with its first log."""
    try:
        store.names()
    except KeyStoreError:
        return False
    return True

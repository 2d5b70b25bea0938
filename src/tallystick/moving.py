"""Logs that go on elsewhere: under new keys (`rekey`), in another key store or custody (`migrate`).

A log that is on its way is in the key store under a name of its own, which no log can have, until the place that it
comes from can open no chain any more. So at no moment could two writers open the same log. After an interruption the
same call carries the change through; so does the next writer, as far as it can.

>>> import tempfile, tallystick
>>> with tempfile.TemporaryDirectory() as d:
...     here = {"store": f"file:{d}/here", "custody": f"master-key:{d}/k"}
...     made = tallystick.create("payments", **here, key_file=f"{d}/old.key")
...     after = rekey("payments", output=f"{d}/audit.log", key_file=f"{d}/new.key", store=here["store"])
...     _ = migrate("payments", store=here["store"], to_store=f"file:{d}/there")
...     made.log_id != after.log_id, keystore.connect(f"file:{d}/there").names()
(True, ['payments'])
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Any

from tallystick import courier, keystore
from tallystick.ceremony import Created, creating
from tallystick.custody import plain
from tallystick.errors import KeyStoreError
from tallystick.keystore import next_entry
from tallystick.log import open_log, open_taken
from tallystick.secreturl import SecretUrl, hidden
from tallystick.writer.opening import take_lease
from tallystick.writer.origin import Origin

__all__ = ["migrate", "rekey"]


def rekey(
    name: str,
    *,
    output: Any,
    key_file: str | os.PathLike[str] | int,
    public_file: str | os.PathLike[str] | int | None = None,
    store: str | SecretUrl | None = None,
    custody: str | SecretUrl | None = None,
    to_custody: str | SecretUrl | None = None,
    user: str | None = None,
    mixed: bool = False,
    on_trouble: Callable[[str], None] | None = None,
) -> Created:
    """End a log and begin its successor of the same name, with new keys and a new log id; each names the other.

    Args:
        name: The log; nobody may be writing it.
        output: The log's file, where the last line of the one and the first of the other go, as for
            `tallystick.open`.
        key_file: Where the successor's verification key goes: a path that must not exist yet, or a file descriptor.
        public_file: Where the successor's public key goes, if anywhere.
        store: URL of the key store, as for `tallystick.open`.
        custody: URL of the custody, if it is not the one noted in the sealing state.
        to_custody: URL of the successor's custody; None for that of the log. Where a key of custody belongs to one log,
            the successor needs another one.
        user: As for `tallystick.open`.
        mixed: As for `tallystick.open`.
        on_trouble: As for `tallystick.open`.

    Returns:
        The successor. After an interruption it is the one whose key was handed over then; `key_file` stays unused.

    Raises:
        KeyStoreError: Someone is writing the log, there is none of this name, or a file cannot be written.
        CustodyError: The custody is not at hand.
        SealError: The log has ended, or the lines cannot be written.
    """
    store, custody, to_custody = hidden(store), hidden(custody), hidden(to_custody)
    keeper, next_keeper = plain(custody), plain(to_custody or custody)
    place, made = keystore.connect(store), None
    options = {"output": output, "store": store, "user": user, "mixed": mixed, "on_trouble": on_trouble}
    options = {each: value for each, value in options.items() if value is not None}
    old = courier.look(place, name)
    # A successor that waits, or has its place and has not begun, is carried through: an interruption came before that.
    if old.follows is None and (old.next_chain is not None or old.waiting is None):
        made = _end(
            Origin(name, output, store, keeper, None, user, mixed=mixed), on_trouble,
            partial(
                creating, name, store=store, custody=next_keeper or old.custody, key_file=key_file,
                public_file=public_file, entry=next_entry(name),
            ),
        )  # fmt: skip
    new = courier.succeed(place, name, keeper)
    if made is not None and new.public_key != made.public_key:
        raise KeyStoreError(
            f"log {name} was given other keys meanwhile", hint="look for another process that runs `tallystick rekey`"
        )
    open_log(name, custody=next_keeper, **options).close()  # its first lines name the log that it follows
    return Created(name, new.log_id, new.public_key, place.url, new.custody, new.forgets)


def _end(
    origin: Origin, on_trouble: Callable[[str], None] | None, creating: Callable[..., AbstractContextManager[Created]]
) -> Created:
    """End a log with a notice that names its successor. That is made first, so a failure leaves the log as it is."""
    with ExitStack() as undoing:
        taken = take_lease(origin.store, origin.name, origin.custody)
        undoing.callback(taken.lease.release)
        with creating(follows=courier.look(origin.store, origin.name).public_key) as made:
            origin.have(taken)
            log = open_taken(origin, on_trouble)
            undoing.pop_all()  # it is the log's
            try:
                log.notice("successor", f"{made.log_id} {made.public_key}")
                log.sync()  # nobody else names it to a verifier with the old key: power may fail once the log has ended
            except BaseException:
                log.close()
                raise
    log.end()
    return made


def migrate(
    name: str,
    *,
    store: str | SecretUrl | None = None,
    custody: str | SecretUrl | None = None,
    to_store: str | SecretUrl | None = None,
    to_custody: str | SecretUrl | None = None,
) -> str | None:
    """Move a log to another key store, to another custody, or both; its keys, its head and its lines stay.

    Args:
        name: The log; nobody may be writing it.
        store: URL of the key store that has it; the default is that of `tallystick.keystore.connect`.
        custody: URL of its custody, if it is not the one noted in the sealing state.
        to_store: URL of the key store that gets it; None for the one that has it.
        to_custody: URL of the custody that gets it, None for the one that has it. A master key file that is not
            there is made.

    Returns:
        None; or the former custody, which may still open older states of this log, since it cannot forget. Only new
        keys (`rekey`) change that.

    Raises:
        KeyStoreError: Someone is writing the log, there is none of this name or one in the other key store already.
        CustodyError: A custody is not at hand, or does not destroy its keys.
        SealError: The log has ended.
    """
    store, to_store, custody, to_custody = map(hidden, (store, to_store, custody, to_custody))
    target = None if to_store is None else keystore.connect(to_store)
    return courier.migrate(name, keystore.connect(store), plain(custody), target, plain(to_custody))

"""Opening a chain: from the lease of a log to the sealer of its next chain (spec section 6).

Take the lease; load; replace the state by that of the chain after the next one, durably; have custody destroy what
opened the one before; only then is anything sealed. So a number is never used twice, and neither a stolen store nor
custody says anything about chains already opened. All work on states is done by the courier.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from tallystick import _core, courier
from tallystick.courier import Courier, Next
from tallystick.errors import FormatError, KeyStoreError, SealError
from tallystick.keystore import FileKeyStore, KeyStore, Lease, moving_entry, next_entry
from tallystick.keystore.base import HeadText
from tallystick.sinks.base import Followed, Sink, now
from tallystick.volumes import make_private

__all__ = [
    "EarlyChain",
    "Taken",
    "Unopened",
    "fetch_early",
    "open_chain",
    "private_again",
    "refuse_older_store",
    "refuse_other_log",
    "take_lease",
]


class Taken(NamedTuple):
    """A lease that was taken.

    Args:
        lease: The lease.
        done: What was put in order when it was taken, in words for people.
    """

    lease: Lease
    done: list[str]


@dataclass(frozen=True, slots=True)
class EarlyChain:
    """The next chain, fetched while the current one goes on.

    Args:
        state: Its state, under a key that only locked memory holds.
        number: Its number.
        left: The version of the state that was left in the key store.
    """

    state: _core.EarlyState
    number: int
    left: int


class Unopened:
    """Stands for a sealer as long as no chain could be opened: closed, without a line."""

    closed, chain, lines, position, last_entry = True, 0, 0, (0, 0, 0), None

    def write(self, record: object, output: object) -> int:
        """Seal nothing."""
        return _core.FIRST

    def head(self) -> None:
        """Return None: there is no line that a head could count."""

    def erase(self) -> None:
        """Do nothing: there are no keys."""


def take_lease(store: KeyStore, name: str, custody: str | None) -> Taken:
    """Take the lease of a log, and put in order what an interrupted change of keys or place left of it.

    Args:
        store: The key store.
        name: The log.
        custody: URL of the custody, if it is not the one noted in the sealing state.

    Returns:
        The lease, and what was put in order.

    Raises:
        KeyStoreError: Someone else has it, there is no such log, or the key store cannot be written.
        CustodyError: Keys from before the interruption cannot be destroyed.
    """
    lease = store.lease(name)
    try:
        if {next_entry(name), moving_entry(name)} & set(store.under_way()):
            return Taken(lease, courier.tidy(lease, custody))
        return Taken(lease, [])
    except BaseException:
        lease.release()
        raise


def private_again(store: KeyStore, name: str, custody: str | None) -> list[str]:
    """Make private what the start of a pod opened to a group, in a volume with fsGroup: the store, the master key.

    Args:
        store: The key store.
        name: The log.
        custody: URL of the custody, None for the one noted in the sealing state.

    Returns:
        What was done, in words for people.
    """
    if not isinstance(store, FileKeyStore):
        done = []
    elif done := [said for said in [make_private(store.path)] if said]:
        custody = custody or courier.look(store, name).custody
    kind, _, place = (custody or "").partition(":")
    if kind == "master-key" and "/" in place:
        done += [said for said in [make_private(os.path.abspath(place))] if said]
    return done


def open_chain(
    lease: Lease,
    courier: Courier,
    control: str,
    epoch_lines: int,
    *,
    early: EarlyChain | None = None,
    check: Callable[[Next], None] | None = None,
) -> _core.Sealer:
    """Open the next chain of a log.

    Args:
        lease: The lease of the log.
        courier: Carries its state; not asked if the chain was fetched early.
        control: Form of control lines: auto, plain or json.
        epoch_lines: Lines after which an epoch ends.
        early: The chain, if it was fetched early.
        check: Raises KeyStoreError where this state must not be used.

    Raises:
        KeyStoreError: State or head is gone, damaged, or older than the log.
        CustodyError: The sealing state cannot be opened, or older ones could still be.
        SealError: The log has ended.
    """
    if early is not None:
        _refuse_other(lease, early)
        return _opened(lease, early.state.unlock(), lease.head(), control, epoch_lines)
    # Read once: nobody else replaces it while we hold the lease, and where that is lost the state cannot be replaced.
    head: HeadText | None = None

    def look(found: Next) -> None:
        nonlocal head
        if check is not None:
            check(found)
        head = lease.head()
        _refuse_older_state(found, head)

    with courier:
        state = courier.fetch(look)
        sealer = _opened(lease, state, head, control, epoch_lines)
        courier.put(state)
        return sealer


def fetch_early(lease: Lease, courier: Courier) -> EarlyChain | None:
    """Fetch the next chain while the current one goes on: the store has only the state of the chain after it.

    So trouble with store or custody is met long before a chain is full. The state is encrypted under a key that only
    locked memory holds: until it opens, no key of the next chain is in memory (spec sections 3 and 9).

    Args:
        lease: The lease of the log.
        courier: Carries its state.

    Returns:
        The next chain; None at the end of a generation, whose state needs the chain's `open`.

    Raises:
        KeyStoreError: The state cannot be read or replaced. It may have been replaced; then a number is left out.
        CustodyError: It cannot be opened or encrypted, or older ones could still be opened.
        SealError: The log has ended.
    """
    with courier:
        state = courier.fetch()
        number, early = state.next_chain, state.fetch_early()
        if early is None or number is None:
            return None
        left = courier.put(state)
    return EarlyChain(early, number, left)


def _opened(
    lease: Lease, state: _core.SealingState, head: HeadText | None, control: str, epoch_lines: int
) -> _core.Sealer:
    """Return the sealer of the next chain; the state becomes that of the chain after it."""
    if head is None:
        raise KeyStoreError(f"the head of log {lease.name} is gone from the key store", hint="start a new log")
    try:
        sealer = state.open_chain(head, now())
    except FormatError as error:
        raise KeyStoreError(
            f"the head of log {lease.name} in the key store is damaged: {error}", hint="start a new log"
        ) from error
    sealer.configure(control, epoch_lines)
    return sealer


def _refuse_other(lease: Lease, early: EarlyChain) -> None:
    """Refuse where the store does not hold the state that was left there when the chain was fetched early."""
    if lease.state_version() != early.left:
        raise KeyStoreError(
            f"the state of log {lease.name} in the key store is not the one that was left there when chain "
            f"{early.number} was fetched, which is not yet opened: a restored backup must not be sealed with",
            hint="start a new log",
        )


def _refuse_older_state(found: Next, head: bytes | bytearray | None) -> None:
    """Refuse where the head is ahead of the state, before custody says less of a state that it has forgotten."""
    try:
        counted = 0 if head is None else _core.parse_head(head)[1][0]
    except FormatError:
        return  # reported when it is used
    if found.next_chain is not None and counted >= found.next_chain:
        raise SealError(
            f"the key store is older than the log {found.name}: its state would open chain {found.next_chain} again, "
            f"but a head counts chain {counted}",
            hint="a restored backup must not be sealed with: start a new log",
        )


def refuse_older_store(state: Next, sink: Sink) -> None:
    """Refuse where the log's own tail is ahead of the state: a restored store must not reuse numbers.

    Raises:
        KeyStoreError: It is.
    """
    if not isinstance(sink, Followed):
        return  # lines that went elsewhere cannot be read again
    chain = sink.newest_chain(state.log_id)
    for line in sink.tail():
        claim = _core.claimed_position(line[-200:])
        if claim is not None and claim[0] == state.log_id:
            chain = max(chain, claim[1][0])
            break
    if state.next_chain is not None and chain >= state.next_chain:
        raise KeyStoreError(
            f"the key store is older than {sink.name}: its state would open chain {state.next_chain} of log "
            f"{state.name} again, but the file holds chain {chain}",
            hint="a restored backup must not be sealed with: start a new log",
        )


def refuse_other_log(state: Next, sink: Sink, report: Callable[[str], None] | None) -> None:
    """Refuse a file whose last line is one of another log: that is mostly a slip, and each log's verifier meets both.

    A log may follow another one of its name, such as its predecessor.

    Args:
        state: The state of the log that is opened.
        sink: Where its lines go.
        report: Called with what would be refused, where lines go there all the same; None to refuse.

    Raises:
        SealError: It is such a file.
    """
    lines = sink.sealed_lines() if isinstance(sink, Followed) else iter(())
    last = next(lines, None)
    claim = None if last is None else _core.claimed_position(last)
    if last is None or claim is None or claim[0] == state.log_id:
        return
    if _name_of(claim[0], chain([last], lines)) == state.name.encode():
        return
    what = f"{sink.name} holds lines of another log ({claim[0]}), not of log {state.name} ({state.log_id})"
    if report is None:
        raise SealError(what, hint="name another file, or open it with mixed=True")
    report(f"{what}; name another file, or verify it with the keys of both")


def _name_of(log_id: str, lines: Iterable[bytes]) -> bytes | None:
    """Return the name of a log, as the last one of its statements in some lines says it."""
    statements = (words for line in lines if (words := _core.statement_words(line)))
    return next((words[2] for words in statements if words[3:4] == [log_id.encode()]), None)

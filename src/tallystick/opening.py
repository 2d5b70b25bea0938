"""Opening a chain: from the right to write a log to what seals its next chain (spec section 6).

Take the right; load; replace the state by that of the chain after the next one, durably; only then is anything
sealed. So a number is never used twice, and a stolen store says nothing about chains already opened.
"""

import re
from dataclasses import replace

from tallystick import _core, custody
from tallystick.ceremony import CONTEXT
from tallystick.errors import CustodyError, FormatError, KeyStoreError
from tallystick.keystore import Lease, Stored
from tallystick.sinks import Sink, now

__all__ = ["end_state", "fetch_early", "open_chain", "public_state", "refuse_older_store", "unlock"]


def open_chain(
    lease: Lease, custody_url: str | None, control: str, epoch_lines: int, *, early: bytes | None = None
) -> _core.Sealer:
    """Open the next chain of a log.

    Args:
        lease: The right to write it.
        custody_url: URL of the custody, if it is not the one noted in the sealing state.
        control: Form of control lines: auto, plain or json.
        epoch_lines: Lines after which an epoch ends.
        early: What `fetch_early` returned for this chain.

    Raises:
        KeyStoreError: State or head is gone, damaged, or older than the log.
        CustodyError: The sealing state cannot be opened.
        SealError: The log has ended.
    """
    stored = lease.load()
    if stored.head is None:
        raise KeyStoreError(f"the head of log {lease.name} is gone from the key store; start a new log")
    if early is not None:
        _refuse_other(lease.name, early, stored.state)
    state, keeper, owner = unlock(lease.name, replace(stored, state=early or stored.state), custody_url)
    try:
        sealer = state.open_chain(stored.head, now())
    except FormatError as error:
        raise KeyStoreError(
            f"the head of log {lease.name} in the key store is damaged: {error}; start a new log"
        ) from error
    sealer.configure(control, epoch_lines)
    if early is None:
        _replace(lease, state, keeper, owner)
    return sealer


def fetch_early(lease: Lease, custody_url: str | None) -> bytes | None:
    """Fetch the next chain while the current one goes on: the store keeps only the state of the chain after it.

    So trouble with store or custody is met long before a chain is full. What is kept is encrypted as it was in the
    store: until it opens, no key of the next chain is in memory (spec section 3).

    Args:
        lease: The right to write the log.
        custody_url: URL of the custody, if it is not the one noted in the sealing state.

    Returns:
        The state to open the next chain with; None at the end of a generation, whose state needs the chain's `open`.

    Raises:
        KeyStoreError: The state cannot be read or replaced. It may have been replaced; then a number is left out.
        CustodyError: It cannot be opened or encrypted.
        SealError: The log has ended.
    """
    stored = lease.load()
    state, keeper, owner = unlock(lease.name, stored, custody_url)
    if not state.skip():
        return None
    _replace(lease, state, keeper, owner)
    return stored.state


def _replace(lease: Lease, state: _core.SealingState, keeper: custody.Custody, owner: custody.Owner) -> None:
    key = _core.DataKey.generate()
    lease.replace_state(state.lock(key, keeper.url, keeper.wrap(key, owner)))


def _refuse_other(name: str, early: bytes, stored: bytes) -> None:
    """Refuse where the store does not hold what was left there when the chain was fetched early."""
    here, there = public_state(name, early).next_chain, public_state(name, stored).next_chain
    if here is None or there != here + 1:
        raise KeyStoreError(
            f"the state of log {name} in the key store is for chain {there}, but chain {here} was fetched from there "
            "and not yet opened: a restored backup must not be sealed with; start a new log"
        )


def end_state(lease: Lease, custody_url: str | None) -> None:
    """Replace the state of a log by one without keys: no chain can be opened any more.

    Raises:
        KeyStoreError: The state cannot be read or replaced.
        CustodyError: It cannot be opened.
    """
    state, *_ = unlock(lease.name, lease.load(), custody_url)
    lease.replace_state(state.ended())


def unlock(
    name: str, stored: Stored, custody_url: str | None
) -> tuple[_core.SealingState, custody.Custody, custody.Owner]:
    """Open the state; also give its custody, and what a data key is bound to there.

    Raises:
        KeyStoreError: The state is damaged, or that of a log that is on its way from or to somewhere.
        CustodyError: It cannot be opened; or it names a provider outside, and others may have written it.
        SealError: The log has ended.
    """
    info = public_state(name, stored.state)
    if info.name != name:
        raise KeyStoreError(
            f"{name} is log {info.name} on its way; what was interrupted is to be done once more: "
            f"tallystick rotate {info.name}, or tallystick migrate {info.name}"
        )
    if custody_url is None and not stored.private and custody.is_outside(info.custody):
        # It would be shown what lets this writer in, wherever it is. What a file of this host names is ours.
        raise CustodyError(
            f"the state of log {name} names its custody, {info.custody}, but whoever may write the key store could "
            "have put that there; if it is right, name it where the writer is started, by --custody or "
            "TALLYSTICK_CUSTODY"
        )
    keeper = custody.connect(custody_url or info.custody)
    owner = custody.Owner(info.root, CONTEXT + info.public_key.encode(), info.version)
    return _core.SealingState.unlock(stored.state, keeper.unwrap(info.wrapped, owner)), keeper, owner


def public_state(name: str, state: bytes) -> _core.PublicState:
    """Return what anybody may read in the sealing state of a log.

    Args:
        name: The log's name.
        state: The state, as its key store holds it.

    Raises:
        KeyStoreError: It is damaged.
    """
    try:
        return _core.read_state(state)
    except FormatError as error:
        raise KeyStoreError(f"the state of log {name} in the key store is damaged: {error}; restore it") from error


def refuse_older_store(lease: Lease, sink: Sink) -> None:
    """Refuse where the log's own tail is ahead of the state: a restored store must not reuse numbers.

    Raises:
        KeyStoreError: It is, or the state is damaged.
    """
    info = public_state(lease.name, lease.load().state)
    seal = re.compile(
        rb"(?: |^)tally=%(id)s\.([0-9]{1,10})\.[0-9]+\.[0-9]+\.[0-9]+\.[\w-]{22}[ \t\r]*$"
        rb'|"tally":"%(id)s\.([0-9]{1,10})\.[0-9]+\.[0-9]+\.[0-9]+\.[\w-]{22}"\}[ \t\r]*$'
        % {b"id": info.log_id.encode()}
    )
    chain = sink.newest_chain(info.log_id)
    for line in sink.tail():
        if found := seal.search(line[-200:]):
            chain = max(chain, int(found[1] or found[2]))
            break
    if info.next_chain is not None and chain >= info.next_chain:
        raise KeyStoreError(
            f"the key store is older than {sink.name}: its state would open chain {info.next_chain} of log "
            f"{info.name} again, but the file holds chain {chain}; a restored backup must not be sealed "
            "with: start a new log"
        )

"""Sealing states that are opened, replaced and ended, and the custody that does it.

The order in which a state is replaced (spec section 6): a key of custody that has never wrapped anything; the state
wrapped with it, and as far as possible unwrapped once; the state replaced durably and read back; everything older than
its key destroyed, confirmed by custody; only then may the writer emit `open`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from tallystick import _core
from tallystick import custody as custodies
from tallystick.courier.channel import Channel, Timed
from tallystick.courier.state import owner_of, public_state
from tallystick.custody import Custody, Owner
from tallystick.errors import CustodyError, KeyStoreError, SealError
from tallystick.keystore import Lease, Stored

__all__ = [
    "Named",
    "Opened",
    "connect",
    "connect_new",
    "destroy",
    "destroy_former",
    "read_back",
    "replace_state",
    "unlock",
]

Named = tuple[str | None, ...]  # the custodies that the user named


@dataclass(frozen=True, slots=True)
class Opened:
    """A state that was unlocked, and the custody that unlocked it.

    Args:
        state: The state, with its keys.
        info: Its public part.
        keeper: The custody.
        owner: The log, as custody knows it.
        stored: The content of the key store.
    """

    state: _core.SealingState
    info: _core.PublicState
    keeper: Custody
    owner: Owner
    stored: Stored


def replace_state(lease: Lease, state: _core.SealingState, opened: Opened) -> int:
    """Put a state in the place of the one that was opened, in the order described above; return its version."""
    keeper, owner = opened.keeper, replace(opened.owner, version=state.version)
    key = _core.DataKey.generate()
    wrapped = keeper.wrap(key, owner, opened.info.wrapped)
    text = state.lock(key, keeper.url, wrapped)
    lease.replace_state(text)
    left = lease.state_version()
    read_back(lease, text)
    keeper.forget(wrapped, owner)
    return left


def read_back(lease: Lease, text: bytes) -> None:
    """Check that the key store holds a state that was just written there.

    Raises:
        KeyStoreError: It holds something else, or cannot be read.
    """
    if lease.load().state != text:
        raise KeyStoreError(
            f"the key store does not hold the state of log {lease.name} that was just written there",
            hint="try again, and look for another program that writes there",
        )


def unlock(
    channel: Channel,
    name: str,
    stored: Stored,
    custody: str | None,
    confirm: Callable[[], None] | None = None,
) -> Opened:
    """Open a state.

    Raises:
        KeyStoreError: The state is damaged, or that of another log.
        CustodyError: It cannot be opened; or it names a provider outside, and others may have written it.
        SealError: The log has ended.
    """
    info = public_state(name, stored.state)
    if info.name != name:
        raise KeyStoreError(
            f"the key store holds the state of log {info.name} under the name {name}", hint="restore it"
        )
    if info.next_chain is None:
        raise SealError(f"log {name} has ended", hint="start a new one")  # custody has no key left, and would say less
    keeper = connect(channel, stored, custody or info.custody, (custody,))
    owner = owner_of(info)
    if confirm is not None:
        owner = replace(owner, confirm=confirm)
    state = _core.SealingState.unlock(stored.state, keeper.unwrap(info.wrapped, owner))
    return Opened(state, info, keeper, owner, stored)


def destroy_former(channel: Channel, opened: Opened, *named: str | None) -> None:
    """Make the custody that a log came from destroy its keys, if an interruption came before that."""
    if opened.info.former is not None:
        url, wrapped = opened.info.former
        connect(channel, opened.stored, url, named).destroy(wrapped, opened.owner)


def destroy(
    channel: Channel,
    stored: Stored,
    info: _core.PublicState,
    named: Named,
    confirm: Callable[[], None] | None = None,
) -> None:
    """Destroy the keys in custody of a log that has ended."""
    owner = owner_of(info) if confirm is None else replace(owner_of(info), confirm=confirm)
    if info.former is not None:
        connect(channel, stored, info.former[0], named).destroy(info.former[1], owner)
    if info.wrapped:
        connect(channel, stored, named[0] or info.custody, named).destroy(info.wrapped, owner)


def connect(channel: Channel, stored: Stored, url: str, named: Named) -> Custody:
    """Return a custody that a state names.

    Raises:
        CustodyError: It is a provider outside that the user did not name, and others may have written the state.
    """
    if not stored.private and custodies.is_outside(url) and url not in named:
        # It would be shown credentials of this writer, wherever it is. A name in a file of this host is ours.
        raise CustodyError(
            f"the state of the log names its custody, {url}, but others who may write the key store could have put "
            "that there",
            hint="if it is right, name it where the writer is started, by --custody or TALLYSTICK_CUSTODY",
        )
    return Timed(custodies.connect(url, passphrases=channel), channel)


def connect_new(channel: Channel, url: str | None) -> Custody:
    """Return a custody that gets a log; a master key file that is not there is made."""
    if url is None:
        return custodies.create_default()
    return Timed(custodies.connect(url, create=True, passphrases=channel), channel)

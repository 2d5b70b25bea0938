"""The public part of a sealing state (spec section 6)."""

from tallystick import _core
from tallystick import custody as custodies
from tallystick.custody import Forgets, Owner
from tallystick.errors import CustodyError, FormatError, KeyStoreError, explain

__all__ = ["forgets", "in_words", "owner_of", "public_state"]

_CONTEXT = b"tallystick state "  # a wrapped data key is bound to this, followed by the public key


def public_state(name: str, state: bytes) -> _core.PublicState:
    """Return the public part of the sealing state of a log.

    Args:
        name: The log's name in its key store.
        state: The state, as its key store holds it.

    Raises:
        KeyStoreError: It is damaged.
    """
    try:
        return _core.read_state(state)
    except FormatError as error:
        raise KeyStoreError(
            f"the state of log {name} in the key store is damaged: {error}", hint="restore it"
        ) from error


def owner_of(state: "_core.PublicState | _core.SealingState") -> Owner:
    """Return the log of a state, as custody knows it."""
    return Owner(state.root, _CONTEXT + state.public_key.encode(), state.version)


def forgets(info: _core.PublicState) -> str:
    """Return whether custody forgets the keys of older states of a log, in words; nobody is asked."""
    if info.next_chain is None:
        return "yes, the log has ended" if info.exposed is None else _exposed(info.exposed)
    if info.exposed is not None:
        return _exposed(info.exposed)
    try:
        return in_words(custodies.connect(info.custody).forgets(info.wrapped))
    except CustodyError as error:
        return f"unknown, {explain(error)}"


def in_words(found: Forgets) -> str:
    """Return `yes` or `no`, and why or on what that depends."""
    return ("yes" if found.yes else "no") + (f", {found.why}" if found.why else "")


def _exposed(url: str) -> str:
    return f"no, {url}, where the log was before, may still open an older state; only new keys change that (rekey)"

"""Every custody: it encrypts the data key of a sealing state, and forgets how (spec section 6).

A data key lives in memory of the Rust core that is wiped, and never becomes an object of Python.

A custody that forgets wraps each state with a key of its own, which it makes for that and destroys once a newer state
is durable. An attacker who recorded every state and takes custody later opens none of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tallystick._core import DataKey

__all__ = ["Custody", "Forgets", "Owner"]


def _held() -> None:
    """Confirm a lease that nobody can take."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The log whose sealing state a data key encrypts.

    Args:
        root: P (spec section 3), 32 bytes. Keys, counters and files that custody keeps for one log are named by it.
        context: Public bytes that a wrapped key is bound to.
        version: Version of the state that is wrapped; it grows with each replacement.
        confirm: Raises KeyStoreError unless the lease of the log is still held. A custody calls it under a lock of
            its own, right before it makes or destroys something that two writers could contend for.
    """

    root: bytes
    context: bytes
    version: int = 0
    confirm: Callable[[], None] = _held


@dataclass(frozen=True, slots=True)
class Forgets:
    """Whether the present custody can still open older states.

    Args:
        yes: It cannot: custody destroys the key of each state once a newer one is durable.
        why: In words for people: why not, or on which condition; empty where there is nothing to say.
    """

    yes: bool
    why: str = ""


class Custody(Protocol):
    """Encrypts the sealing state of logs. `url` names it, is noted in the state and holds no secret."""

    url: str

    def wrap(self, key: DataKey, owner: Owner, replacing: bytes | None = None) -> bytes:
        """Encrypt a data key.

        A custody that forgets makes a key for that which has never wrapped anything, and opens the result once, as far
        as it can before `forget`. A second call makes another key.

        Args:
            key: The data key that encrypts the secrets of a sealing state.
            owner: The log; the result is bound to it.
            replacing: The wrapped key of the state that is going to be replaced; None where this custody gets the log:
                at set-up, or when the log moves here.

        Raises:
            CustodyError: The custody cannot be reached, or its key, counter or file belongs to another log.
            KeyStoreError: The lease is lost.
        """
        ...

    def unwrap(self, wrapped: bytes, owner: Owner) -> DataKey:
        """Decrypt what `wrap` returned for the same log.

        Raises:
            CustodyError: The custody cannot be reached or is another one, a byte was changed, or the key was destroyed.
        """
        ...

    def forget(self, wrapped: bytes, owner: Owner) -> None:
        """Destroy all keys of a log that are older than that of its present state; they are gone on return.

        Older by a number that only grows: a late call of a writer whose lease was lost destroys nothing of its
        successor's. A custody that does not forget does nothing.

        Args:
            wrapped: The wrapped key of the state that is durable in the key store.
            owner: The log.

        Raises:
            CustodyError: They could not be destroyed, or the custody does not confirm that they were.
            KeyStoreError: The lease is lost.
        """
        ...

    def destroy(self, wrapped: bytes, owner: Owner) -> None:
        """Destroy all keys of a log up to that of its last state, because the log has ended or moved elsewhere.

        A second call does no harm. A custody that does not forget does nothing.

        Raises:
            CustodyError: As for `forget`.
            KeyStoreError: The lease is lost.
        """
        ...

    def forgets(self, wrapped: bytes | None = None) -> Forgets:
        """Return whether this custody forgets; nobody is asked.

        Args:
            wrapped: The wrapped key of a state; None for a log that is going to be set up.
        """
        ...

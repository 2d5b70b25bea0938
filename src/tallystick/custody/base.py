"""What every custody can do: encrypt the data key of a sealing state (spec section 6).

A data key lives in memory of the Rust core that is wiped, and never becomes an object of Python.
"""

from typing import Protocol

from tallystick._core import DataKey

__all__ = ["Custody"]


class Custody(Protocol):
    """Who can open the sealing state of a log. `url` names it, is noted in the state and holds no secret."""

    url: str

    def wrap(self, key: DataKey, context: bytes) -> bytes:
        """Encrypt a data key.

        Args:
            key: The data key that encrypts the secrets of a sealing state.
            context: Public bytes that the result is bound to.

        Raises:
            CustodyError: The custody is not at hand.
        """
        ...

    def unwrap(self, wrapped: bytes, context: bytes) -> DataKey:
        """Decrypt what `wrap` returned for the same context.

        Raises:
            CustodyError: The custody is not at hand or another one, or a byte was changed.
        """
        ...

"""The connection from the process of the courier to its parent."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tallystick import _core, errors
from tallystick._core import DataKey
from tallystick.custody import Custody, Forgets, Owner
from tallystick.errors import CustodyError

__all__ = ["Channel", "Timed"]


class Channel:
    """Messages to and from the parent, and the page for secrets that both share."""

    def __init__(self, way: socket.socket, page: _core.Handover) -> None:
        self._way, self._page = way, page
        self._lines = way.makefile("rb")

    def say(self, message: dict[str, Any]) -> None:
        """Send the parent a message."""
        self._way.sendall(json.dumps(message).encode() + b"\n")

    def hear(self) -> dict[str, Any]:
        """Return the next message of the parent; end where the parent has gone."""
        line = self._lines.readline()
        if not line:
            raise SystemExit
        message: dict[str, Any] = json.loads(line)
        return message

    def take_state(self, message: dict[str, Any]) -> _core.SealingState:
        """Return the state that came with a message."""
        return _core.SealingState.take_from(self._page, message["state"])

    def take_head(self) -> bytearray:
        """Return the head that came with a state."""
        return self._page.take_head()

    def give_state(self, state: _core.SealingState) -> str:
        """Put the keys of a state into the page; return the rest, for the message."""
        return state.hand_over(self._page)

    @contextmanager
    def within(self, who: str, seconds: float | None) -> Iterator[None]:
        """Make the parent end this process where a block takes longer.

        Args:
            who: The service that is asked meanwhile, in words for people.
            seconds: How long it may take; None where that names no limit.
        """
        self.say({"limit": seconds, "who": who})
        try:
            yield
        finally:
            self.say({"limit": None, "who": ""})

    # A source of passphrases (`tallystick.custody.passphrase`): the terminal is the parent's.

    def attempts(self, lead: bytes) -> int:
        """Return how often to ask for a passphrase."""
        return self._attempts

    _attempts = 3

    def key(self, lead: bytes | None, attempt: int) -> tuple[bytes, DataKey]:
        """Make the parent ask for a passphrase; return its key."""
        self.say({"limit": 86400, "who": "the terminal"})
        self.say({"ask": "passphrase", "lead": (lead or b"").hex(), "attempt": attempt})
        answer = self.hear()
        self.say({"limit": None, "who": ""})
        if "error" in answer:
            raise getattr(errors, answer["error"], CustodyError)(answer["said"], hint=answer.get("hint"))
        self._attempts = answer["attempts"]
        return bytes.fromhex(answer["lead"]), DataKey.take_from(self._page)


class Timed:
    """A custody that is ended with this process where it does not answer within its timeout."""

    def __init__(self, custody: Custody, channel: Channel) -> None:
        self._custody, self._channel = custody, channel
        self.url = custody.url
        self._timeout: float | None = getattr(custody, "timeout", None)

    def wrap(self, key: DataKey, owner: Owner, replacing: bytes | None = None) -> bytes:
        """Encrypt a data key."""
        with self._channel.within(self.url, self._timeout):
            return self._custody.wrap(key, owner, replacing)

    def unwrap(self, wrapped: bytes, owner: Owner) -> DataKey:
        """Decrypt a data key."""
        with self._channel.within(self.url, self._timeout):
            return self._custody.unwrap(wrapped, owner)

    def forget(self, wrapped: bytes, owner: Owner) -> None:
        """Destroy older keys."""
        with self._channel.within(self.url, self._timeout):
            self._custody.forget(wrapped, owner)

    def destroy(self, wrapped: bytes, owner: Owner) -> None:
        """Destroy all keys."""
        with self._channel.within(self.url, self._timeout):
            self._custody.destroy(wrapped, owner)

    def forgets(self, wrapped: bytes | None = None) -> Forgets:
        """Tell whether this custody forgets."""
        return self._custody.forgets(wrapped)

"""Clients of the acknowledged protocol: who they are, and what is remembered of each (spec/agent.md section 3).

>>> clients = Clients(window=4, most=1)
>>> client = clients.issue("uid:7")
>>> clients.find("uid:7", client.id) is client, clients.find("uid:8", client.id)
(True, None)
>>> other = clients.issue("uid:7")                # the first one expires: it was unused for the longest time
>>> clients.find("uid:7", client.id), len(clients.all())
(None, 1)
"""

import os
from typing import Any

from tallystick import _core

__all__ = ["Client", "Clients"]


class Client:
    """One client.

    State: what was taken of it, how far that is in the log, and the connection that speaks for it now.
    """

    def __init__(self, number: int, identity: str, id: bytes, window: int) -> None:
        """Begin with nothing.

        Args:
            number: Its number in the journal.
            identity: As the kernel or a certificate has it.
            id: The 16 bytes that the agent issued.
            window: Of how many lines hashes are kept.
        """
        self.number, self.identity, self.id = number, identity, id
        self.replaces = 0
        """The number of the client that expired for it; 0 for none."""
        self.memory = _core.AgentClient(window)
        self.sealed = 0
        self.at = (0, 0, 0)  # of the last line in the log, where this process knows it
        self.connection: Any = None


class Clients:
    """All clients of a log; those of one identity are limited."""

    def __init__(self, window: int, most: int) -> None:
        """Begin without any.

        Args:
            window: Of how many lines of each hashes are kept.
            most: How many clients an identity may have; the one that was unused for the longest time expires.
        """
        self.window, self._most = window, most
        self._known: dict[tuple[str, bytes], Client] = {}
        self._counts: dict[str, int] = {}
        self._next = 1

    def all(self) -> list[Client]:
        """Return all, the one that was unused for the longest time first."""
        return list(self._known.values())

    def issue(self, identity: str) -> Client | None:
        """Return a new client; None where all that the identity may have are connected."""
        replaced = 0
        if self._counts.get(identity, 0) >= self._most:
            mine = (each for each in self._known.values() if each.identity == identity and each.connection is None)
            oldest = next(mine, None)
            if oldest is None:
                return None
            self.forget(oldest)
            replaced = oldest.number
        client = self.add(self._next, identity, os.urandom(16))
        client.replaces = replaced
        return client

    def add(self, number: int, identity: str, id: bytes) -> Client:
        """Return a client that a journal names."""
        client = self._known[identity, id] = Client(number, identity, id, self.window)
        self._counts[identity] = self._counts.get(identity, 0) + 1
        self._next = max(self._next, number + 1)
        return client

    def find(self, identity: str, id: bytes) -> Client | None:
        """Return the client with an id, and note that it is used; None if it is not known, or somebody else's."""
        client = self._known.pop((identity, id), None)
        if client is not None:
            self._known[identity, id] = client  # the last one from now on
        return client

    def forget(self, client: Client) -> None:
        """Have a client expire."""
        del self._known[client.identity, client.id]
        self._counts[client.identity] -= 1
        if not self._counts[client.identity]:
            del self._counts[client.identity]

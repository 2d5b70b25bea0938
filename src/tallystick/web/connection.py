"""Connections in bounds: so many at a time, each with so much patience, however slowly or silently a client acts.

A service works with the descriptors and the memory that connections leave.
"""

import asyncio
import logging
import socket
import weakref
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["CONNECTIONS", "LARGEST_HEAD", "Connection", "Listener"]

CONNECTIONS = 96
"""Connections at the same time; the next one is closed as it comes."""

LARGEST_HEAD = 16_384
"""Bytes that the head of a request may have."""

PATIENCE = 10.0  # seconds within which a request has come, between two looks at a connection
_LOOKS = 6  # looks in a row at which an answer was not taken yet

_SILENT = logging.Logger("tallystick.web.connection", logging.CRITICAL + 1)  # a bad request is no news


class Listener(socket.socket):
    """A listening socket that closes connections beyond the bound as they come, before TLS asks for any patience.

    Attributes:
        most: Connections at the same time.
    """

    def __init__(self, family: int, fileno: int | None = None) -> None:
        super().__init__(family, socket.SOCK_STREAM, fileno=fileno)
        self.most = CONNECTIONS
        self._accepted: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection.

        Raises:
            ConnectionAbortedError: There are enough; it is closed.
        """
        made, address = super().accept()
        if sum(one.fileno() >= 0 for one in self._accepted) >= self.most:
            made.close()
            raise ConnectionAbortedError
        self._accepted.add(made)
        return made, address


class Connection(H11Protocol):
    """A connection that is looked at now and then, and cut if its client lets it hang."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.logger = _SILENT
        self.access_log = False
        self._moved = False
        self._behind = 0
        self._next: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to look at it."""
        super().connection_made(transport)
        self._next = self.loop.call_later(PATIENCE, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Look no more."""
        super().connection_lost(exc)
        if self._next is not None:
            self._next.cancel()

    def on_response_complete(self) -> None:
        """Remember that something happened."""
        self._moved = True
        super().on_response_complete()

    def _look(self) -> None:
        moved, self._moved = self._moved, False
        self._behind = self._behind + 1 if self.transport.get_write_buffer_size() else 0
        waits = self.cycle is None or self.cycle.response_complete  # for a request
        hangs = not self._behind and (self.transport.is_closing() or (waits and not moved))
        if hangs or self._behind >= _LOOKS:
            self.transport.abort()
        else:
            self._next = self.loop.call_later(PATIENCE, self._look)

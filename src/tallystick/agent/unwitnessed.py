"""Acknowledgements that are owed once witnesses have the lines (spec/agent.md section 3)."""

from collections import deque

from tallystick.agent.connections import Connection
from tallystick.log import Log

__all__ = ["Unwitnessed"]

_At = tuple[int, int, int]


class Unwitnessed:
    """What clients hear later, in the order of the log.

    State: for each acknowledgement the position up to which witnesses must have the log, the connection, the number and
    the position of its line; and which number was the last that each connection is owed.
    Invariant: no client hears of a line that too few witnesses have; one that repeats itself takes no memory.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._owed: deque[tuple[_At, Connection, int, _At]] = deque()
        self._last: dict[Connection, int] = {}

    def begin(self) -> None:
        """Have the chain begin, if it has no line yet: its `open` says that all before it was there."""
        if self._position()[1:] == (0, 0):
            self._log.checkpoint()

    def owe(self, connection: Connection) -> None:
        """Note that a connection is owed an acknowledgement of what is in the log now."""
        client = connection.client
        if client is None or self._last.get(connection, 0) >= client.sealed:
            return
        self._last[connection] = client.sealed
        self._owed.append((self._position(), connection, client.sealed, client.at))
        self._log.hurry()

    def acknowledge(self) -> None:
        """Send what is due."""
        while self._owed and self._log.has_witnessed(self._owed[0][0]):
            _, connection, number, at = self._owed.popleft()
            if connection in self._last:
                connection.acknowledge(number, at)

    def forget(self, connection: Connection) -> None:
        """Note that a connection is over."""
        self._last.pop(connection, None)

    def _position(self) -> _At:
        chain, epoch, index = map(int, self._log.position.split("."))
        return chain, epoch, index

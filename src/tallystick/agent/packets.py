"""Sockets that give whole messages: datagrams, and packets of a connection.

>>> _CREDENTIALS.size                             # pid, uid, gid
12
"""

import selectors
import socket
import struct

from tallystick import _core
from tallystick.agent.address import Address
from tallystick.agent.connections import Connection
from tallystick.agent.desk import Desk, say_splits
from tallystick.agent.messages import show_senders
from tallystick.agent.origin import Fields, Peer

__all__ = ["Datagrams", "PacketConnection"]

_AT_ONCE = 2**18  # bytes in one turn
_AROUND = 64  # bytes that a message counts besides its own: a flood of empty ones must come to an end, too
_CREDENTIALS = struct.Struct("3i")


def _say_cuts(desk: Desk, name: str, sizes: list[int]) -> None:
    if sizes:
        here = desk.room.longest
        desk.notice("cut", [f"{name} sent a message of {size} bytes; only the first {here} are here" for size in sizes])


class PacketConnection(Connection):
    """A connection each of whose packets is a message."""

    def __init__(self, desk: Desk, connection: socket.socket, address: Address, peer: Peer) -> None:
        """Take an accepted connection; who it is, is known."""
        super().__init__(desk, connection, address, peer)
        show_senders(connection)

    def _receive(self) -> int:
        try:
            message = self.desk.room.receive(self.socket)
        except BlockingIOError:
            return -1
        if not message.sender:
            return 0
        assert isinstance(self.reader, _core.LineStream)
        self.reader.feed(message.data, self.desk.lines, self._stamp)
        if message.size > len(message.data):
            _say_cuts(self.desk, self.peer.name, [message.size])
        return len(message.data) + _AROUND


class Datagrams:
    """A socket each of whose datagrams is a message; nobody is acknowledged, and no sender is slowed down by name."""

    def __init__(self, desk: Desk, listening: socket.socket, address: Address) -> None:
        """Take a bound socket."""
        self.desk, self.socket, self.address, self.fd = desk, listening, address, listening.fileno()
        self._reader = _core.Datagrams(desk.limits.line, desk.room.longest)
        self._stamp = Fields((("transport", "udp"),)).stamp if desk.stamps else None
        self._senders: dict[bytes, _core.Stamp] = {}
        self._name = f"a sender at {address}"
        desk.watch(self, selectors.EVENT_READ)

    def ready(self, _: int) -> None:
        """Take what is there."""
        rate = self.desk.limits.rate
        took = self.read()
        if rate:
            self.desk.watch(self, 0)
            self.desk.later(self, took / rate)

    def late(self) -> None:
        """Go on after a pause."""
        self.desk.watch(self, selectors.EVENT_READ)

    def read(self) -> int:
        """Receive what is there, up to a bound; return how many bytes came."""
        if self.desk.stamps and self.address.is_unix:
            took, cuts = self._with_senders()
        else:
            took = self._reader.receive(self.fd, self.desk.lines, _AT_ONCE, self._stamp)
            cuts = self._reader.cuts()
        say_splits(self.desk, self._name, self._reader.splits())
        _say_cuts(self.desk, self._name, cuts)
        return took

    def _with_senders(self) -> tuple[int, list[int]]:
        took, cuts = 0, []
        while took < _AT_ONCE:
            try:
                data, size, sender = self.desk.room.receive(self.socket)
            except BlockingIOError:
                break
            self._reader.feed(data, self.desk.lines, self._senders.get(sender) or self._new(sender))
            took += len(data) + _AROUND
            if size > len(data):
                cuts.append(size)
        return took, cuts

    def _new(self, sender: bytes) -> _core.Stamp:
        pid, uid, gid = _CREDENTIALS.unpack(sender)
        if len(self._senders) > 1000:
            self._senders.clear()
        fields = Fields((("uid", uid & 0xFFFFFFFF), ("gid", gid & 0xFFFFFFFF), ("pid", pid)))
        return self._senders.setdefault(sender, fields.stamp)

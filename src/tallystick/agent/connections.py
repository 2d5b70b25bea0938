"""Connections: what comes by them is put to the lines of a loop, or into a conversation.

>>> from tallystick.agent.address import Address  # which of the two it may be is said by the address
>>> Address.parse("unix:/run/payments").acknowledges, Address.parse("tcp:localhost:514").acknowledges
(True, False)
"""

import selectors
import socket
import ssl
import time
from contextlib import suppress

from tallystick import _core
from tallystick.agent.address import Address
from tallystick.agent.clients import Client
from tallystick.agent.desk import Desk, Owed, say_splits
from tallystick.agent.handover import Held
from tallystick.agent.origin import Peer, certified
from tallystick.agent.protocol import SEALED, WITNESSED, Refusal, acknowledgement, refusal, welcome
from tallystick.errors import reason

__all__ = ["Connection", "TlsConnection"]

_AT_ONCE = 2**18  # bytes
_PATIENCE = 10.0  # seconds for a handshake
_BRIEFLY = 1.0  # seconds for a client to read why it was refused


class Connection:
    """One connection, by which lines, messages of syslog, or a conversation come."""

    def __init__(self, desk: Desk, connection: socket.socket, address: Address, peer: Peer) -> None:
        """Take an accepted connection; who it is, is known."""
        self.desk, self.socket, self.address, self.peer = desk, connection, address, peer
        self.fd = connection.fileno()
        self.reader: _core.LineStream | _core.Conversation | None = None
        self.client: Client | None = None
        self.state = SEALED
        self.held = 0
        self.is_over = False
        self._owed, self._leaving = Owed(), False
        self._stamp = peer.fields.stamp if desk.stamps else None
        self._room = float(desk.limits.rate or 0)
        self._filled = time.monotonic()
        desk.watch(self, selectors.EVENT_READ)

    def ready(self, events: int) -> None:
        """Do what can be done now."""
        if self.is_over:  # another one in this turn has ended it
            return
        try:
            if events & selectors.EVENT_WRITE:
                self._flush()
            if events & selectors.EVENT_READ and not self.is_over:
                self.read()
        except OSError as error:
            if not isinstance(error, ConnectionError):
                self.desk.reports.note(self.peer.name, f"lost its connection to {self.address}: {reason(error)}")
            self.close()

    def read(self) -> int:
        """Receive once; return how many bytes came."""
        if self._leaving:
            if not self._discard():
                self.close()
            return 0
        if self.reader is None and not self._begin():
            return 0
        count = self._receive()
        if count > 0:
            self._came(count)
        elif count == 0:
            self.close()
        return max(count, 0)

    def hand_over(self) -> Held | None:
        """Return what another program takes to go on here; None if it cannot."""
        if self._leaving:
            return None
        reader, peer = self.reader, self.peer
        return Held(
            self.fd, str(self.address), peer.identity, peer.name, peer.fields.pairs,
            lines=reader.left() if isinstance(reader, _core.LineStream) else None,
            conversation=reader.left() if isinstance(reader, _core.Conversation) else None,
            id=self.client.id if self.client else b"", state=self.state, owed=self._owed.rest,
        )  # fmt: skip

    def go_on(self, held: Held) -> None:
        """Go on where another program was."""
        if held.conversation is not None:
            self._choose(b"\0")
            assert isinstance(self.reader, _core.Conversation)
            self.reader.feed(held.conversation)
        elif held.lines is not None:
            self.reader = _core.LineStream(self._form, self.desk.limits.line, held.lines)
        if held.id:
            self.client = self.desk.clients.find(self.peer.identity, held.id)
            if self.client is None:
                self.refuse(Refusal.EXPIRED, 0)
                return
            self.client.connection, self.state = self, held.state
        self._put(held.owed)
        self.acknowledge()

    # How bytes come and go; TLS does it in another way

    def _begin(self) -> bool:
        try:
            first = self.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        self._choose(first)
        return True

    def _receive(self) -> int:
        if isinstance(self.reader, _core.Conversation):
            return self.reader.receive(self.fd, self.desk.lines)
        assert self.reader is not None
        return self.reader.receive(self.fd, self.desk.lines, self._stamp)

    def _send(self, data: bytes) -> int:
        try:
            return self.socket.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return 0

    def _discard(self) -> bool:
        try:
            return bool(self.socket.recv(_AT_ONCE, socket.MSG_DONTWAIT))
        except BlockingIOError:
            return True

    # What is done with them

    def _choose(self, first: bytes) -> None:
        """Begin a conversation if the first byte is NUL, where that may be: no line begins with it."""
        limits = self.desk.limits
        if first == b"\0" and self.address.acknowledges:
            self.reader = _core.Conversation(limits.line, limits.window)
        else:
            self.reader = _core.LineStream(self._form, limits.line)

    @property
    def _form(self) -> str:
        return "packets" if self.address.kind == "unixpacket" else "syslog" if self.address.syslog else "lines"

    def _came(self, count: int) -> None:
        reader = self.reader
        if isinstance(reader, _core.Conversation):
            self._converse(reader)
        elif reader is not None:
            say_splits(self.desk, self.peer.name, reader.splits())
        if reader is not None and not self.is_over:
            held, self.held = self.held, reader.pending
            self.desk.hold(self.held - held)
        if self.desk.limits.rate and not self.is_over:
            self._slow_down(count, self.desk.limits.rate)

    def _slow_down(self, count: int, rate: int) -> None:
        now = time.monotonic()
        self._room = min(float(rate), self._room + (now - self._filled) * rate) - count
        self._filled = now
        if self._room < 0:
            self.desk.watch(self, 0)
            self.desk.later(self, -self._room / rate)

    def late(self) -> None:
        """Go on after a pause; a client that was refused had its time."""
        if self._leaving:
            self.close()
        elif not self.is_over:
            self._watch()

    def _watch(self) -> None:
        writes = selectors.EVENT_WRITE if self._owed.rest or self._owed.newest else 0
        self.desk.watch(self, selectors.EVENT_READ | writes)

    def _converse(self, reader: _core.Conversation) -> None:
        while not self._leaving:
            code, number, state, id = reader.step(None if self.client is None else self.client.memory, self._stamp)
            if id is not None:
                self._hello(id, state)
                continue
            self.desk.take(self, reader.run())
            if code:
                self.refuse(code, number)
            break

    def _hello(self, id: bytes, state: int) -> None:
        desk = self.desk
        if state not in self.desk.states:
            self.refuse(Refusal.STATE, 0)
            return
        is_new = id == bytes(16)
        client = desk.issue(self.peer.identity) if is_new else desk.clients.find(self.peer.identity, id)
        if client is None:
            self.refuse(Refusal.TOO_MANY if is_new else Refusal.EXPIRED, 0)
            return
        if client.connection is not None:
            client.connection.refuse(Refusal.SUPERSEDED, 0)
        client.connection, self.client, self.state = self, client, state
        self._put(welcome(client.id, client.sealed, desk.limits.window, desk.limits.line))
        if state == WITNESSED and client.sealed:
            desk.take(self, None)  # that a line is in the log does not mean that witnesses have it

    def acknowledge(self, through: int | None = None, at: tuple[int, int, int] = (0, 0, 0)) -> None:
        """Acknowledge what is in the log of the client: all, or up to a number, whose line is at a position."""
        if self.client is not None and self.client.connection is self and not self.is_over and self.client.sealed:
            through, at = (self.client.sealed, self.client.at) if through is None else (through, at)
            self._owed.acknowledge(acknowledgement(self.state, through, at))
            self._flush()

    def refuse(self, code: int, number: int) -> None:
        """End the conversation, and say why."""
        if self._leaving or self.is_over:
            return
        if code not in (Refusal.SUPERSEDED, Refusal.LEAVING):
            at = f" at number {number}" if number else ""
            self.desk.reports.note(self.peer.name, f"was refused by {self.address}{at}: {Refusal.TEXTS[code]}")
        self._let_go()
        self._leaving = True
        self._put(refusal(code, number))
        with suppress(OSError):
            self._end_sending()
        if not self.is_over:
            self.desk.later(self, _BRIEFLY)

    def _end_sending(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def _put(self, frame: bytes) -> None:
        self._owed.put(frame)
        self._flush()

    def _flush(self) -> None:
        """Send what is owed. One that has gone is owed nothing; what it had sent is read all the same."""
        try:
            while data := self._owed.next():
                sent = self._send(data)
                self._owed.rest = data[sent:]
                if sent < len(data):
                    break
        except OSError:
            self._owed = Owed()
        self._watch()

    def _let_go(self) -> None:
        if self.client is not None and self.client.connection is self:
            self.client.connection = None

    def close(self) -> None:
        """Take the end of the connection: half a message is a line, half a frame is nothing."""
        if self.is_over:
            return
        self.is_over = True
        self._let_go()
        if isinstance(self.reader, _core.LineStream):
            if self.reader.finish(self.desk.lines, self._stamp):
                self.desk.reports.note(self.peer.name, "ended in the middle of a message, which is sealed as it came")
            say_splits(self.desk, self.peer.name, self.reader.splits())
        self.desk.hold(-self.held)
        self.desk.forget(self)
        self.socket.close()


class TlsConnection(Connection):
    """A connection whose other end shows a certificate."""

    def __init__(self, desk: Desk, connection: ssl.SSLSocket, address: Address, peer: Peer) -> None:
        """Take an accepted connection; its handshake is to come."""
        super().__init__(desk, connection, address, peer)
        self._tls, self._is_known = connection, False
        desk.later(self, _PATIENCE)

    def ready(self, events: int) -> None:
        """Do what can be done now: to read may take to write."""
        super().ready(events | selectors.EVENT_READ)

    def hand_over(self) -> None:
        """Say that it cannot be: what was agreed with the other end cannot leave this process."""

    def late(self) -> None:
        """Close a connection that does not shake hands."""
        if self.is_over:
            return
        if not self._is_known:
            self.desk.reports.note(self.peer.name, f"did not end its handshake with {self.address}")
            self.close()
        else:
            super().late()

    def read(self) -> int:
        """Receive, or shake hands; return how many bytes came."""
        try:
            if not self._is_known:
                self._shake_hands()
            return super().read()
        except ssl.SSLWantReadError:
            return 0
        except ssl.SSLWantWriteError:
            self.desk.watch(self, selectors.EVENT_READ | selectors.EVENT_WRITE)
            return 0
        except ssl.SSLError as error:
            self.desk.reports.note(self.peer.name, f"was refused by {self.address}: {reason(error)}")
            self.close()
            return 0

    def _shake_hands(self) -> None:
        self._tls.do_handshake()
        self._is_known = True
        self.peer = certified(self._tls.getpeercert() or {}, self.peer.name)
        self._stamp = self.peer.fields.stamp if self.desk.stamps else None

    def _begin(self) -> bool:
        return True

    def _receive(self) -> int:
        data = self._tls.recv(_AT_ONCE)
        while data and self._tls.pending() and len(data) < _AT_ONCE:
            data += self._tls.recv(_AT_ONCE)
        if self.reader is None:
            self._choose(data[:1])
        if isinstance(self.reader, _core.Conversation):
            self.reader.feed(data)
        elif self.reader is not None:
            self.reader.feed(data, self.desk.lines, self._stamp)
        return len(data)

    def _send(self, data: bytes) -> int:
        try:
            return self._tls.send(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0

    def _discard(self) -> bool:
        return bool(self._tls.recv(_AT_ONCE))

    def _end_sending(self) -> None:
        """Leave it open until the client has read why, or its time is over: TLS has no half-closed connections."""

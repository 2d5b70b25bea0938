"""The loop of one log: it waits for all its sockets, and seals what came, in bulk, before it acknowledges any of it.

It alone writes the log. While the log takes no lines it waits, and reads nothing: so do its senders.

>>> _ENOUGH                                       # bytes that are sealed before more is read
1048576
"""

import heapq
import itertools
import os
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from tallystick import _core
from tallystick.agent.address import Address
from tallystick.agent.clients import Client, Clients
from tallystick.agent.connections import Connection, TlsConnection
from tallystick.agent.handover import Held
from tallystick.agent.journal import HASHES, Journal
from tallystick.agent.limits import Limits, Reports
from tallystick.agent.losses import Losses
from tallystick.agent.messages import Room
from tallystick.agent.origin import Fields, Peer, local, remote
from tallystick.agent.packets import Datagrams, PacketConnection
from tallystick.agent.protocol import SEALED, SYNCED, WITNESSED, Refusal, numbers
from tallystick.agent.unwitnessed import Unwitnessed
from tallystick.errors import SealError, TallystickError, reason
from tallystick.log import Log

__all__ = ["Listener", "Loop"]

_TURN = 1.0  # seconds after which the loop looks around though nothing came
_ACCEPTED = 128  # connections in one turn
_ENOUGH = 2**20  # bytes that are sealed before more is read
_AGAIN = 0.1  # seconds after which a journal without room is tried again
_DRAIN = 2**24  # bytes of datagrams that a leaving agent still takes


class Listener:
    """A socket that accepts connections."""

    def __init__(
        self, loop: "Loop", listening: socket.socket, address: Address, context: Callable[[], ssl.SSLContext | None]
    ) -> None:
        """Take a socket that listens; `context` returns that of TLS as it is now."""
        self.socket, self.address, self.fd = listening, address, listening.fileno()
        self._loop, self._context = loop, context
        self._count = 0
        self._peers: dict[str, int] = {}
        loop.watch(self, selectors.EVENT_READ)

    def ready(self, _: int) -> None:
        """Accept connections."""
        for _ in range(_ACCEPTED):
            try:
                connection, name = self.socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._loop.reports.note(str(self.address), f"accepts no connection: {reason(error)}")
                self._loop.watch(self, 0)
                self._loop.later(self, _AGAIN)
                return
            try:
                self._take(connection, name)
            except OSError:
                connection.close()  # it is gone already

    def late(self) -> None:
        """Accept again."""
        self._loop.watch(self, selectors.EVENT_READ)

    def _take(self, connection: socket.socket, name: Any) -> None:
        connection.setblocking(False)
        address, loop = self.address, self._loop
        if address.is_unix:
            peer = local(connection, closely=loop.stamps)
        else:
            peer = remote(address.kind, f"{name[0]}:{name[1]}")
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        mine = self._peers.get(peer.identity, 0)
        if self._count >= loop.limits.connections or mine >= loop.limits.peer:
            loop.reports.note(peer.name.rpartition(":")[0] or peer.name, f"has too many connections to {address}")
            loop.losses.refused()
            connection.close()
            return
        self._count, self._peers[peer.identity] = self._count + 1, mine + 1
        loop.connections[self._made(connection, peer)] = (self, peer.identity)

    def _made(self, connection: socket.socket, peer: Peer) -> Connection:
        if (context := self._context()) is not None and self.address.kind == "tls":
            wrapped = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
            return TlsConnection(self._loop, wrapped, self.address, peer)
        kind = PacketConnection if self.address.kind == "unixpacket" else Connection
        return kind(self._loop, connection, self.address, peer)

    def resume(self, held: Held) -> None:
        """Go on with a connection that another program accepted."""
        peer = Peer(held.identity, held.name, Fields(held.fields))
        connection = socket.socket(fileno=held.fd)
        connection.setblocking(False)
        self._count, self._peers[peer.identity] = self._count + 1, self._peers.get(peer.identity, 0) + 1
        made = self._made(connection, peer)
        self._loop.connections[made] = (self, peer.identity)
        made.go_on(held)

    def left(self, identity: str) -> None:
        """Note that a connection is over."""
        self._count -= 1
        self._peers[identity] -= 1
        if not self._peers[identity]:
            del self._peers[identity]


class Loop:
    """All sockets of one log, and the log.

    State: lines that wait to be sealed, runs of clients that wait to be journalled and sealed.
    Invariant: nothing is acknowledged before it is sealed; nothing of a client is sealed before the journal has it.
    """

    def __init__(self, log: Log, limits: Limits, reports: Reports, clients: Clients, journal: Journal | None) -> None:
        """Take an open log.

        Args:
            log: The log; it is closed by its owner.
            limits: What is taken.
            reports: Who did what.
            clients: Those that the journal remembers.
            journal: None where nobody is acknowledged.
        """
        self.log, self.limits, self.reports, self.clients = log, limits, reports, clients
        self.stamps = False
        self.states: tuple[int, ...] = (SEALED, SYNCED)
        self.lines, self.room = _core.Lines(), Room()
        self.connections: dict[Connection, tuple[Listener, str]] = {}
        self.failure: TallystickError | None = None
        self.beat = time.monotonic()
        self.is_writing = False
        self._journal = journal
        self._listeners: list[Listener | Datagrams] = []
        self._selector = selectors.DefaultSelector()
        self._watched: dict[int, int] = {}
        self._later: list[tuple[float, int, Any]] = []
        self._order = itertools.count()
        self._runs: list[tuple[Client, int, bytes, bytes]] = []
        self._owing: dict[Connection, None] = {}
        self._unwitnessed = Unwitnessed(log)
        self.losses = Losses(log, reports)
        self._half = 0
        self._leaving = self._pausing = self._finished = False
        self._woken, self._waking = os.pipe()
        os.set_blocking(self._woken, False)
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        self.thread = threading.Thread(target=self._run, name=f"tallystick {log.name}")

    def listen(
        self, listening: socket.socket, address: Address, context: Callable[[], ssl.SSLContext | None] = lambda: None,
        drops: int = 0,
    ) -> None:  # fmt: skip
        """Take a socket that listens, and has dropped so many datagrams; before the thread starts."""
        if address.kind == "udp":
            self.losses.watch(listening, address, drops)
        if address.kind in ("unixgram", "udp"):
            self._listeners.append(Datagrams(self, listening, address))
        else:
            self._listeners.append(Listener(self, listening, address, context))

    def offer_witnessed(self) -> None:
        """Have clients ask for lines that witnesses have; before the thread starts. SealError as for critical lines."""
        self.log.when_witnessed(self._wake)
        self.states = (SEALED, SYNCED, WITNESSED)

    def leave(self) -> None:
        """Have the loop seal what is there now and end; for signal handlers and other threads."""
        self._leaving = True
        self._wake()

    def pause(self) -> None:
        """Have the loop end with nothing that it took unsealed, and with its connections open; they go on elsewhere."""
        self._pausing = True
        self._wake()

    def _wake(self) -> None:
        with suppress(OSError):
            os.write(self._waking, b"\0")

    def resume(self, held: Held) -> bool:
        """Go on with a connection that another program held, before the thread starts; False if it is not for us."""
        for listener in self._listeners:
            if isinstance(listener, Listener) and str(listener.address) == held.address:
                listener.resume(held)
                return True
        return False

    def hand_over(self) -> list[Held]:
        """Return the connections of a loop that paused; those that cannot go on elsewhere end."""
        found = [(connection, connection.hand_over()) for connection in self.connections]
        self._end([connection for connection, held in found if held is None])
        return [held for _, held in found if held is not None]

    def _run(self) -> None:
        try:
            while not (self._leaving or self._pausing):
                self._turn()
            if self._pausing:
                self.losses.state(end=True)
        except TallystickError as error:
            self.failure = error
        if not self._pausing or self.failure is not None:
            self.finish()

    def finish(self) -> None:
        """Take what was sent before now, and end all connections, once: at the end of the thread, or after it."""
        is_first, self._finished = not self._finished, True
        try:
            if is_first and self.failure is None:
                self._drain()
        except TallystickError as error:
            self.failure = error
        finally:
            for connection in list(self.connections):
                connection.close()

    def _turn(self) -> None:
        self.beat = now = time.monotonic()
        wait = max(0.0, min(_TURN, self._later[0][0] - now)) if self._later else _TURN
        for key, events in self._selector.select(wait):
            if key.data is None:
                with suppress(BlockingIOError):
                    os.read(self._woken, 4096)
            elif key.fd in self._watched:
                key.data.ready(events)
                if self.lines.size > _ENOUGH:
                    self._seal()
        while self._later and self._later[0][0] <= time.monotonic():
            heapq.heappop(self._later)[2].late()
        self._seal()
        self._unwitnessed.acknowledge()
        self._cut_longest()
        self.losses.state()
        self.reports.repeat()

    def _drain(self) -> None:
        """Take what was sent before now, and no more: senders may go on for ever."""
        for listener in self._listeners:
            if isinstance(listener, Listener):
                listener.ready(0)
        for listener in self._listeners:
            took = 0
            while isinstance(listener, Datagrams) and took < _DRAIN and (more := listener.read()):
                took += more
                self._seal()
        self._end(list(self.connections))
        self.losses.state(end=True)
        self.reports.repeat(end=True)

    def _end(self, connections: list[Connection]) -> None:
        for connection in connections:
            took, most = 0, 2**22
            while took < most and not connection.is_over:
                before = took
                with suppress(OSError):
                    took += connection.read()
                if took == before:
                    break
                self._seal()
            connection.refuse(Refusal.LEAVING, 0) if connection.client else connection.close()
        self._seal()

    # For connections

    def watch(self, part: Any, events: int) -> None:
        """Wait for other events of a part; none to wait for nothing."""
        before = self._watched.get(part.fd, 0)
        if events == before:
            return
        if not before:
            self._selector.register(part.fd, events, part)
        elif events:
            self._selector.modify(part.fd, events, part)
        else:
            self._selector.unregister(part.fd)
        self._watched[part.fd] = events
        if not events:
            del self._watched[part.fd]

    def later(self, part: Any, seconds: float) -> None:
        """Have `part.late()` called after so many seconds."""
        heapq.heappush(self._later, (time.monotonic() + seconds, next(self._order), part))

    def issue(self, identity: str) -> Client | None:
        """Return a new client, whose id is noted before anybody knows it."""
        client = self.clients.issue(identity)
        if client is not None and self._journal is not None:
            self._noted(lambda journal: journal.note_client(client))
        return client

    def take(self, connection: Connection, run: tuple[int, bytes, bytes] | None) -> None:
        """Take lines that are to be sealed, and acknowledge all to a connection then."""
        if run is not None and connection.client is not None:
            self._runs.append((connection.client, *run))
        self._owing[connection] = None

    def hold(self, change: int) -> None:
        """Count bytes of messages that have not ended."""
        self._half += change

    def notice(self, kind: str, texts: list[str]) -> None:
        """Have the log itself say something, after all lines that came before; ten of it, where it is more."""
        self._seal_lines()
        for text in texts[:10]:
            self.log.notice(kind, text)

    def forget(self, connection: Connection) -> None:
        """Note that a connection is over."""
        self.watch(connection, 0)
        self._owing.pop(connection, None)
        self._unwitnessed.forget(connection)
        if (found := self.connections.pop(connection, None)) is not None:
            found[0].left(found[1])

    # Sealing

    def _seal(self) -> None:
        self._seal_lines()
        runs, self._runs = self._runs, []
        if runs:
            self._seal_runs(runs)
        if self._journal is not None and self._journal.is_large:  # nothing waits to be sealed here
            self._write(self.log.sync)
            self._noted(lambda journal: journal.keep(self.clients))
        if self._owing:
            owing, self._owing = self._owing, {}
            if any(each.state == SYNCED for each in owing):
                self._write(self.log.sync)
            if any(each.state == WITNESSED for each in owing):
                self._write(self._unwitnessed.begin)
            for connection in owing:
                if connection.state == WITNESSED:
                    self._unwitnessed.owe(connection)
                else:
                    connection.acknowledge()

    def _seal_lines(self) -> None:
        if self.lines.count:
            lines = self.lines.take()
            self._write(partial(self.log.write_lines, lines))
            if self._journal is not None:
                self._journal.pass_by(len(lines))

    def _seal_runs(self, runs: list[tuple[Client, int, bytes, bytes]]) -> None:
        at = numbers(self.log.position)
        self._noted(lambda journal: journal.note_batch(at, [(run[0].number, run[1], run[3]) for run in runs]))
        for client, first, lines, hashes in runs:
            self._write(partial(self.log.write_lines, lines))
            client.sealed = first + len(hashes) // HASHES - 1
            client.at = self.log.last_entry or (0, 0, 0)

    def _write(self, step: Callable[[], object]) -> None:
        self.is_writing = True
        step()
        self.is_writing = False

    def _noted(self, note: Callable[[Journal], None]) -> None:
        """Have the journal note something; without room this waits, as the log does."""
        assert self._journal is not None
        is_reported = False
        self.is_writing = True
        while True:
            try:
                note(self._journal)
                break
            except OSError as error:
                if self._leaving:
                    raise SealError(f"the journal of log {self.log.name}: {reason(error)}") from error
                if not is_reported:
                    self.reports.note(f"the journal of log {self.log.name}", f"waits: {reason(error)}")
                    is_reported = True
                time.sleep(_AGAIN)
        self.is_writing = False

    def _cut_longest(self) -> None:
        """Close the connections with the longest half messages while all of them together are too long."""
        while self._half > self.limits.half and self.connections:
            longest = max(self.connections, key=lambda each: each.held)
            self.reports.note(longest.peer.name, f"was cut off at {longest.held} bytes of a message without end")
            longest.close()

"""The process of the agent: its logs, its sockets, signals, and what a service manager wants to know.

>>> from tallystick.agent.service import serve    # serve(lambda: [wanted], print, notify) until SIGTERM
"""

import os
import resource
import select
import signal
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from types import FrameType

from tallystick import _core, keystore
from tallystick.agent.address import Address
from tallystick.agent.clients import Clients
from tallystick.agent.handover import SIGNALS, Handed, Held, Listening, check_program, replace_program, take
from tallystick.agent.journal import Journal
from tallystick.agent.limits import Reports
from tallystick.agent.loop import Loop
from tallystick.agent.recovery import recover
from tallystick.agent.sockets import handed_over, made_at, removed
from tallystick.agent.wanted import Tls, Wanted
from tallystick.errors import SealError, TallystickError, explain, reason
from tallystick.log import Log
from tallystick.securefile import reporting

__all__ = ["serve"]

_PATIENCE = 5.0  # seconds for which a leaving agent waits for room
_STUCK = 30.0  # seconds without a turn after which a loop that does not write is taken for stuck


def serve(read: Callable[[], Sequence[Wanted]], report: Callable[[str], None], notify: Callable[..., None]) -> None:
    """Take lines for some logs until SIGTERM or SIGINT, and close them.

    Args:
        read: Returns the logs; it is called again after SIGHUP.
        report: Called with messages, also from other threads.
        notify: Called with assignments for a service manager, such as `READY=1`.

    Raises:
        TallystickError: A log cannot be opened, a socket not made; or a log was stopped.
    """
    _core.refuse_dumps()
    handed = take(os.environ)
    with suppress(ValueError, OSError):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    service = _Service(read, report, notify)
    try:
        with ExitStack() as stack:
            opened = [service.open(one, stack) for one in service.wanted]
            service.hear()
            service.listen(opened, handed, stack)
            service.run()
    except TallystickError as error:
        if service.successor is None:
            raise
        report(explain(error))  # what was handed over is not lost for it
    if service.successor is not None:
        try:
            replace_program(*service.successor, service.late)
        except OSError as error:
            raise SealError(f"the program cannot be executed again: {reason(error)}") from error


@dataclass(frozen=True, slots=True)
class _Opened:
    """A log that is open."""

    wanted: Wanted
    log: Log
    clients: Clients
    journal: Journal | None


class _Service:
    """All loops, and the signals that they hear of."""

    def __init__(
        self, read: Callable[[], Sequence[Wanted]], report: Callable[[str], None], notify: Callable[..., None]
    ) -> None:
        self._read, self._report, self._notify = read, report, notify
        self.wanted = list(read())
        self.successor: tuple[list[Listening], list[Held]] | None = None
        """Sockets for the program that takes the place of this one, if one does."""
        self.late: list[int] = []
        """Signals for that program, which came when all was handed over already."""
        self._loops: list[Loop] = []
        self._listening: list[Listening] = []
        self._tls: list[tuple[Tls, list[ssl.SSLContext]]] = []
        self._asked = self._reload = self._upgrade = False
        self._woken, self._waking = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._waking, False)

    def open(self, wanted: Wanted, stack: ExitStack) -> _Opened:
        """Open a log, and look how far its clients came."""
        log = stack.enter_context(wanted.open(self._trouble))
        clients = Clients(wanted.limits.window, wanted.limits.clients)
        journal = None
        if any(each.acknowledges for each in wanted.place.addresses):
            journal = Journal(os.path.join(wanted.state, wanted.name), durable=wanted.durability != "flush")
            stack.callback(journal.close)
            records = journal.load(clients)
            with reporting(SealError, os.path.dirname(os.path.abspath(wanted.output))):
                news = recover(clients, records, wanted.output, certain=journal.survived_boot)
            for said in news:
                self._report(said)
            _keep(journal, clients, log, wanted.name)
        return _Opened(wanted, log, clients, journal)

    def hear(self) -> None:
        """Handle signals from now on: a process that sees a socket of ours can end us as it should be."""
        signal.set_wakeup_fd(self._waking, warn_on_full_buffer=False)
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._hear)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def listen(self, opened: Sequence[_Opened], handed: Handed, stack: ExitStack) -> None:
        """Listen for all logs, by sockets that were handed over where they are there."""
        given = handed_over(os.environ, [each for one in opened for each in one.wanted.place.addresses])  # type: ignore[arg-type]
        before = {each.address: each for each in handed.listening}
        for one in opened:
            self._loops.append(
                loop := Loop(one.log, one.wanted.limits, Reports(self._trouble), one.clients, one.journal)
            )
            loop.stamps = one.wanted.stamps
            if one.wanted.witnesses.is_critical:
                loop.offer_witnessed()
            contexts = [one.wanted.place.tls.context()] if one.wanted.place.tls is not None else []
            if one.wanted.place.tls is not None:
                self._tls.append((one.wanted.place.tls, contexts))
            for address in one.wanted.place.addresses:
                drops = before[str(address)].drops if str(address) in before else 0
                made = self._made(address, one.wanted.place.mode, given, before, stack)
                loop.listen(made, address, lambda contexts=contexts: contexts[0] if contexts else None, drops)  # type: ignore[misc]
            stack.push(lambda kind, *_, one=one, loop=loop: self._end(loop, one, failed=kind is not None))
        for left in before.values():  # no address means it any more
            unused = socket.socket(fileno=left.fd)
            removed(Address.parse(left.address), unused) if left.is_ours else unused.close()
        self._resume(handed.connections)

    def _made(
        self, address: Address, mode: int, given: dict[Address, socket.socket], before: dict[str, Listening],
        stack: ExitStack,
    ) -> socket.socket:  # fmt: skip
        if (held := before.pop(str(address), None)) is not None:
            made, is_ours = socket.socket(fileno=held.fd), held.is_ours
            made.setblocking(False)
            os.set_inheritable(held.fd, False)
        elif (found := given.get(address)) is not None:
            made, is_ours = found, False
        else:
            made, is_ours = made_at(address, mode=mode), True
        self._listening.append(Listening(str(address), made.fileno(), is_ours))
        if is_ours:
            stack.callback(lambda: None if self.successor else removed(address, made))
        return made

    def _resume(self, connections: Sequence[Held]) -> None:
        for held in connections:
            os.set_inheritable(held.fd, False)
            if not any(loop.resume(held) for loop in self._loops):
                self._report(f"{held.name} lost its connection to {held.address}, where nobody listens any more")
                os.close(held.fd)

    def _end(self, loop: Loop, one: _Opened, *, failed: bool) -> bool:
        if one.journal is not None and not failed and loop.failure is None:
            _keep(one.journal, loop.clients, loop.log, one.wanted.name, clean=True)
        return False

    def run(self) -> None:
        """Take lines until a signal asks to leave, a log is stopped, or another program takes this one's place."""
        for loop in self._loops:
            loop.thread.start()
        names = ", ".join(loop.log.name for loop in self._loops)
        self._notify("READY=1", f"STATUS=sealing for {names}")
        while not self._asked and all(loop.thread.is_alive() for loop in self._loops):
            self._wait()
            if self._reload:
                self._again()
            if self._upgrade:
                self._replace()
        if self.successor is None:
            self._notify("STOPPING=1", f"STATUS=closing {names}")
            self._leave()

    def _wait(self) -> None:
        select.select([self._woken], [], [], _pause())
        with suppress(BlockingIOError):
            os.read(self._woken, 4096)
        if all(_lives(loop) for loop in self._loops):
            self._notify("WATCHDOG=1") if os.environ.get("WATCHDOG_USEC") else None

    def _hear(self, number: int, _: FrameType | None) -> None:
        if self.successor is not None:
            self.late.append(number)
        elif number == signal.SIGHUP:
            self._reload = True
        elif number == signal.SIGUSR2:
            self._upgrade = True
        elif self._asked:
            for loop in self._loops:
                loop.log.give_up()
        else:
            self._asked = True

    def _again(self) -> None:
        """Reopen files and read certificates again; and the configuration, whose changes take a new start."""
        self._reload = False
        try:
            wanted = list(self._read())
            _check_new(wanted, self.wanted)
        except TallystickError as error:
            self._report(f"{explain(error)}; the configuration of before stays")
            wanted = self.wanted
        if wanted != self.wanted:
            self._upgrade = True
            return
        self._notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        for loop in self._loops:
            loop.log.reopen()
        for files, contexts in self._tls:
            try:
                contexts[:] = [files.context()]
            except TallystickError as error:
                self._report(f"{explain(error)}; the certificates of before stay")
        self._notify("READY=1")

    def _replace(self) -> None:
        """Stop all loops where nothing is on its way, and note what another program takes to go on."""
        self._upgrade = False
        try:
            check_program()
        except TallystickError as error:
            self._report(explain(error))
            return
        self._notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        for loop in self._loops:
            loop.pause()
        while not self._asked and any(loop.thread.is_alive() for loop in self._loops):
            self._wait()  # without room on a disk until there is room
        if not self._asked and all(loop.failure is None for loop in self._loops):
            held = [each for loop in self._loops for each in loop.hand_over()]
            drops = {each: sum(loop.losses.known(each.address) for loop in self._loops) for each in self._listening}
            self.successor = [replace(each, drops=count) for each, count in drops.items()], held

    def _leave(self) -> None:
        for loop in self._loops:
            loop.leave()
        until = time.monotonic() + _PATIENCE
        for loop in self._loops:
            loop.thread.join(max(0.0, until - time.monotonic()))
            if loop.thread.is_alive():
                loop.log.give_up()
                loop.thread.join()
            loop.finish()
        failure = next((loop.failure for loop in self._loops if loop.failure is not None), None)
        if failure is not None:
            raise failure

    def _trouble(self, message: str) -> None:
        self._report(message)
        with suppress(OSError):
            os.write(self._waking, b"\0")


def _check_new(wanted: Sequence[Wanted], before: Sequence[Wanted]) -> None:
    """See that each log that was not open before was set up.

    Raises:
        KeyStoreError: One was not.
    """
    known = {one.name for one in before}
    for one in wanted:
        if one.name not in known:
            keystore.connect(one.store).load(one.name)


def _keep(journal: Journal, clients: Clients, log: Log, name: str, *, clean: bool = False) -> None:
    log.sync()
    with reporting(SealError, f"clients of log {name}"):
        journal.keep(clients, clean=clean)


def _lives(loop: Loop) -> bool:
    """Does a loop turn, or wait for its log?"""
    return loop.is_writing or time.monotonic() - loop.beat < _STUCK


def _pause() -> float:
    """Return after how many seconds a watchdog wants to hear of us, at the latest."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return min(1.0, int(microseconds) / 3e6) if microseconds.isdecimal() and int(microseconds) else 1.0

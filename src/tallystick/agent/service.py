"""The process of the agent: its logs, its sockets, signals, and what a service manager wants to know.

>>> Place((Address.parse("unix:/run/payments.sock"),)).mode
384
"""

import os
import resource
import select
import signal
import ssl
import stat
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from tallystick import _core
from tallystick.agent.address import Address
from tallystick.agent.clients import Clients
from tallystick.agent.journal import Journal
from tallystick.agent.limits import Limits, Reports
from tallystick.agent.loop import Loop
from tallystick.agent.origin import STATEMENT
from tallystick.agent.recovery import recover
from tallystick.agent.sockets import handed_over, made_at, removed
from tallystick.errors import SealError, TallystickError, explain, reason
from tallystick.home import nobody, user_place
from tallystick.log import Log, open_origin
from tallystick.securefile import reporting
from tallystick.sinks.rotation import Rotation
from tallystick.writer.origin import Origin
from tallystick.writer.outlet import Notice
from tallystick.writer.parts import Settings
from tallystick.writer.witnesses.policy import Policy

__all__ = ["Place", "Tls", "Wanted", "default_state", "serve"]

_PATIENCE = 5.0  # seconds for which a leaving agent waits for room
_STUCK = 30.0  # seconds without a turn after which a loop that does not write is taken for stuck


@dataclass(frozen=True, slots=True)
class Tls:
    """Files of TLS: our certificate and its key, and the authorities whose certificates clients must show."""

    certificate: str
    key: str
    authorities: str

    def context(self) -> ssl.SSLContext:
        """Read them.

        Raises:
            SealError: One cannot be read, or others may read the key.
        """
        try:
            if stat.S_IMODE(os.stat(self.key).st_mode) & 0o077:
                raise SealError(f"{self.key} is open to other users", hint=f"run: chmod 0600 {self.key}")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_cert_chain(self.certificate, self.key)
            context.load_verify_locations(self.authorities)
        except OSError as error:
            raise SealError(
                f"the files of TLS: {reason(error)}", hint="check certificate, key and authorities"
            ) from error
        return context


@dataclass(frozen=True, slots=True)
class Place:
    """Where an agent listens for one log.

    Args:
        addresses: The addresses.
        mode: Mode of the files of Unix sockets.
        tls: Files of TLS, for addresses that need them.
    """

    addresses: tuple[Address, ...]
    mode: int = 0o600
    tls: Tls | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """One log that an agent writes.

    Args:
        name: Its name.
        output: The file that sealed lines are appended to.
        place: Where lines come from.
        state: Directory of what is remembered of clients.
        stamps: Has each line the fields of its sender?
        limits: What is taken.
        store: As for `open_log`; so are all that follow.
    """

    name: str
    output: str
    place: Place
    state: str
    stamps: bool = False
    limits: Limits = field(default_factory=Limits)
    store: str | None = None
    custody: str | None = None
    user: str | None = None
    wait: float | None = None
    rotation: Rotation | None = None
    control: str = "auto"
    epoch_lines: int = 4096
    epoch_age: float = 60.0
    durability: Any = "flush"
    on_full: Any = "block"
    heartbeat: float | None = None
    witnesses: Policy = field(default_factory=Policy)

    def open(self, report: Callable[[str], None]) -> Log:
        """Open the log.

        Raises:
            TallystickError: As for `open_log`.
        """
        settings = Settings(
            self.custody, self.control, self.epoch_lines, self.epoch_age, self.durability, self.on_full, self.heartbeat,
            report, Notice("origin", STATEMENT) if self.stamps else None, self.witnesses,
        )  # fmt: skip
        origin = Origin(self.name, self.output, self.store, self.custody, self.rotation, self.user, self.wait)
        return open_origin(origin, settings)


def default_state() -> str:
    """Return the directory of what is remembered of clients.

    Raises:
        SealError: This user has no home.
    """
    if os.geteuid() == 0:
        return "/var/lib/tallystick-agent"
    place = user_place("XDG_STATE_HOME", ".local/state")
    if place is None:
        raise SealError(f"{nobody()}, so there is no place for what is remembered of clients", hint="name one: --state")
    return f"{place}-agent"


def serve(wanted: Sequence[Wanted], report: Callable[[str], None], notify: Callable[..., None]) -> None:
    """Take lines for some logs until SIGTERM or SIGINT, and close them.

    Args:
        wanted: The logs.
        report: Called with messages, also from other threads.
        notify: Called with assignments for a service manager, such as `READY=1`.

    Raises:
        TallystickError: A log cannot be opened, a socket not made; or a log was stopped.
    """
    _core.refuse_dumps()
    with suppress(ValueError, OSError):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with ExitStack() as stack:
        service = _Service(report, notify)
        given = handed_over(os.environ, [each for one in wanted for each in one.place.addresses])  # type: ignore[arg-type]
        for one in wanted:
            service.begin(one, given, stack)
        service.run()


class _Service:
    """All loops, and the signals that they hear of."""

    def __init__(self, report: Callable[[str], None], notify: Callable[..., None]) -> None:
        self._report, self._notify = report, notify
        self._loops: list[Loop] = []
        self._tls: list[tuple[Tls, list[ssl.SSLContext]]] = []
        self._asked = self._reload = False
        self._woken, self._waking = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._waking, False)

    def begin(self, wanted: Wanted, given: dict[Address, Any], stack: ExitStack) -> None:
        """Open a log, look how far its clients came, and listen."""
        log = stack.enter_context(wanted.open(self._trouble))
        limits, reports = wanted.limits, Reports(self._trouble)
        clients = Clients(limits.window, limits.clients)
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
        loop = Loop(log, limits, reports, clients, journal)
        loop.stamps = wanted.stamps
        if wanted.witnesses.is_critical:
            loop.offer_witnessed()
        contexts = [wanted.place.tls.context()] if wanted.place.tls is not None else []
        if wanted.place.tls is not None:
            self._tls.append((wanted.place.tls, contexts))
        for address in wanted.place.addresses:
            if (made := given.get(address)) is None:
                made = made_at(address, mode=wanted.place.mode)
                stack.callback(removed, address, made)
            loop.listen(made, address, lambda: contexts[0] if contexts else None)
        self._loops.append(loop)
        if journal is not None:
            stack.push(lambda kind, *_: self._end(loop, journal, wanted.name, failed=kind is not None))

    def _end(self, loop: Loop, journal: Journal, name: str, *, failed: bool) -> bool:
        if not failed and loop.failure is None:
            _keep(journal, loop.clients, loop.log, name, clean=True)
        return False

    def run(self) -> None:
        """Take lines until a signal asks to leave, or a log is stopped."""
        signal.set_wakeup_fd(self._waking, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._hear)
        for loop in self._loops:
            loop.thread.start()
        names = ", ".join(loop.log.name for loop in self._loops)
        self._notify("READY=1", f"STATUS=sealing for {names}")
        pause = _pause()
        while not self._asked and all(loop.thread.is_alive() for loop in self._loops):
            select.select([self._woken], [], [], pause)
            with suppress(BlockingIOError):
                os.read(self._woken, 4096)
            if self._reload:
                self._again()
            if all(_lives(loop) for loop in self._loops):
                self._notify("WATCHDOG=1") if os.environ.get("WATCHDOG_USEC") else None
        self._notify("STOPPING=1", f"STATUS=closing {names}")
        self._leave()

    def _hear(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGHUP:
            self._reload = True
        elif self._asked:
            for loop in self._loops:
                loop.log.give_up()
        else:
            self._asked = True

    def _again(self) -> None:
        """Reopen files and read certificates again."""
        self._reload = False
        self._notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        for loop in self._loops:
            loop.log.reopen()
        for files, contexts in self._tls:
            try:
                contexts[:] = [files.context()]
            except TallystickError as error:
                self._report(f"{explain(error)}; the certificates of before stay")
        self._notify("READY=1")

    def _leave(self) -> None:
        for loop in self._loops:
            loop.leave()
        until = time.monotonic() + _PATIENCE
        for loop in self._loops:
            loop.thread.join(max(0.0, until - time.monotonic()))
            if loop.thread.is_alive():
                loop.log.give_up()
                loop.thread.join()
        failure = next((loop.failure for loop in self._loops if loop.failure is not None), None)
        if failure is not None:
            raise failure

    def _trouble(self, message: str) -> None:
        self._report(message)
        with suppress(OSError):
            os.write(self._waking, b"\0")


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

"""A log that is being written: key store, sealer and sink, put together (spec sections 4 to 6).

>>> import tempfile, os
>>> with tempfile.TemporaryDirectory() as directory:
...     store, custody = f"file:{directory}/store", f"master-key:{directory}/master.key"
...     _ = create("payments", store=store, custody=custody, key_file=f"{directory}/payments.key")
...     with open_log("payments", output=f"{directory}/audit.log", store=store) as log:
...         log.write("user=7 action=login")
...     with open(f"{directory}/audit.log") as lines:
...         [" ".join(line.split()[:2]) for line in lines]
['tallystick/v1 open', 'user=7 action=login', 'tallystick/v1 checkpoint']
"""

import os
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Self

from tallystick import _core, keystore
from tallystick.ceremony import create
from tallystick.courier import Next
from tallystick.errors import TallystickError, explain
from tallystick.sinks import Sink, open_sink
from tallystick.sinks.rotation import Rotation
from tallystick.writer import lifecycle
from tallystick.writer.adopting import Past, past_of, refuse_begun
from tallystick.writer.background import Background
from tallystick.writer.chains import ChainSource
from tallystick.writer.clock import EpochClock
from tallystick.writer.closing import Closing
from tallystick.writer.groupsync import GroupSync
from tallystick.writer.head import HeadKeeper
from tallystick.writer.locks import Locks
from tallystick.writer.opening import refuse_older_store, take_lease
from tallystick.writer.outlet import Notice, OnFull, Outlet
from tallystick.writer.phase import Phase
from tallystick.writer.status import Status, WriterNote
from tallystick.writer.steps import Durability, Parts, Settings, Steps
from tallystick.writer.turn import Step, Turn

__all__ = ["Durability", "Log", "OnFull", "create", "open_log"]


class Log:
    """A log that is open for writing. Made by `open_log`; use it in a `with` block.

    It may be used from several threads and from signal handlers: a step that a handler asks for in the middle of one
    of its own thread follows that one. A forked child's copy is dead: its keys are wiped at once, and writing to it
    raises SealError.
    """

    def __init__(
        self,
        lease: keystore.Lease,
        sink: Sink,
        settings: Settings,
        tidied: Sequence[str] = (),
        past: Past | None = None,
    ) -> None:
        """Open the next chain of the log of a lease; see `open_log` for the arguments."""
        self.name = lease.name
        locks = Locks()
        turn, phase = Turn(locks.turn, lambda: self._steps.is_idle), Phase(lease.name)
        status = Status(lease, WriterNote.begin(lease, sink, tidied), self._trouble, lambda: outlet.dropped.total)
        outlet = Outlet(sink, lease.name, settings.on_full, settings.on_trouble, pause=turn.pause, changed=status.write)
        self._parts = parts = Parts(
            lease, turn, phase, EpochClock(settings.epoch_age, settings.heartbeat), outlet,
            ChainSource(lease, settings.custody, locks.lease, settings.on_trouble),
            HeadKeeper(lease, locks.head, locks.lease),
            GroupSync(locks.group, self._written, lambda: self._steps.sync()), status,
        )  # fmt: skip
        self._turn, self._lock = turn, locks.turn
        self._steps = Steps(parts, settings, lambda: self._background.wake())
        self._synced = parts.group.wait if settings.durability == "sync-each" else None
        self._background = Background(parts, self._steps, self._take, settings.on_trouble)
        self._closing = Closing(parts, self._steps, self._background)
        with lifecycle.KEY_SETUP:
            self._steps.open(partial(_refuse, sink=sink, adopts=past is not None))
            if past is not None:
                self._steps.adopt(past)
            lifecycle.LOGS.add(self)
        status.write()
        self._background.start()

    @property
    def position(self) -> str:
        """The position of the next line, as `chain.epoch.index`."""
        with self._lock:
            return ".".join(map(str, self._steps.sealer.position))

    @property
    def stopped(self) -> str | None:
        """Why the writer stopped for good, or None: `on_trouble` reports it, every write raises it."""
        return self._parts.phase.reason

    @property
    def closed(self) -> bool:
        """Is the log closed, or being closed?"""
        return self._parts.phase.is_closing

    @property
    def is_ahead(self) -> bool:
        """Was the next chain fetched already, so that neither key store nor custody is needed for it?"""
        return self._parts.chains.is_ahead

    @property
    def background(self) -> threading.Thread:
        """The log's own thread, which rewrites the head: what it must not wait for, its own lines must not either."""
        return self._background.thread

    def write(self, record: str | bytes) -> None:
        """Seal one record and write its line.

        Args:
            record: Text, or bytes that are taken as they are. One line end at its end is dropped; line ends inside
                it are written as `\\n` and `\\r`, so nobody injects a line. Surrogates that stand for bytes
                become these bytes; where others are among them, all are written as `\\udc80`.

        Raises:
            SealError: The log is closed, was forked, or its line could not be written whole.
            KeyStoreError: The next chain could not be opened.
        """
        steps = self._steps
        with self._lock:  # the fast path: one lock, and one call of the core
            todo = steps.sealer.write(record, steps.output) if self._turn.fast else _core.FIRST
            if not todo:
                return
        self._take(partial(steps.seal, _encoded(record)) if todo == _core.FIRST else steps.after, self._synced)

    def write_lines(self, data: bytes) -> int:
        """Seal the complete lines of some bytes, each as it stands but for one CR at its end.

        Args:
            data: Lines that end in LF, each of 2^24 bytes at most; bytes after the last LF are left alone.

        Returns:
            How many bytes were sealed.

        Raises:
            SealError: As for `write`.
            KeyStoreError: As for `write`.
        """
        end = data.rfind(b"\n") + 1
        if end:
            self._take(partial(self._steps.seal_lines, data, end), self._synced)
        return end

    def notice(self, kind: str, text: str) -> None:
        """Have the log itself say something: a signed statement, which no line of an application can imitate.

        For those who write the log for others and did something to their lines; what an application has to say is a
        record.

        Args:
            kind: A word for what it is about, 1 to 16 of `a-z`.
            text: The rest, for people; above some 4,000 bytes it is cut.

        Raises:
            SealError: As for `write`; or the kind is no such word, or the text is empty.
            KeyStoreError: As for `write`.
        """
        self._take(partial(self._steps.notice, Notice(kind, text)), self._synced)

    def checkpoint(self) -> None:
        """End the epoch with a checkpoint now, so that holders of the public key can check it."""
        self._take(self._steps.checkpoint)

    def reopen(self) -> None:
        """Open the output file again by its name before the next line, because somebody moved it.

        The writer notices that by itself as well. May be called by signal handlers.
        """
        self._parts.outlet.reopen()
        self._turn.fast = False
        self._background.wake()

    def give_up(self) -> None:
        """Let nobody wait any more, for room or for the next chain: they get an error. For signal handlers, too."""
        self._closing.give_up()

    def close(self) -> None:
        """Close the chain; returns when a head counts it. More than once does no harm.

        Lines that wait for room, and the last ones, wait for a few seconds at most, whatever `on_full` says. In the
        middle of a step of the same thread, as in a signal handler, it returns at once, and follows that step.

        Raises:
            SealError: The last lines could not be written or made durable; what is there stays verifiable.
            KeyStoreError: The head could not be stored.
        """
        self._closing.close(ended=False)

    def end(self) -> None:
        """End the log for ever: no chain will follow. Its state is emptied first, so it can never be opened again.

        Raises:
            SealError: As for `close`; or it is closed already.
            KeyStoreError: As for `close`.
        """
        self._parts.phase.check()
        self._closing.close(ended=True)

    def __enter__(self) -> Self:
        """Return the log itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the chain. A failure to do so does not hide an error in the block."""
        try:
            self.close()
        except TallystickError as problem:
            if error is None or isinstance(error, SystemExit):
                raise
            error.add_note(f"tallystick: {explain(problem)}")

    # For `lifecycle`

    @property
    def is_ours(self) -> bool:
        """Is this thread in the middle of a step of this log?"""
        return self._turn.is_ours

    def hold(self, seconds: float) -> bool:
        """Keep other threads from being in the middle of a line; return False if that took too long."""
        return self._turn.hold(seconds)

    def let_go(self) -> None:
        """Let other threads go on that `hold` kept."""
        self._lock.release()

    def die_in_child(self) -> None:
        """Be dead from now on: this is the copy of a forked child."""
        self._parts.phase.fork(
            f"log {self.name} belongs to process {os.getppid()}; a forked child cannot write it: "
            "open one log for each process, or let `tallystick run` seal the output of all"
        )
        self._steps.die_in_child()
        self._background.die_in_child()
        self._turn.renew()
        self._lock = self._turn.lock

    # The rest is ours

    def _take(self, step: Step, afterwards: Step | None = None) -> None:
        """Take a step, and do what signal handlers asked for in the middle of it."""
        try:
            self._turn.take(step, afterwards)
        finally:
            self._closing.follow_up()

    def _written(self) -> int:
        with self._lock:
            self._parts.outlet.check_pending()
            return self._parts.group.written

    def _trouble(self) -> str | None:
        parts = self._parts
        return parts.phase.reason or parts.outlet.trouble or parts.heads.trouble or parts.chains.trouble


def _refuse(state: Next, sink: Sink, *, adopts: bool) -> None:
    """Refuse a state that must not be used; see what this calls."""
    refuse_older_store(state, sink)
    if adopts:
        refuse_begun(state)


def _encoded(record: str | bytes | bytearray | memoryview) -> bytes:
    if not isinstance(record, str):
        return bytes(memoryview(record))
    try:
        return record.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        # Such text comes from outside, by JSON: it must not keep a record out of the log.
        return record.encode("utf-8", "backslashreplace")


def open_log(
    name: str,
    *,
    output: str | os.PathLike[str] | int | Callable[[bytes], object],
    store: str | None = None,
    custody: str | None = None,
    control: str = "auto",
    epoch_lines: int = 4096,
    epoch_age: float = 60.0,
    durability: Durability = "flush",
    on_full: OnFull = "raise",
    heartbeat: float | None = None,
    rotation: Rotation | None = None,
    adopt: bool = False,
    on_trouble: Callable[[str], None] | None = None,
) -> Log:
    """Open a log for writing: take its lease and begin its next chain.

    While a log is open, SIGTERM closes it before it ends the process, if nothing else was to happen; so does the end of
    the interpreter.

    Args:
        name: The name that the log was set up with.
        output: Path of the file that sealed lines are appended to, or an open file descriptor, or what is called with
            sealed bytes (whole lines, one or more).
        store: URL of the key store; the default is that of `tallystick.keystore.connect`.
        custody: URL of the custody, if it is not the one noted in the sealing state.
        control: Form of control lines: `plain`, `json`, or `auto` for that of the first line.
        epoch_lines: Lines after which an epoch ends, 1 to 65,534.
        epoch_age: Seconds after which an epoch with lines ends.
        durability: `flush` hands each line to the operating system at once; `sync` also has each checkpoint on the disk
            before it goes on; `sync-each` has each line there when `write` returns, one sync for all threads that wait.
        on_full: What becomes of lines while the output takes none, or the next chain cannot be opened: `raise`
            SealError or KeyStoreError for each, `block` until it goes on, `drop` them, or `stop` for good. Dropped and
            refused lines are counted, and the log says how many when it goes on.
        heartbeat: Seconds without a checkpoint after which there is one, even without lines.
        rotation: When to begin a new file, and what becomes of the old ones.
        adopt: The log begins now, and the file has a past: seal what it holds so far, as a whole, so that nobody
            changes it later (spec section 5). Only the first chain of a log can do that.
        on_trouble: Called with a message, also from another thread, when something is wrong that `write` does not
            raise; the default warns.

    Returns:
        The open log; close it, best by a `with` block.

    Raises:
        KeyStoreError: There is no such log, someone else writes it, or the store is older than the log.
        CustodyError: The sealing state cannot be opened.
        SealError: The output cannot be written, or the log has ended. Or it cannot adopt what the file holds: it has
            begun already, there is nothing, or something else writes there.
    """
    settings = Settings(custody, control, epoch_lines, epoch_age, durability, on_full, heartbeat, on_trouble or _warn)
    with ExitStack() as undoing:
        lease, tidied = take_lease(keystore.connect(store), name, custody)
        undoing.callback(lease.release)
        sink = open_sink(output, rotation, settings.on_trouble)
        undoing.callback(sink.close)
        log = Log(lease, sink, settings, tidied, past_of(sink) if adopt else None)
        undoing.pop_all()
    lifecycle.close_on_sigterm()
    return log


def _warn(message: str) -> None:
    warnings.warn(f"tallystick: {message}", RuntimeWarning, stacklevel=1)

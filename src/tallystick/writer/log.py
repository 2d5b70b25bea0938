"""A log that is open: the composition of a writer's parts.

Invariant: `fast` of the turn is set only while the phase is open and every part is idle, as `Steps.is_idle` says.
"""

import os
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Self

from tallystick import _core
from tallystick.errors import ONE_WRITER, SealError, TallystickError, explain, safely
from tallystick.sinks import Sink
from tallystick.writer import lifecycle
from tallystick.writer.background import Background
from tallystick.writer.chains import ChainSource
from tallystick.writer.clock import EpochClock
from tallystick.writer.closing import Closing
from tallystick.writer.critical import PATIENCE, Critical, witnesses_of
from tallystick.writer.forks import Forks, Inheritance
from tallystick.writer.groupsync import GroupSync
from tallystick.writer.head import HeadKeeper
from tallystick.writer.late import LateHeads, promised
from tallystick.writer.locks import Locks
from tallystick.writer.opening import Taken
from tallystick.writer.origin import Origin
from tallystick.writer.outlet import Notice, Outlet
from tallystick.writer.parts import Parts, Settings
from tallystick.writer.phase import Phase
from tallystick.writer.status import Dropped, Status, WriterNote
from tallystick.writer.steps import Steps
from tallystick.writer.turn import Step, Turn

__all__ = ["Log"]


class Log:
    """A log that is open for writing. Made by `open_log`; use it in a `with` block.

    It may be used from several threads and from signal handlers: a step that a handler asks for in the middle of one
    of its own thread follows that one. A forked child's copy is dead: its keys are wiped at once. At its first record
    it takes the log over, with a chain of its own, if its parent is gone, or has let go of the log without having
    written since; else writing to it raises LogBusyError, and the parent's log says so.
    """

    def __init__(self, origin: Origin, settings: Settings) -> None:
        """Take the lease of a log and open its next chain; see `open_log` for the arguments."""
        self.name = origin.name
        self._origin, self._settings = origin, settings
        settings = replace(settings, on_trouble=safely(settings.on_trouble))
        with origin.unwritten(), ExitStack() as undoing:
            taken = origin.take_lease(undoing, settings.on_trouble)
            sink = origin.open_sink(undoing, settings.on_trouble, later=settings.on_full == "drop")
            self._begin(taken, sink, settings)
            undoing.pop_all()
        self._pid = os.getpid()
        self._inherited: Inheritance | None = None

    def _begin(self, taken: Taken, sink: Sink, settings: Settings) -> None:
        locks, lease = Locks(), taken.lease
        turn, phase = Turn(locks.turn, lambda: self._steps.is_idle), Phase(lease.name)
        forks = Forks(lease.name)
        status = Status(lease, WriterNote.begin(lease, sink, taken.done), self._trouble, lambda: outlet.dropped.total,
                        lambda: outlet.unreported(), turn.lock)  # fmt: skip
        outlet = Outlet(sink, lease.name, settings.on_full, settings.on_trouble, pause=turn.pause, changed=status.write)
        outlet.inherit(status.note.before)
        witnesses = witnesses_of(settings.witnesses, lease, sink, lambda: self._background.wake())
        self._parts = parts = Parts(
            lease, turn, phase, EpochClock(settings.epoch_age, settings.heartbeat), outlet,
            ChainSource(lease, settings.custody, locks.lease, settings.on_trouble),
            HeadKeeper(lease, locks.head, locks.lease), LateHeads(promised(sink)),
            GroupSync(locks.group, self._written, lambda: self._steps.sync()), status, forks, witnesses,
        )  # fmt: skip
        self._turn, self._lock = turn, locks.turn
        self._steps = Steps(parts, settings, lambda: self._background.wake())
        self._background = Background(parts, self._steps, self._take, settings.on_trouble)
        self._afterwards = self._sync if settings.durability == "sync-each" else self._background.catch_up
        self._critical = Critical(parts, self._steps, settings, lambda: self._background.hurry())
        if settings.witnesses.each:
            self._afterwards = self._critical.wait
        self._closing = Closing(parts, self._steps, self._background)
        with lifecycle.KEY_SETUP:
            past = self._origin.past(sink)
            self._steps.open(partial(self._origin.check, sink=sink, report=settings.on_trouble))
            if past is not None:
                self._steps.adopt(past)
            self._origin.begun()
            lifecycle.LOGS.add(self)
        status.write()
        self._background.start()

    @property
    def position(self) -> str:
        """The position of the next line, as `chain.epoch.index`."""
        with self._lock:
            return ".".join(map(str, self._steps.sealer.position))

    @property
    def last_entry(self) -> tuple[int, int, int] | None:
        """The position of the entry that was sealed last in this chain: chain, epoch, index."""
        with self._lock:
            return self._steps.last_entry

    @property
    def stopped(self) -> str | None:
        """Why the writer stopped for good, or None: `on_trouble` reports it, every write raises it."""
        return self._parts.phase.reason

    @property
    def closed(self) -> bool:
        """Is the log closed, or being closed?"""
        return self._parts.phase.is_closing

    @property
    def is_inherited(self) -> bool:
        """Is this the copy of a forked child that has not taken the log over?"""
        return self._inherited is not None

    @property
    def is_ahead(self) -> bool:
        """Was the next chain fetched already, so that neither key store nor custody is needed for it?"""
        return self._parts.chains.is_ahead

    @property
    def background(self) -> threading.Thread:
        """The log's own thread, which rewrites the head."""
        return self._background.thread

    def write(self, record: str | bytes, *, critical: bool = False, timeout: float = PATIENCE) -> None:
        """Seal one record and write its line.

        Args:
            record: Text, or bytes that are taken as they are. One line end at its end is dropped; line ends inside
                it are written as `\\n` and `\\r`, so nobody injects a line. Surrogates that stand for bytes
                become these bytes; where others are among them, all are written as `\\udc80`.
            critical: Return only when the line is on the disk and enough witnesses have it: nobody can remove it
                unnoticed. It takes witnesses whose keys are known, and a file.
            timeout: Seconds to wait for them.

        Raises:
            SealError: The log is closed, or its line could not be written whole.
            UnknownError: The line is sealed, and nobody knows whether enough witnesses have it.
            LogBusyError: This is a forked child, and the log is still its parent's.
            KeyStoreError: The next chain could not be opened.
        """
        if critical:
            self._critical.check()
            if self._inherited is not None or os.getpid() != self._pid:
                self._take_over(1)
            self._critical.write(_encoded(record), self._take, timeout)
            return
        steps = self._steps
        try:
            with self._lock:  # the fast path: one lock, and one call of the core
                todo = steps.sealer.write(record, steps.output) if self._turn.fast else _core.FIRST
                if not todo:
                    return
        except SealError:
            if os.getpid() == self._pid:
                raise
            todo = _core.FIRST  # C code has forked: nothing is sealed with keys that the system has wiped
        if self._inherited is not None or os.getpid() != self._pid:
            steps = self._take_over(1)
        step = partial(steps.seal, _encoded(record)) if todo == _core.FIRST else partial(steps.after, entries=1)
        self._take(step, self._afterwards)

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
            if self._inherited is not None or os.getpid() != self._pid:
                self._take_over(data.count(b"\n"))
            self._take(partial(self._steps.seal_lines, data, end), self._afterwards)
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
            LogBusyError: As for `write`.
            KeyStoreError: As for `write`.
        """
        if self._inherited is not None or os.getpid() != self._pid:
            self._take_over(1)
        self._take(partial(self._steps.notice, Notice(kind, text)), self._afterwards)

    def has_witnessed(self, position: tuple[int, int, int]) -> bool:
        """Have enough witnesses all lines before a position of this log?"""
        return self._parts.witnesses.have(position)

    def when_witnessed(self, call: Callable[[], None]) -> None:
        """Have something called, by another thread, whenever witnesses have more; SealError as for critical lines."""
        self._critical.check()
        self._parts.witnesses.when_more(call)

    def hurry(self) -> None:
        """Show witnesses now what was written; signal handlers may call this."""
        self._background.hurry()

    def checkpoint(self) -> None:
        """End the epoch with a checkpoint now, so that holders of the public key can check it."""
        self._take(self._steps.checkpoint, self._background.catch_up)

    def sync(self) -> None:
        """Have every line that was written so far on the disk.

        Raises:
            SealError: It cannot be; the log is stopped.
        """
        self._sync()

    def reopen(self) -> None:
        """Open the output file again by its name before the next line, because somebody moved it.

        The writer notices that by itself as well. May be called by signal handlers.
        """
        self._parts.outlet.reopen()
        self._turn.fast = False
        self._background.wake()

    def note_dropped(self, dropped: Dropped) -> None:
        """Count lines as dropped that never came here; the log says so before its next line."""
        with self._lock:
            self._parts.outlet.dropped.merge(dropped)
            self._turn.fast = False
        self._background.wake()

    def give_up(self) -> None:
        """Let nobody wait any more, for room or for the next chain: they get an error. For signal handlers, too."""
        self._parts.witnesses.give_up()
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
        """Before a fork: keep other threads from being in the middle of a line; return False if that took too long."""
        if not self._turn.hold(seconds):
            return False
        self._parts.forks.begin_fork()
        self._turn.fast = False
        return True

    def let_go(self) -> None:
        """Let other threads go on that `hold` kept."""
        self._parts.forks.end_fork()
        self._lock.release()
        self._background.wake()

    def die_in_child(self) -> None:
        """Be dead from now on: this is the copy of a forked child, which may take the log over if it was open."""
        parts, is_open, self._pid = self._parts, self._parts.phase.is_open, os.getpid()
        if is_open:
            self._inherited = parts.forks.inherit()
            parts.phase.fork(
                f"log {self.name} belongs to process {self._inherited.parent.pid}; a forked child cannot write it; "
                f"{ONE_WRITER}"
            )
        elif not parts.phase.is_closing:
            parts.phase.fork(f"{parts.phase.reason}; a forked child cannot write it")
        self._steps.die_in_child()  # keys first, whatever fails after that
        parts.forks.forget()
        parts.outlet.sink.forget()
        parts.witnesses.die_in_child()
        self._background.die_in_child()
        self._turn.renew()
        self._lock = self._turn.lock

    # The rest is ours

    def _take_over(self, count: int) -> Steps:
        """In a forked child: go on with a chain of its own, if the parent has let go."""
        if os.getpid() != self._pid and self._inherited is None:
            lifecycle.was_forked()  # by C code, which called nothing of ours
        inherited = self._inherited
        if inherited is not None:
            inherited.take_over(self._open_again, count)
        return self._steps

    def _open_again(self) -> None:
        inherited = self._inherited
        if inherited is None:
            return  # another thread was faster
        made = Log(self._origin, self._settings)
        outlet = made._parts.outlet
        outlet.say(
            "fork", f"process {os.getpid()} took the log over from process {inherited.parent.pid}, which forked it"
        )
        if inherited.refused:
            outlet.dropped.add(inherited.refused, inherited.why)
            outlet.dropped.since = inherited.since
        made._turn.fast = False
        inherited.close()
        # What holds this copy goes on with it.
        self.__dict__.update(vars(made))
        lifecycle.LOGS.discard(made)
        lifecycle.LOGS.add(self)
        lifecycle.close_at_end()

    def _take(self, step: Step, afterwards: Step | None = None) -> None:
        """Take a step, and do what signal handlers asked for in the middle of it."""
        try:
            self._turn.take(step, afterwards)
        finally:
            self._closing.follow_up()

    def _sync(self) -> None:
        self._parts.group.wait()
        self._background.catch_up()

    def _written(self) -> int:
        with self._lock:
            self._parts.outlet.check_pending()
            return self._parts.group.written

    def _trouble(self) -> str | None:
        parts = self._parts
        mine = parts.phase.reason or parts.outlet.trouble or parts.heads.trouble or parts.chains.trouble
        return mine or parts.witnesses.trouble()


def _encoded(record: str | bytes | bytearray | memoryview) -> bytes:
    if not isinstance(record, str):
        return bytes(memoryview(record))
    try:
        return record.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        # Such text comes from outside, by JSON: it must not keep a record out of the log.
        return record.encode("utf-8", "backslashreplace")

"""The steps of a writer: what is done with a line, a checkpoint, the last lines; each under the turn."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from tallystick import _core, courier
from tallystick.courier import Next
from tallystick.errors import NoRoomError, OutputError, SealError, TallystickError, explain
from tallystick.writer.adopting import Past
from tallystick.writer.counting import Counting
from tallystick.writer.head import Counted
from tallystick.writer.opening import Unopened
from tallystick.writer.outlet import PASSING, STAYS, GaveUpError, Notice
from tallystick.writer.parts import Parts, Settings

__all__ = ["Steps"]

Count = Callable[[], int]
"""Counts lines, where they cannot be written and somebody has to know how many they are."""

_AGAIN = 1.0  # seconds after which a key store without room is tried again


class Steps:
    """Seals, and does before and after each line what has to be done then.

    State: the sealer of the chain that is written.
    Invariant: before a chain opens a head counts the end of the one before; a line is sealed only if nothing that was
    sealed before it is pending.
    """

    def __init__(self, parts: Parts, settings: Settings, wake: Callable[[], None]) -> None:
        """Begin; `wake` has the background thread look for lines that no head counts. `open` comes first."""
        self._parts, self._settings, self._wake = parts, settings, wake
        self.sealer: Any  # a `_core.Sealer`, or `Unopened`
        self._check: Callable[[Next], None] | None = None
        self._full: NoRoomError | None = None
        self._not_before = 0.0
        self.output = parts.outlet.output
        self._counting = Counting(parts, self.report, wake)

    def open(self, check: Callable[[Next], None] | None = None) -> None:
        """Open the next chain; see `ChainSource.open`. The first one may come later where lines are to be dropped."""
        try:
            self._parts.outlet.look()  # there may have been no room to make the file
            self._open_next(check)
        except (NoRoomError, OutputError) as error:
            if self._settings.on_full != "drop":
                raise
            self._check, self.sealer = check, Unopened()
            with suppress(NoRoomError, OutputError):
                self._parts.outlet.refuse(error, 0, wait=False)

    def _open_next(self, check: Callable[[Next], None] | None) -> None:
        if self._full is not None and time.monotonic() < self._not_before:
            raise NoRoomError(str(self._full), hint=self._full.hint)
        try:
            self.sealer = self._parts.chains.open(self._settings.control, self._settings.epoch_lines, check)
        except NoRoomError as error:  # a process is started for each try, so not every line makes one
            self._full, self._not_before = error, time.monotonic() + _AGAIN
            raise
        self._check = self._full = None
        self._parts.witnesses.begin(self.sealer)
        self._parts.clock.opened(self.sealer.chain)
        self._parts.outlet.say_first(self._settings.says_first)
        self._parts.outlet.say_policy()

    @property
    def last_entry(self) -> tuple[int, int, int] | None:
        """The position of the entry that was sealed last in this chain; None before the first."""
        at: tuple[int, int, int] | None = self.sealer.last_entry
        return at

    @property
    def is_idle(self) -> bool:
        """Can lines be sealed with nothing to do before or after them?"""
        parts = self._parts
        return (
            parts.phase.is_open
            and parts.outlet.is_idle
            and parts.clock.is_running
            and parts.heads.dirty
            and not parts.forks.is_unwritten
            and self._settings.durability != "sync-each"
        )

    def seal(self, m: bytes) -> None:
        """Seal one entry."""
        self._parts.forks.wrote()
        while self._before(_one):
            if self.sealer.write(m, self.output) != _core.FIRST:
                self.after(entries=1)
                return

    def seal_lines(self, data: bytes, end: int) -> None:
        """Seal the complete lines of some bytes up to an offset."""
        used = 0
        self._parts.forks.wrote()
        try:
            while used < end and self._before(partial(data.count, b"\n", used, end)):
                begun, (used, _) = used, self.sealer.write_lines(data, used, self.output)
                self.after(entries=data.count(b"\n", begun, used) if self.output.pending else 0)
        finally:
            self._note_epoch()

    def adopt(self, past: Past) -> None:
        """Have the log adopt what its file held before; see `Past.seal`."""
        past.seal(self.sealer, self._parts.outlet)
        self.after()

    def notice(self, notice: Notice) -> None:
        """Have the log itself say something."""
        while self._before(_one):
            if self.sealer.notice(notice.kind, _bytes(notice.text), self.output) != _core.FIRST:
                self.after()
                return

    def checkpoint(self) -> None:
        """End the epoch."""
        while self._before(_none):
            if self.sealer.checkpoint(self.output) != _core.FIRST:
                self.after()
                return

    def tend(self) -> None:
        """Do what time demands; this waits for no room."""
        self._parts.phase.check()
        self._parts.outlet.say("fork", *self._parts.forks.news())
        self._counting.hear_of_witnesses(self._note_line)
        outlet = self._parts.outlet
        if self.sealer.closed and outlet.is_idle and not outlet.is_due and not self._parts.clock.is_over:
            self._clear_way(_none, wait=False, way=outlet.look)  # no chain is opened without need
        elif self._clear_way(_none, wait=False) and self._parts.clock.is_over:
            self.sealer.checkpoint(self.output)
            self.after(wait=False)

    def last_lines(self, *, ended: bool) -> None:
        """End the chain, or the log.

        Raises:
            SealError: The log was stopped.
            OutputError, KeyStoreError, CustodyError: Something is in the way; the message says what is lost.
        """
        outlet = self._parts.outlet
        if self._parts.phase.reason is not None:
            raise SealError(self._parts.phase.reason)
        self._parts.outlet.say("fork", *self._parts.forks.last_news())
        self._counting.note_late(self._parts.heads.age, last=True)
        try:
            if ended:
                self._wait_for_way()
                courier.end(self._parts.lease, self._settings.custody)
                self.sealer.end(self.output)
            elif not self.sealer.closed or self.output.pending or outlet.dropped.count or outlet.notices:
                self._wait_for_way()
                self.sealer.close(self.output)
            self.after()
        except (GaveUpError, *PASSING) as error:
            kind = OutputError if isinstance(error, GaveUpError) else type(error)
            raise kind(outlet.left() if outlet.trouble else explain(error)) from error
        if self.output.pending:
            raise OutputError(outlet.left())

    def count(self) -> Counted | None:
        """Return a head that counts every line so far; it is stored by `store`, which needs no turn."""
        self._parts.outlet.push()
        self._parts.turn.fast = False
        return self._counting.make(self.sealer)

    def store(self, head: Counted | None, settle: Callable[[], None], within: float = -1) -> None:
        """Store a head once its lines are safe; see `HeadKeeper.store`."""
        self._counting.store(head, settle, within)

    def report(self, message: str) -> None:
        """Report what `write` does not raise."""
        self._settings.on_trouble(message)

    def stop(self, why: str) -> bool:
        """Seal nothing more, for this reason; return whether that is news."""
        self._parts.turn.fast = False
        self.sealer.erase()
        return self._parts.phase.stop(why)

    def die_in_child(self) -> None:
        """Wipe the keys of a forked child's copy."""
        with suppress(RuntimeError):  # a thread that is not there was in the middle of a line; the system wiped them
            self.sealer.erase()

    def sync(self) -> None:
        """Have what was written on the disk; called with or without the turn.

        Raises:
            SealError: It cannot be. The log is stopped: a later sync may seem to work, with the lines gone.
        """
        try:
            self._parts.outlet.sink.sync()
        except SealError as error:
            with self._parts.turn.lock:
                self.stop(f"{explain(error)}; log {self._parts.lease.name} was stopped")
            raise

    def after(self, *, entries: int = 0, wait: bool = True) -> None:
        """Do what follows sealing so many entries: hand over pending bytes, and note lines that a head has to count."""
        outlet = self._parts.outlet
        if self.output.pending:
            (chain, epoch, index), last = self.sealer.position, self.last_entry
            outlet.sealed(entries, is_last=last == (chain, epoch, index - 1))
        stated = self._note_line()
        while self.output.pending:
            try:
                outlet.push()
            except TallystickError as error:
                try:
                    self._refused(error, 0, wait=wait)
                except PASSING as error:
                    if outlet.raises:
                        raise type(error)(f"{explain(error)}; {STAYS}") from error
                    return
        if stated and self._settings.durability == "sync":
            self.sync()

    # What stands before a line

    def _before(self, count: Count) -> bool:
        """Make sure that the next line can be sealed; if it cannot, do as asked with so many lines."""
        while True:
            self._parts.phase.check()
            if self._clear_way(count):
                self._parts.phase.check()  # others may have closed the log meanwhile
                return True
            if not self._parts.outlet.blocks:
                return False

    def _wait_for_way(self) -> None:
        while not self._clear_way(_none):
            if not self._parts.outlet.blocks:
                raise OutputError(self._parts.outlet.left())

    def _clear_way(self, count: Count, *, wait: bool = True, way: Callable[[], object] | None = None) -> bool:
        try:
            (way or self._make_way)()
        except TallystickError as error:
            try:
                self._refused(error, count(), wait=wait)
            except PASSING:
                if self._parts.outlet.raises:
                    raise
            return False
        self._parts.outlet.goes_on()
        return True

    def _make_way(self) -> None:
        """Do all that has to be done before the next line."""
        outlet = self._parts.outlet
        outlet.push()
        # A store that is away cannot give the next chain, so nothing is rotated then.
        if outlet.look() and not self._parts.heads.trouble:
            self._begin_rotation()
        while True:
            outlet.push()
            if self.sealer.closed:
                self._next_chain()
            notice = outlet.next_notice()
            if notice is None:
                return
            if self.sealer.notice(notice.kind, _bytes(notice.text), self.output) != _core.FIRST:
                outlet.said()
                self._note_line()

    def _begin_rotation(self) -> None:
        if not self.sealer.closed and not self.sealer.lines:
            self._parts.outlet.rotate(self.sealer.chain)
            return
        if not self.sealer.closed:
            self.sealer.close(self.output)
            self._note_line()
        self._parts.outlet.rotating = True

    def _next_chain(self) -> None:
        # `closed` must be counted by a head before the next chain opens (spec section 6).
        self.store(self.count(), partial(self._parts.outlet.sink.drain, threading.TIMEOUT_MAX))
        if self._parts.outlet.rotating:
            self._parts.outlet.rotate(self.sealer.chain)
        self.sealer.erase()
        self._open_next(self._check)

    def _refused(self, error: TallystickError, count: int, *, wait: bool) -> None:
        """Do as asked where lines cannot be written now; return to try again."""
        outlet, self._counting.hindrance = self._parts.outlet, explain(error)
        if outlet.is_fatal(error):
            why = f"{explain(error)}; log {self._parts.lease.name} was stopped at {_dotted(self.sealer.position)}"
            self.stop(why)
            raise SealError(why) from error
        outlet.refuse(error, count, wait=wait)

    def _note_line(self) -> bool:
        if self._parts.heads.note_line():
            self._wake()
        self._parts.group.note()
        return self._note_epoch()

    def _note_epoch(self) -> bool:
        """Note where the writer is; was there a statement since the last note?"""
        chain, epoch, index = self.sealer.position
        stated = self._parts.clock.note((chain, epoch, index), closed=self.sealer.closed)
        if stated:
            self._parts.status.note.stated((chain, epoch, index if self.sealer.closed else 0))
        return stated


def _one() -> int:
    return 1


def _none() -> int:
    return 0


def _dotted(position: tuple[int, int, int]) -> str:
    return ".".join(map(str, position))


def _bytes(text: str) -> bytes:
    """Return the bytes of a notice's text: those of a path that is no UTF-8 stay as they are."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")

"""The way out of a writer: pending bytes, back-pressure, dropped lines, notices, and files that others or we rotate.

>>> from contextlib import suppress
>>> from tallystick.sinks import CallSink
>>> outlet = Outlet(CallSink(print), "payments", "drop", print, pause=time.sleep, changed=lambda: None)
>>> with suppress(OutputError):
...     outlet.refuse(OutputError("no room"), 3)
no room; log payments drops lines until it goes on
>>> outlet.goes_on()
log payments goes on
>>> outlet.next_notice().text.split(" from ")[0]
'3 lines were dropped'
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from tallystick.errors import (
    CustodyError,
    KeyStoreError,
    LeaseLostError,
    OutputError,
    SealError,
    TallystickError,
    explain,
)
from tallystick.sinks.base import Awaited, Followed, Sink, now
from tallystick.writer.status import Dropped

__all__ = ["PASSING", "STAYS", "GaveUpError", "Notice", "OnFull", "Outlet"]

OnFull = Literal["raise", "block", "drop", "stop"]

PASSING = (OutputError, KeyStoreError, CustodyError)
"""Errors that may be over the next time."""

STAYS = "the line is sealed, and goes out first when it can"
"""What becomes of a line that is pending."""

_READING = 3.5  # seconds that the reader of a pipe has to make room for what is left
_LOOK_AFTER = 0.005  # seconds of writing after which the output is looked at
_LOOK_AGAIN = 0.3  # the same without writing: trouble is reported within a second, also by a log that is silent
_SHORTEST, _LONGEST = 0.02, 0.25  # seconds between two tries to go on
_MEANWHILE = {"raise": "refuses lines until it goes on", "block": "waits", "drop": "drops lines until it goes on"}


class Notice(NamedTuple):
    """What the log itself has to say.

    Args:
        kind: A word for what it is about, 1 to 16 of `a-z`: `output`, `rotation`, `dropped` (spec section 5).
        text: The rest, for people.
        done: Called when the log has said so, and a head counts it.
    """

    kind: str
    text: str
    done: Callable[[], None] | None = None


class GaveUpError(SealError):
    """Nobody waits for room any more."""


class Outlet:
    """Takes sealed bytes to the sink, and knows what to do while it takes none.

    State: the sink, the trouble it is in, lines that were dropped, notices for the log, whether the output is to be
    reopened or rotated, how long to wait before the next try.
    Invariant: pending bytes leave before anything new is sealed, and every line that was refused or dropped is counted
    until the log has said so. Used under the turn, but for `reopen` and `give_up`, which signal handlers may call.
    """

    def __init__(
        self,
        sink: Sink,
        name: str,
        on_full: OnFull,
        report: Callable[[str], None],
        *,
        pause: Callable[[float], None],
        changed: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin.

        Args:
            sink: Where lines go.
            name: The name of the log, for messages.
            on_full: What becomes of lines while the sink takes none.
            report: Called with what `write` does not raise.
            pause: Lets others have the turn for so many seconds.
            changed: Called when the trouble is another one.
            clock: The monotonic clock, in seconds.
        """
        self.sink, self.output, self._name = sink, sink.output, name
        self._followed = sink if isinstance(sink, Followed) else None
        self._on_full, self._report, self._pause, self._changed, self._clock = on_full, report, pause, changed, clock
        self.dropped = Dropped()
        self.trouble: str | None = None
        self._is_reported = False
        self.notices: deque[Notice] = deque()
        self.rotating = False
        """Is the chain closed, or to be closed, so that a new file can begin?"""
        self._before: Dropped | None = None
        self._saying, self._said = Dropped(), Dropped()  # in a notice that waits; in notices that may be pending
        self._sealed, self._statements = 0, 0  # what is pending at most: entries, and a statement after them
        self._reopen = False
        self._then: list[Callable[[], None]] = []  # what is done once a head counts what was said
        self._counted: dict[int, list[Callable[[], None]]] = {}
        self._looked, self._wait = 0.0, 0.0
        self._patient_until = float("inf")

    @property
    def is_idle(self) -> bool:
        """Has nothing to be done here before the next line or after it?"""
        return not (
            self._reopen or self.trouble or self.rotating or self.notices or self.dropped.count or self.output.pending
        )

    @property
    def blocks(self) -> bool:
        """Do lines wait while the sink takes none?"""
        return self._on_full == "block"

    @property
    def raises(self) -> bool:
        """Is each line refused by an error while the sink takes none?"""
        return self._on_full == "raise"

    def reopen(self) -> None:
        """Have the output reopened by its name before the next line."""
        self._reopen = True

    def give_up(self, at: float) -> None:
        """Let nobody wait for room any more from a moment of the clock on; a reader has a little time in any case."""
        self._patient_until = min(self._patient_until, at)
        if isinstance(self.sink, Awaited):
            self.sink.hurry(max(at, self._clock() + _READING))

    @property
    def gave_up(self) -> bool:
        """Does nobody wait for room any more?"""
        return self._clock() >= self._patient_until

    def push(self) -> None:
        """Hand over pending bytes.

        Raises:
            OutputError: They are not taken now.
            SealError: They never will be.
        """
        if self.output.pending:
            self.sink.push()
        self._sealed = 0
        if self._said.count:
            self._said.clear()
            self._changed()

    def sealed(self, entries: int, *, is_last: bool) -> None:
        """Note how many entries were sealed just now, as far as they are pending; is one of them the last line?"""
        if self.output.pending:
            self._sealed, self._statements = self._sealed + entries, not is_last

    def look(self) -> bool:
        """See what others did to the output, if that is due; return whether it is time to rotate.

        Raises:
            OutputError: Lines have nowhere to go now.
            SealError: Lines that were written cannot be made safe.
        """
        is_new = self._clock() - self._looked < _LOOK_AFTER
        if is_new and not self._reopen and not self.output.is_stale(now()):  # nothing is sealed while that one asks
            return False
        reopen, self._reopen = self._reopen, False
        try:
            if self._followed is None:
                self.output.looked_at(now())
            else:
                for notice in self._followed.look(reopen=reopen):
                    self.notices.append(Notice("output", notice))
                    self._report(notice)
                self.notices.extend(Notice("shipped", one.text, one.done) for one in self._followed.shipped())
        except BaseException:
            self._reopen = reopen
            raise
        self._looked = self._clock()
        return self.is_due

    @property
    def is_due(self) -> bool:
        """Is it time to rotate?"""
        return self._followed is not None and self._followed.due_in() == 0 and not self.rotating

    def rotate(self, chain: int) -> None:
        """Begin a new file, if it is time; without one lines go on in the old one."""
        self.rotating = False
        if self._followed is not None:
            try:
                self.notices.extend(Notice("rotation", each) for each in self._followed.rotate(chain))
            except OutputError as error:
                self._report(explain(error))

    def inherit(self, before: Dropped | None) -> None:
        """Have the log say what its writer before had dropped and not reported."""
        self._before = before
        if before is not None:
            self.say("dropped", before.report_for_the_one_before())

    def unreported(self) -> dict[str, Any] | None:
        """Return the dropped lines that the log has not reported, for its next writer; lost are pending ones, too."""
        return self._unreported().note()

    def _unreported(self) -> Dropped:
        dropped = replace(self.dropped)
        for earlier in (self._saying, self._said, self._before or Dropped()):
            dropped.merge(earlier)
        dropped.add(self._pending(), self.trouble or self.sink.name)
        return dropped

    def _pending(self) -> int:
        """Count the entries that are sealed and pending."""
        lines = self.output.peek().count(b"\n") - self._statements if self._sealed and self.output.pending else 0
        return min(self._sealed, max(0, lines))

    def next_notice(self) -> Notice | None:
        """Return what the log has to say before its next line; `said` once it has."""
        if self.dropped.count and not self._saying.count:
            self.notices.append(Notice("dropped", self.dropped.report()))
            self._saying = replace(self.dropped)
            self.dropped.clear()
        return self.notices[0] if self.notices else None

    def say(self, kind: str, *texts: str) -> None:
        """Have the log say something before its next line; `kind` is a word for what it is about."""
        self.notices.extend(Notice(kind, text) for text in texts)

    def say_policy(self) -> None:
        """Have the log say for how long it is kept, where an archive sees to that."""
        if self._followed is not None and self._followed.kept_for is not None:
            self.say("retention", f"{max(1, int(self._followed.kept_for))}")

    def say_first(self, notice: Notice | None) -> None:
        """Have the log say something, if there is anything, before its next line and all else that it has to say."""
        if notice is not None and (not self.notices or self.notices[0] != notice):
            self.notices.appendleft(notice)

    def said(self) -> None:
        """Note that the log has said its first notice, which may be pending."""
        said = self.notices.popleft()
        if said.done is not None:
            self._then.append(said.done)
        if self._before is not None and said.text == self._before.report_for_the_one_before():
            self._said.merge(self._before)
            self._before = None
        elif said.kind == "dropped":
            self._said.merge(self._saying)
            self._saying = Dropped()

    def counts(self, head: int) -> None:
        """Note that a head, by its number, counts all that was said until now; called under the turn."""
        if self._then and not self.output.pending:
            self._counted[head], self._then = self._then, []

    def counted(self, head: int) -> None:
        """Do what was to be done once a head was stored; called without the turn."""
        for number in sorted(number for number in list(self._counted) if number <= head):  # a copy: others add to it
            for done in self._counted.pop(number, ()):
                done()

    def is_fatal(self, error: TallystickError) -> bool:
        """Must the log stop for this error?"""
        return isinstance(error, LeaseLostError) or not isinstance(error, PASSING) or self._on_full == "stop"

    def refuse(self, error: TallystickError, count: int, *, wait: bool = True) -> None:
        """Do as asked where so many lines cannot be written now; return to try again.

        Args:
            error: What is in the way.
            count: How many lines; they are counted as dropped if this raises.
            wait: May this wait for room where lines do?

        Raises:
            OutputError, KeyStoreError, CustodyError: This error, unless lines wait.
            GaveUpError: Nobody waits any more.
        """
        if explain(error) != self.trouble:
            self.trouble = explain(error)
            # A caller that gets the error reports it; the background thread has no caller.
            self._is_reported = not (self.raises and wait)
            if self._is_reported:
                self._report(f"{explain(error)}; log {self._name} {_MEANWHILE[self._on_full]}")
            self._changed()
        if not (self.blocks and wait) or self.gave_up:
            self.dropped.add(count, explain(error))
            if not (self.blocks and wait):
                raise error
            raise GaveUpError(f"{explain(error)}; log {self._name} was asked not to wait any longer") from error
        self._wait = min(_LONGEST, self._wait * 2 or _SHORTEST)
        self._pause(self._wait)

    def goes_on(self) -> None:
        """Note that lines can be written."""
        if self.trouble:
            self.trouble, self._wait = None, 0.0
            if self._is_reported:
                self._report(f"log {self._name} goes on")
            self._changed()

    def due_in(self) -> float | None:
        """Return the seconds until something has to be done here even if no line comes, or None."""
        if self._reopen or self.trouble or self.dropped.count or self.notices:
            return 0.0
        if self._followed is None:
            return None
        look = max(0.0, self._looked + _LOOK_AGAIN - self._clock())
        due = self._followed.due_in()
        return look if due is None else min(look, due)

    def check_pending(self) -> None:
        """Raise OutputError if bytes of a line are pending: it is sealed, but nowhere yet."""
        if self.output.pending:
            raise OutputError(f"{self.trouble or self.sink.name}; {STAYS}")

    def left(self) -> str:
        """Return what is lost when the log is closed now."""
        lost = []
        if self.output.pending:
            lost.append(f"{self.output.pending} bytes of sealed lines that were not written")
        if count := self._unreported().count - self._pending():
            lines = "1 line that was" if count == 1 else f"{count} lines that were"
            lost.append(f"{lines} dropped and not reported in it")
        told = " was asked not to wait any longer, and" if self.blocks and self.gave_up else ""
        how = f"is closed with {', and '.join(lost)}" if lost else "cannot be closed"
        return f"{self.trouble or self.sink.name}; log {self._name}{told} {how}"

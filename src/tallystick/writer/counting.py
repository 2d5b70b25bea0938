"""How far a log has come, for those who remember it: heads for the key store, and what witnesses are shown."""

import time
from collections.abc import Callable
from typing import Any

from tallystick.writer.head import Counted
from tallystick.writer.parts import Parts

__all__ = ["Counting"]


class Counting:
    """Makes heads and stores them, shows witnesses what they count, and has the log say where either comes late.

    State: what kept lines from being counted since the last head.
    Invariant: output synced, head stored, then witnesses.
    """

    def __init__(self, parts: Parts, report: Callable[[str], None], wake: Callable[[], None]) -> None:
        """Begin.

        Args:
            parts: Those of the writer.
            report: Called with what `write` does not raise.
            wake: Has the background thread look whether the log has something to say.
        """
        self._parts, self._report, self._wake = parts, report, wake
        self.hindrance: str | None = None

    def make(self, sealer: Any) -> Counted | None:
        """Return a head that counts every line so far; called under the turn."""
        head = self._parts.heads.make(sealer)
        if head is not None:
            self._parts.witnesses.gather(sealer, head.number)
            self._parts.outlet.counts(head.number)
        return head

    def store(self, head: Counted | None, settle: Callable[[], None], within: float) -> None:
        """Store a head once its lines are safe, and show witnesses what it counts; see `HeadKeeper.store`."""
        began = time.monotonic()
        if head is not None and self._parts.heads.store(head, settle, within):
            self._parts.witnesses.release(head.number)
            self._parts.outlet.counted(head.number)
            note = self._parts.status.note
            note.counted(head.at, head.lines)
            note.witnesses = self._parts.witnesses.note()
            self.note_late(self._parts.heads.waited(head), time.monotonic() - began)
            self._parts.status.write()

    def note_late(self, age: float, took: float = 0.0, *, last: bool = False) -> None:
        """Note how late a head came, or is; the log says so if it can, and the status."""
        parts = self._parts
        with parts.turn.lock:
            slow = f"it took {took:.1f} s to store one" if took > parts.late.promised / 2 else None
            parts.late.stored(age, self.hindrance or parts.heads.trouble or slow)
            self.hindrance = None
            if (report := parts.late.report(last=last)) is not None:
                parts.outlet.say("head", report)
                parts.turn.fast = False
                self._wake()
            parts.status.note.late = parts.late.note()

    def hear_of_witnesses(self, note_line: Callable[[], object]) -> None:
        """Have the log say which witnesses receive nothing, and show the others a sign of life where no line comes."""
        parts = self._parts
        if news := parts.witnesses.news():
            parts.outlet.say("witness", *news)
            parts.status.note.witnesses = parts.witnesses.note()
            parts.status.write()
            for each in news:
                self._report(each)
        if parts.witnesses.is_silent():
            note_line()

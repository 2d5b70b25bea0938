"""What a writer reports of itself, for people: `tallystick status` shows it. It holds no secret, and proves nothing.

>>> dropped = Dropped()
>>> dropped.add(3, "no room")
>>> dropped.report().split(" from ")[0]
'3 lines were dropped'
"""

import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from tallystick.errors import KeyStoreError, TallystickError
from tallystick.keystore import Lease
from tallystick.keystore.base import NOTE_LIMIT
from tallystick.sinks.base import Followed, Sink

__all__ = ["Dropped", "Status", "WriterNote", "read_note"]

_SHORT = 100  # characters of what is too long for a note


def when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@dataclass(slots=True)
class Dropped:
    """Lines that came while none could be written, until the log has said so."""

    count: int = 0
    total: int = 0
    since: float = 0.0
    why: str = ""
    until: float = 0.0

    def add(self, count: int, why: str) -> None:
        """Count so many more."""
        if count and not self.count:
            self.since, self.why = time.time(), why
        self.count += count
        self.total += count
        self.until = time.time()

    def merge(self, other: "Dropped") -> None:
        """Count those of another count as well, which began earlier."""
        if other.count:
            self.since, self.why, self.until = other.since, other.why, max(self.until, other.until)
            self.count += other.count
            self.total += other.count

    @classmethod
    def read(cls, said: object) -> "Dropped | None":
        """Return those that a note names, None where it names none; anyone may have written it."""
        try:
            count, since, until = int(said["count"]), float(said["since"]), float(said["until"])  # type: ignore[index]
            why = "".join(each for each in str(said["why"])[:300] if each.isprintable())  # type: ignore[index]
            when(since), when(until)
        except (KeyError, TypeError, ValueError, OverflowError, OSError):
            return None
        return cls(count=count, since=since, why=why, until=until) if count > 0 else None

    def note(self) -> dict[str, Any] | None:
        """Return them for a note, as `read` takes them."""
        if not self.count:
            return None
        return {
            "count": self.count,
            "since": round(self.since, 3),
            "until": round(self.until, 3),
            "why": self.why[:300],
        }

    def report_for_the_one_before(self) -> str:
        """Return what the log says of those that its writer before had not reported."""
        lines = "1 line" if self.count == 1 else f"{self.count} lines"
        return f"the writer before dropped {lines} from {when(self.since)} to {when(self.until)}: {self.why}"

    def report(self) -> str:
        """Return what the log says of them."""
        lines = "1 line was" if self.count == 1 else f"{self.count} lines were"
        why = self.why.replace("\n", " ").replace("\r", " ")
        return f"{lines} dropped from {when(self.since)} to {when(time.time())}: {why}"

    def clear(self) -> None:
        """Note that the log has said so."""
        self.count = 0


@dataclass(slots=True)
class WriterNote:
    """The note of a writer, as it goes on. Times are seconds since 1970, by the clock of its host."""

    output: str
    recovered: list[str]
    began: float = field(default_factory=time.time)
    checkpoint: tuple[str, float] | None = None
    head: tuple[str, float] | None = None
    lines: int = 0
    late: dict[str, Any] | None = None
    witnesses: list[dict[str, Any]] = field(default_factory=list)
    before: Dropped | None = None
    ended: str = "no"

    @classmethod
    def begin(cls, lease: Lease, sink: Sink, tidied: Sequence[str] = ()) -> Self:
        """Begin a note; what was recovered is what the last writer left, and what was put in order at the start."""
        recovered = list(tidied)
        try:
            last = read_note(lease.note())
        except KeyStoreError:
            last = None
        before = Dropped.read(last.get("unreported")) if last else None
        if before is not None:
            recovered.append(before.report_for_the_one_before())
        if last and last.get("closed") != "well":
            at = (last.get("head") or {}).get("position", "its beginning")
            recovered.append(
                f"the writer before (pid {last.get('pid')}) did not close its chain; a head counts up to {at}"
            )
        if not isinstance(sink, Followed):
            return cls(sink.name, recovered, before=before)
        if sink.repaired:
            recovered.append("the file ended within a line, which got its line end")
        return cls(sink.place, recovered, before=before)

    def stated(self, position: tuple[int, int, int]) -> None:
        """Note a statement: lines before this position are covered."""
        self.checkpoint = (".".join(map(str, position)), time.time())

    def counted(self, position: tuple[int, int, int], lines: int) -> None:
        """Note a head, and how many lines the chain has before it."""
        self.head, self.lines = (".".join(map(str, position)), time.time()), lines

    def closed(self, *, well: bool) -> None:
        """Note that the writer leaves, and whether its chain is closed."""
        self.ended = "well" if well else "badly"

    def text(self, *, trouble: str | None, dropped: int, unreported: dict[str, Any] | None = None) -> bytes:
        """Return the note as JSON."""

        def at(mark: tuple[str, float] | None) -> dict[str, Any] | None:
            return mark and {"position": mark[0], "time": round(mark[1], 3)}

        said: dict[str, Any] = {
            "pid": os.getpid(),
            "host": os.uname().nodename,
            "began": round(self.began, 3),
            "output": self.output,
            "lines": self.lines,
            "checkpoint": at(self.checkpoint),
            "head": at(self.head),
            "trouble": trouble and trouble[:500],
            "dropped": dropped,
            "unreported": unreported,
            "late": self.late,
            "witnesses": self.witnesses,
            "recovered": self.recovered,
            "closed": self.ended,
        }
        text = json.dumps(said)
        # A note that is cut is none, and dropped lines must reach the next writer: all else may be less.
        for name, less in _shorter(self.output, trouble) if len(text) > NOTE_LIMIT else ():
            said[name] = less
            if len(text := json.dumps(said)) <= NOTE_LIMIT:
                break
        return text.encode()


def _shorter(output: str, trouble: str | None) -> list[tuple[str, Any]]:
    """Return what of a note may be less, the least needed first, and what is left of it then."""
    place, why = f"…{output[-_SHORT:]}", trouble and trouble[:_SHORT]
    return [("witnesses", []), ("recovered", []), ("late", None), ("output", place), ("trouble", why)]


class Status:
    """Says in the key store how a writer is.

    State: the note, and where trouble and dropped lines are found; how many notes were made, and which one was stored.
    Invariant: it holds no secret, and a store that does not take it is in nobody's way. A note is made under the turn,
    and no older one follows a newer one, whichever thread is slower.
    """

    def __init__(
        self,
        lease: Lease,
        note: WriterNote,
        trouble: Callable[[], str | None],
        dropped: Callable[[], int],
        unreported: Callable[[], dict[str, Any] | None] = lambda: None,
        turn: Any = None,
    ) -> None:
        """Begin.

        Args:
            lease: Where the note is stored.
            note: The note.
            trouble: Returns what is wrong now.
            dropped: Returns how many lines were dropped in all.
            unreported: Returns those that the log has not reported, for the next writer.
            turn: The lock of the turn, under which all of these are asked; None where there is one thread.
        """
        self._lease, self.note, self._trouble = lease, note, trouble
        self._dropped, self._unreported = dropped, unreported
        self._turn, self._storing = turn or threading.RLock(), threading.RLock()
        self._made = self._stored = 0
        self._pid = os.getpid()

    def write(self) -> None:
        """Store the note; a forked child stores none."""
        if os.getpid() != self._pid:
            return
        with self._turn:
            self._made += 1
            number = self._made
            text = self.note.text(trouble=self._trouble(), dropped=self._dropped(), unreported=self._unreported())
        with self._storing:
            if number > self._stored:
                self._stored = number
                with suppress(TallystickError):
                    self._lease.replace_note(text)


def read_note(text: bytes | None) -> dict[str, Any] | None:
    """Return what a writer reported of itself, None if it is not readable; anyone may have written it."""
    try:
        said = json.loads(text or b"null")
    except ValueError:
        return None
    return said if isinstance(said, dict) else None

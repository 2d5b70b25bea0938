"""Follows one entry: decides what a look showed, and what of it may be the effect of motion or of trouble.

A look is a resumed verification in this process (`verify/session`). Three things can come of it: a report that counts;
a reason why none could be made, which says nothing about the log; or a report that another look must confirm, because
files that move may seem to show the same.
"""

import errno
import math
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

from tallystick import keystore
from tallystick.errors import ReportError, TallystickError, explain, reason
from tallystick.keystore.file import FileKeyStore
from tallystick.securefile import opened
from tallystick.verify.catalogue import Kind, Weight
from tallystick.verify.heads import NO_STORE
from tallystick.verify.keys import read_keys
from tallystick.verify.marks import Mark
from tallystick.verify.memory import Room
from tallystick.verify.report import Finding, Report, Verdict
from tallystick.verify.request import Request
from tallystick.verify.session import Session
from tallystick.watch.config import Entry
from tallystick.watch.hearing import Hearing
from tallystick.watch.states import may_be_motion, print_of
from tallystick.watch.traces import Trace
from tallystick.witness.client import ask

__all__ = ["CONFIRMED", "Follower", "Look"]

_REMOTE = 5.0  # seconds
_LONGEST = 900.0  # seconds after which it is looked at, whatever is known
_LOOKS = 1024  # in a period of rescans, at most
CONFIRMED = 2
"""Looks that must agree on what may be the effect of motion, after the first."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a look showed.

    Args:
        report: The report; None if none could be made, or nothing is there yet.
        trouble: Why nothing can be said of the log, in words; empty if something can.
        is_confirmed: It counts; if not, another look must follow at once.
        lag: Bytes that came at the files' ends while it went on.
    """

    report: Report | None
    trouble: str = ""
    is_confirmed: bool = True
    lag: int = 0


class Follower:
    """Follows one entry; one thread at a time looks.

    Args:
        entry: The entry.
        memory: Directory in which what was verified is remembered.
        pins: Directory with pins.
        answers: Directory with what witnesses said.
        room: Memory that entries share for what did not change for some looks.
    """

    def __init__(self, entry: Entry, memory: str, pins: str, answers: str, room: Room) -> None:
        self.entry, self._room = entry, room
        asked = entry.request
        self._hearing = Hearing(Path(answers), asked.ask or ask, asked.fresh) if asked.witnesses else None
        self._asked = replace(
            asked, resume=memory, pins_directory=pins, rescan=entry.rescan, jobs=1, progress=None, digests=False,
            hear=self._hearing.hear if self._hearing is not None else None,
        )  # fmt: skip
        self._session: Session | None = None
        self._doubts, self._accepted = 0, frozenset[str]()
        self._seen: tuple[Mark, ...] = ()
        self._listed: tuple[Mark, ...] = ()  # when the places were looked up; nothing if they must be again
        self._heads: tuple[list[str], bool] | None = None
        self.trace = Trace((), frozenset())

    @property
    def within(self) -> float:
        """Seconds after which it is looked at, for what no file shows: old bytes, heads elsewhere, a witness's word."""
        heads = _REMOTE if self._heads is None or self._heads[1] else math.inf
        old = max(self.entry.rescan / _LOOKS, self._session.due_in) if self._session is not None else math.inf
        return min(_LONGEST, heads, old, *((_REMOTE, self._hearing.every) if self._hearing is not None else ()))

    def has_moved(self) -> bool:
        """Did anything move since the last look began?"""
        return self.trace.seen() != self._seen

    def look(self, effort: int | None, *, was_seen: bool) -> Look:
        """Look once.

        Args:
            effort: Bytes that are read again where a file has grown.
            was_seen: Something of the entry was seen before, now or by an earlier process.
        """
        self._trace()
        try:
            if self._session is None:
                self._session = Session(self._asked, self._room)
            report = self._session.look(effort, seen=was_seen)
            if self._hearing is not None:
                self._hearing.settle(passed=report.verdict is not Verdict.FAILED)
        except ReportError as error:
            if not was_seen and not any(os.path.lexists(path) for path in self._asked.paths):
                return Look(None)
            return Look(None, explain(error))
        except TallystickError as error:
            return Look(None, explain(error))
        except OSError as error:
            where = f"{error.filename}: " if isinstance(error.filename, str) else ""
            return Look(None, f"{where}{reason(error)}")
        return replace(self._judged(report, was_seen), lag=self.trace.grown(self._seen))

    def _judged(self, report: Report, was_seen: bool) -> Look:
        grave = [one for one in report.findings if one.weight is not Weight.NOTE]
        if not was_seen and not report.lines and all(one.weight is Weight.INCOMPLETE for one in grave):
            if not (troubles := list(filter(None, map(_trouble, grave)))):
                return Look(None)
            return Look(None, troubles[0])
        new = [one for one in grave if print_of(one) not in self._accepted]
        if self._doubts < CONFIRMED and may_be_motion(new):
            self._doubts += 1
            return Look(report, is_confirmed=False)
        self._doubts, self._accepted = 0, frozenset(map(print_of, grave))
        if report.verdict is not Verdict.FAILED:
            for finding in grave:
                if trouble := _trouble(finding):
                    return Look(None, trouble)
        return Look(report)

    @property
    def is_written(self) -> bool:
        """Is all that is remembered written?"""
        return self._session is None or self._session.is_written

    def write(self) -> None:
        """Write what is remembered; what cannot be written is read again by the next process."""
        if self._session is not None:
            self._session.write()

    def _trace(self) -> None:
        if self._heads is None:
            self._heads = _heads_of(self._asked)
        asked, (heads, _) = self._asked, self._heads
        others = [*asked.keys, *asked.public, *([asked.exceptions] if asked.exceptions else []), *heads]
        others += asked.receipts
        now, seen = time.time_ns(), self.trace.seen()
        if not self.trace.is_same(self._listed, seen):
            self.trace = Trace.of([os.fspath(path) for path in asked.paths], [os.fspath(path) for path in others])
            seen = self.trace.seen()
            self._listed = seen if self.trace.is_settled(seen, now) else ()
        self._seen = seen


def _heads_of(asked: Request) -> tuple[list[str], bool]:
    """Return the files in which heads are, and whether they are elsewhere."""
    if asked.head is not None:
        return [os.fspath(asked.head)], False
    if asked.store == NO_STORE:
        return [], False
    try:
        store = keystore.connect(asked.store)
        logs, _ = read_keys(asked.keys, asked.public)
    except TallystickError:
        return [], True  # it is reported where it is needed
    if not isinstance(store, FileKeyStore):
        return [], True
    return [os.path.join(store.path, name, "head") for name, *_ in logs.logs()], False


def _trouble(finding: Finding) -> str:
    """Return why nothing can be said, if a finding is about this host and not about the log."""
    if finding.kind is Kind.NO_HEAD:
        return finding.detail
    if finding.kind is Kind.UNREADABLE and finding.path is not None:
        try:
            os.close(opened(finding.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return f"{finding.path}: {reason(error)}"
    return ""

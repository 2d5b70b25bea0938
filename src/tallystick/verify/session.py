"""Verifies the same again and again in one process: keys, exceptions and what was verified stay in memory.

A look is a resumed verification (`memory`), whose verdict and findings are those of a run over everything. What is
remembered is written now and then; what was not when the process ended is read again by the next one.

>>> import tempfile, tallystick
>>> with tempfile.TemporaryDirectory() as d:
...     place = {"store": f"file:{d}/store"}
...     _ = tallystick.create("app", **place, custody=f"master-key:{d}/master.key", key_file=f"{d}/app.key")
...     session = Session(Request(paths=(f"{d}/app.log",), keys=(f"{d}/app.key",), resume=f"{d}/memory", **place))
...     with tallystick.open("app", output=f"{d}/app.log", **place) as log:
...         log.write("one")
...     before = session.look().lines
...     with tallystick.open("app", output=f"{d}/app.log", **place) as log:
...         log.write("two")
...     before, session.look().lines, session.write()
(3, 6, [])
"""

import datetime
import math
import time
from collections.abc import Sequence
from dataclasses import replace

from tallystick.verify.ground import Ground
from tallystick.verify.marks import mark
from tallystick.verify.memory import Room
from tallystick.verify.report import Report, Verdict
from tallystick.verify.request import Request
from tallystick.verify.run import keep_pins, looked

__all__ = ["Session"]

_PINS_KEPT = 30.0  # seconds after which the pins of a log that goes on are kept again


class Session:
    """Verifications of the same files, one after the other, each of what is new.

    Args:
        asked: What is verified; `resume` names the directory in which it is remembered.
        room: Memory that sessions share for what did not change for some looks.
    """

    def __init__(self, asked: Request, room: Room | None = None) -> None:
        self._asked, self._room = asked, room or Room()
        self._stamp, self._ground = self._stamped(), Ground.of(asked, self._room)
        self._pins_due = 0.0

    def look(self, effort: int | None = None, *, seen: bool = False) -> Report:
        """Verify; `verify` says what is raised.

        Args:
            effort: Bytes of what a file held that are read again where it has grown, from its end on, and as many
                others that were not for long; None for two chunks at its end.
            seen: Lines were read at these paths before: that nothing is there now is no slip of the pen.
        """
        if (stamp := self._stamped()) != self._stamp:
            self.write()
            self._ground, self._stamp = Ground.of(self._asked, self._room), stamp
        if self._ground.memory is not None:
            self._ground.memory.effort = effort
        if seen != self._ground.asked.seen:
            self._ground = replace(self._ground, asked=replace(self._asked, seen=seen))
        with looked(self._ground) as verified:
            report = verified.report
        now = time.monotonic()
        if self._asked.pins_directory is not None and report.verdict is Verdict.OK and now >= self._pins_due:
            report = keep_pins(report, self._asked.pins_directory, verified.heads)
            self._pins_due = now + _PINS_KEPT
        return report

    @property
    def due_in(self) -> float:
        """Seconds from the last look on after which one reads again what is remembered; infinity for never."""
        return self._ground.memory.due_in if self._ground.memory is not None else math.inf

    @property
    def is_written(self) -> bool:
        """Would nothing have to be read again if this process ended now?"""
        return self._ground.memory is None or self._ground.memory.is_written

    def write(self) -> Sequence[str]:
        """Write what is remembered; return what was of no use or could not be kept, and why."""
        return self._ground.memory.write() if self._ground.memory is not None else ()

    def _stamped(self) -> tuple[object, ...]:
        """Return what changes when keys or exceptions do; exceptions end on a day."""
        asked = self._asked
        exceptions = (asked.exceptions,) if asked.exceptions is not None else ()
        today = datetime.datetime.now(datetime.UTC).date() if exceptions else None
        return (today, *(mark(path) for path in (*asked.keys, *asked.public, *exceptions)))

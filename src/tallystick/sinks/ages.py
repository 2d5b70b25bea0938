"""How long files have been there, by time that this machine has seen pass: no clock that can be set is asked.

The time is that since the machine started, added up over its starts in a file beside the log. Time while it was off,
or while nobody wrote this log and the machine was started again, is not counted: a file never seems older than it is.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as directory:
...     place = Place.of(f"{directory}/audit.log")
...     ages = Ages(place)
...     ages.note(["0000000001"])
...     0 <= ages.of("0000000001") < 100, Ages(place).of("0000000002")
(True, 0.0)
"""

import os
import re
import time
from collections.abc import Iterable
from contextlib import suppress

from tallystick.securefile import Place, RefusedError, write_all

__all__ = ["Ages", "Uptime"]

_TITLE = "tallystick-ages v1"
_LINE = re.compile(r"(seen|file) ([0-9]+(?:\.[0-9]+)?) (\S+)(?: ([0-9]+(?:\.[0-9]+)?))?")
_LIMIT = 2**22  # bytes


class Uptime:
    """How long the machine has run since it started, and which start that was."""

    @property
    def seconds(self) -> float:
        """Return the seconds, asleep or awake."""
        # Not from the C library: what sets the clock for one process, as faketime does, would set this one, too.
        try:
            with open("/proc/uptime", encoding="ascii") as file:
                return float(file.read(64).split()[0])
        except (OSError, ValueError, IndexError):
            return time.monotonic()

    @property
    def start(self) -> str:
        """Return a name of this start; an empty one where none is known, and no two of these are the same start."""
        try:
            with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
                boot = file.read(64).strip()
            return f"{boot}.{os.stat('/proc/self/ns/time').st_ino}"  # a time namespace has clocks of its own
        except OSError:
            return ""


class Ages:
    """The ages of the rotated files of one log.

    State: how much time has been seen pass, up to which moment; for each file how much there was when it came.
    Invariant: an age only grows by time that passed on this machine. A file that nobody noted is new.
    """

    def __init__(self, place: Place, uptime: Uptime | None = None) -> None:
        """Read what is remembered beside a log's file; without it, all files are new."""
        self._place, self._name = place, f".{place.name}.ages"
        self._uptime = uptime or Uptime()
        self._seen, self._at = 0.0, self._uptime.seconds
        self._came: dict[str, float] = {}
        with suppress(OSError, RefusedError, ValueError):
            self._read()

    def note(self, names: Iterable[str]) -> None:
        """Take note of the files that are there now; those that are new begin to age, others are forgotten.

        Args:
            names: The end of each name, after that of the log's file: it has no blanks.

        Raises:
            OSError: That cannot be remembered beyond the end of this process.
        """
        now = self._now()
        self._came = {name: self._came.get(name, now) for name in names}
        self._write()

    def of(self, name: str) -> float:
        """Return how many seconds a file has been there at least."""
        now = self._now()
        return max(0.0, now - self._came.get(name, now))

    def save(self) -> None:
        """Remember how much time has passed.

        Raises:
            OSError: That cannot be remembered.
        """
        self._now()
        self._write()

    def _now(self) -> float:
        at = self._uptime.seconds
        self._seen, self._at = self._seen + max(0.0, at - self._at), at
        return self._seen

    def _read(self) -> None:
        with open(self._place.open(self._name), encoding="utf-8") as file:
            title, *lines = file.read(_LIMIT).splitlines()
        found = [match for line in lines if (match := _LINE.fullmatch(line))]
        if title != _TITLE or len(found) != len(lines):
            raise ValueError(self._name)
        for kind, seconds, name, moment in (match.groups() for match in found):
            if kind == "file":
                self._came[name] = float(seconds)
                continue
            self._seen = float(seconds)
            if name == self._uptime.start and moment and float(moment) <= self._at:
                self._at = float(moment)

    def _write(self) -> None:
        start = self._uptime.start or "-"
        lines = [_TITLE, f"seen {self._seen:.2f} {start} {self._at:.2f}"]
        lines += [f"file {came:.2f} {name}" for name, came in self._came.items()]
        new = f"{self._name}.tmp"  # a name that verifiers pass over
        self._place.remove(new)
        fd = self._place.make(new)
        try:
            write_all(fd, "".join(f"{line}\n" for line in lines).encode())
            os.fsync(fd)
        finally:
            os.close(fd)
        self._place.rename(new, self._name)

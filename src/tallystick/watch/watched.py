"""One entry while it is watched: who follows it, what is known of it, and when something is done with it."""

import hashlib
import math
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from tallystick.verify.memory import Room
from tallystick.verify.report import Report
from tallystick.watch.clock import Clock
from tallystick.watch.config import Config, Entry
from tallystick.watch.follower import Follower, Look
from tallystick.watch.pace import Pace
from tallystick.watch.slot import Slot, Times
from tallystick.watch.states import Rules
from tallystick.watch.track import Track

__all__ = ["Watched"]

_CHECK = 15.0  # seconds after which files are asked, where the kernel says what moves
_SHARES = 256  # looks in a period of rescans
_JUDGED = 30.0  # seconds after which a state is judged, whatever was foreseen


class Watched:
    """One entry.

    Args:
        entry: What is watched.
        old: How it was watched under an older configuration, if it was.
        config: The configuration.
        kept: What an earlier process knew of it, if one did.
        clock: The clocks.
        room: Memory that entries share for what did not change for some looks.
    """

    def __init__(
        self,
        entry: Entry,
        old: "Watched | None",
        config: Config,
        kept: Mapping[str, Any] | None,
        clock: Clock,
        room: Room,
    ) -> None:
        state, now, wall = os.fspath(config.state), clock.now(), clock.wall()
        number = hashlib.sha256(entry.name.encode()).hexdigest()[:16]
        memory, pins, answers = (os.path.join(state, what, number) for what in ("memory", "pins", "answers"))
        self.entry, self.follower = entry, Follower(entry, memory, pins, answers, room)
        self.track: Track = old.track if old is not None else Track(entry.name, now, wall, entry.labels)
        self.track.labels = entry.labels
        if old is None and kept is not None:
            with suppress(KeyError, TypeError, ValueError):
                self.track.recall(kept, clock)
        self.slot = Slot(Times(config.interval, config.interval, config.interval))
        self.is_polled = True
        self.spread = int(number[-4:], 16) / 65536  # so that not all is done at once
        self.agree(config)

    def agree(self, config: Config) -> None:
        """Take what the configuration says of all entries."""
        self.rules, self._repeat = Rules(config.stale_after * config.interval, self.entry.silence), config.alerts.repeat
        self.poll(config.interval, polled=self.is_polled)

    def poll(self, interval: float, *, polled: bool) -> None:
        """Take how often something is done; `polled`, if nobody says what moves."""
        self.is_polled = polled
        force = max(interval, min(self.entry.rescan / _SHARES, self.follower.within))
        self.slot.times = Times(interval, interval if polled else max(interval, _CHECK), force)

    def rest(self, now: float) -> None:
        """Note that nothing moved until now, or until something was to be done: as good as a look that succeeded."""
        if self.slot.is_resting:
            self.track.known = self.track.idle(min(now, self.slot.due))

    def rules_now(self, pace: Pace, now: float, idle: float) -> Rules:
        """Return what counts now: an entry that only waits for its turn is not stale.

        Args:
            pace: How late looks come.
            now: The time.
            idle: Seconds since the end of a look, at whatever it was.
        """
        excused = not self.track.trouble and pace.is_excused(self.slot, now, idle, self.rules.stale_after)
        return replace(self.rules, stale_after=math.inf) if excused else self.rules

    def judged_at(self, now: float) -> float:
        """Return when time alone may change the state, or ask for another report of it."""
        track, rules = self.track, self.rules
        times = [max(track.known.looked, self.slot.due if self.slot.is_resting else -math.inf) + rules.stale_after]
        if rules.silence is not None and track.known.newest is not None:
            times.append(track.known.newest + rules.silence)
        if self._repeat is not None and track.last is not None:
            times.append(track.last + self._repeat)
        times += [track.missed_at, now + _JUDGED]
        return min(at for at in times if at > now) + 0.01

    def is_changed_by_time(self, now: float, rules: Rules) -> bool:
        """Does time alone change the state by what counts now, or ask for another report of it?"""
        return self.track.is_changed_by_time(rules, now, self._repeat)

    def look(self, effort: int | None) -> tuple[Look, float]:
        """Look; return what that showed, and when it began. A thread of its own does this."""
        began = time.monotonic()
        return self.follower.look(effort, was_seen=self.track.was_seen), began

    def take(self, look: Look, began: float, now: float, wall: int) -> None:
        """Take in what a look showed that counts."""
        if look.report is not None:
            self.track.take(look.report, began, now, wall, self._age(look.report, wall), look.lag)
        elif look.trouble:
            self.track.fail(look.trouble, wall)
        else:
            self.track.nothing(began, wall)

    def doubt(self, report: Report, began: float, now: float, wall: int) -> None:
        """Take in what a look showed that others must confirm."""
        self.track.doubt(report, began, now, wall, self._age(report, wall))

    def write(self) -> bool:
        """Write what is remembered, unless a look goes on; was it written?"""
        if not self.slot.is_running and not self.follower.is_written:
            self.follower.write()
        return not self.slot.is_running

    def _age(self, report: Report, wall: int) -> float:
        """Return how many seconds ago the newest of the files was written, as far as clocks tell; 0 after that."""
        times = []
        for path in report.files if self.track.report is None else ():
            with suppress(OSError):
                times.append(os.stat(path).st_mtime_ns // 1_000_000)
        return max(0.0, (wall - max(times)) / 1000) if times else 0.0

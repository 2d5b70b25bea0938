"""The service: one thread schedules, a few look, and what they find becomes standings and events.

What it promises, and where:

- A look costs what is new (`verify/session`), and an entry at which nothing moves costs nothing (`notifier`, `slot`).
- A state and its event are durable before the event is handed on (`kept`), so that a restart pages nobody twice.
- The service manager hears that looks go on only while they do.

>>> import tempfile, tallystick
>>> from pathlib import Path
>>> from tallystick.verify.run import Request
>>> with tempfile.TemporaryDirectory() as d:
...     place = {"store": f"file:{d}/store"}
...     _ = tallystick.create("app", **place, custody=f"master-key:{d}/master.key", key_file=f"{d}/app.key")
...     with tallystick.open("app", output=f"{d}/app.log", **place) as log:
...         log.write("user=7 action=login")
...     asked = Request(paths=(f"{d}/app.log",), keys=(f"{d}/app.key",), **place)
...     with Service(Config((Entry("app", asked),), Path(d) / "watch")) as service:
...         service.wait_for_all(30.0), service.board.one("app").state
(True, <State.OK: 'ok'>)
"""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Self

from tallystick.errors import TallystickError, explain
from tallystick.verify.report import Report
from tallystick.watch.board import Board
from tallystick.watch.clock import Clock
from tallystick.watch.config import Config, Entry
from tallystick.watch.events import Event
from tallystick.watch.follower import Follower, Look
from tallystick.watch.kept import Kept
from tallystick.watch.notifier import Notifier, is_silent
from tallystick.watch.outlets import Outlets
from tallystick.watch.slot import Ending, Slot, Times
from tallystick.watch.standing import State
from tallystick.watch.states import Rules
from tallystick.watch.track import Track
from tallystick.watch.workers import Workers

__all__ = ["Service"]

_CHECK = 15.0  # seconds after which files are asked, where the kernel says what moves
_REMOTE = 5.0  # seconds after which heads are read that no file shows
_SHARES = 256  # looks in a period of rescans
_ROUND = 1.0  # seconds after which time alone may change a state
_DIRECTORIES = 5.0  # seconds after which directories that came or went are watched or not
_WRITE = 300.0  # seconds after which what was verified is written
_KEEP = 60.0  # seconds after which standings are written, though no state changed
_EFFORT = 64 * 2**20  # bytes of files that are written to that are read again in a second, of all entries together
_LEAST = 32 * 1024  # bytes, for each look


class _Watched:
    """One entry: who follows it, what is known, when it is looked at."""

    def __init__(self, entry: Entry, follower: Follower, track: Track, slot: Slot, config: Config) -> None:
        self.entry, self.follower, self.track, self.slot = entry, follower, track, slot
        self.rules = Rules(config.stale_after * config.interval, entry.silence)
        self.written = 0.0


class Service:
    """Watches until it is ended.

    Args:
        config: What is watched.
        notify: Tells the service manager, as `systemd` takes it.
        say: Takes a line about what happened, for people.
        reread: Reads the configuration again; it raises where that is invalid.
        clock: The clocks.
        outlets: Where events go; those that the configuration names, if none are given.
    """

    def __init__(
        self,
        config: Config,
        *,
        notify: Callable[..., None] = lambda *_: None,
        say: Callable[[str], None] = lambda _: None,
        reread: Callable[[], Config] | None = None,
        clock: Clock | None = None,
        outlets: Outlets | None = None,
    ) -> None:
        self._config, self._notify, self._say, self._reread = config, notify, say, reread
        self._clock = clock or Clock()
        self._kept = Kept(config.state)
        self._workers = Workers(config.jobs)
        self._outlets = outlets or Outlets(config, say)
        self.board = Board(self._outlets.queued)
        self._watched: dict[str, _Watched] = {}
        self._places: dict[str, list[str]] = {}
        self._moved: set[str] = set()
        self._notifier = Notifier(self._note_moved, min(0.2, config.interval / 4))
        self._outbox, self._unsaid = list(self._kept.events), list[Event]()
        self._dirty, self._keep_at, self._round_at = bool(self._outbox), 0.0, 0.0
        self._directories_at = 0.0
        self._ending, self._again, self._all = False, False, threading.Event()
        self._rate, self._looks, self._since = 0.0, 0, self._clock.now()
        self._thread: threading.Thread | None = None
        self._watchdog, self._watchdog_at = _watchdog(), 0.0
        if self._kept.lost:
            self._say(self._kept.lost)
        self._take(config)

    # -- from outside

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.run, name="tallystick watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()
        if self._thread is not None:
            self._thread.join()

    def end(self) -> None:
        """End the service soon; a signal handler may call it."""
        self._ending = True
        self._workers.wake()

    def read_again(self) -> None:
        """Read the configuration again soon; a signal handler may call it."""
        self._again = True
        self._workers.wake()

    def wait_for_all(self, seconds: float) -> bool:
        """Wait until each entry was looked at once, at most so long; was it?"""
        return self._all.wait(seconds)

    def run(self) -> None:
        """Watch until `end` is called."""
        self._outlets.start(self.board)
        try:
            while not self._ending:
                self._turn()
        finally:
            self._close()

    # -- one turn

    def _turn(self) -> None:
        self.board.turn()
        if self._again:
            self._again = False
            self._take_again()
        for name, result in self._workers.done():
            self._take_result(name, result)
        now = self._clock.now()
        self._take_moved(now)
        self._begin_looks(now)
        if now >= self._round_at:
            self._round(now)
        self._keep(now)
        self._workers.wait(min(self._next(now), self._round_at - now))

    def _next(self, now: float) -> float:
        if not self._workers.free:
            return _ROUND
        waiting = (one.slot.due for one in self._watched.values() if not one.slot.is_running)
        return min(waiting, default=now + _ROUND) - now

    def _begin_looks(self, now: float) -> None:
        due = [one for one in self._watched.values() if not one.slot.is_running and one.slot.due <= now]
        for one in sorted(due, key=lambda one: one.slot.due)[: self._workers.free]:
            effort = max(_LEAST, int(_EFFORT / max(1.0, self._rate))) if one.slot.was_looked else None
            forced = one.slot.begin(now)
            self._workers.do(one.entry.name, partial(_step, one, forced, effort))

    def _take_moved(self, now: float) -> None:
        while self._moved:
            for name in self._places.get(self._moved.pop(), ()):
                if (one := self._watched.get(name)) is not None:
                    one.slot.move(now)

    def _note_moved(self, places: set[str]) -> None:
        self._moved |= places
        self._workers.wake()

    def _take_result(self, name: str, result: Any) -> None:
        one, now, wall = self._watched.get(name), self._clock.now(), self._clock.wall()
        if one is None or not one.slot.is_running:
            return
        if result is None:
            one.slot.end(now, Ending.IDLE)
            one.track.known = one.track.idle(now)
            return
        look, began = (Look(None, f"a bug: {result!r}"), now) if isinstance(result, BaseException) else result
        self._looks += 1
        if look.report is not None and not look.is_confirmed:
            one.slot.end(now, Ending.DOUBTFUL)
            return
        if look.report is not None:
            one.track.take(look.report, began, now, wall, _age(look.report, wall))
        elif look.trouble:
            one.track.fail(look.trouble, wall)
        else:
            one.track.nothing(began, wall)
        one.slot.end(now, Ending.TROUBLE if look.trouble else Ending.CLEAR)
        self._judge(one, now, wall)
        if not self._all.is_set() and all(each.slot.was_looked for each in self._watched.values()):
            self._all.set()
            self._watch_directories()
            self._notify("READY=1", _status(self._watched.values()))

    def _judge(self, one: _Watched, now: float, wall: int) -> None:
        if not one.slot.was_looked and now - one.track.began <= one.rules.stale_after:
            return
        before = one.track.standing()
        event = one.track.judge(one.rules, now, wall, self._config.alerts.repeat)
        if event is not None:
            self._outbox.append(event)
            self._unsaid.append(event)
            self._dirty = True
        after = one.track.standing()
        if after != before or event is not None or self.board.one(after.name) is None or after.seen is not None:
            self.board.put(after, tuple(one.track.bands), one.track.report)

    def _round(self, now: float) -> None:
        """Do what time alone asks for."""
        self._round_at, wall = now + _ROUND, self._clock.wall()
        self._rate, self._looks, self._since = self._looks / max(0.1, now - self._since), 0, now
        for one in self._watched.values():
            if one.slot.is_idle(now):  # nothing waits to be looked at
                one.track.known = one.track.idle(now)
            if one.track.is_changed_by_time(one.rules, now, wall, self._config.alerts.repeat):
                self._judge(one, now, wall)
            if one.slot.was_looked and not one.slot.is_running and now - one.written > _WRITE:
                one.written = now
                if not one.follower.is_written:
                    one.follower.write()
        if self._all.is_set():
            if now >= self._directories_at:
                self._directories_at = now + _DIRECTORIES
                self._watch_directories()
        else:
            self._notify(f"EXTEND_TIMEOUT_USEC={30_000_000}", _status(self._watched.values()))
        goes_on = not self._workers.running or time.monotonic() - self._workers.finished < max(10.0, self._watchdog)
        if self._watchdog and goes_on and now >= self._watchdog_at:
            self._watchdog_at = now + self._watchdog / 3
            self._notify("WATCHDOG=1", _status(self._watched.values()))

    def _watch_directories(self) -> None:
        """Let the kernel say what moves; ask for the rest."""
        places: dict[str, list[str]] = {}
        polled: dict[str, bool] = {}
        for name, one in self._watched.items():
            for place in one.follower.trace.directories:
                places.setdefault(place, []).append(name)
        self._notifier.watch(places)
        watched = self._notifier.watched
        for one in self._watched.values():
            directories = one.follower.trace.directories
            known = all(place in watched and not polled.setdefault(place, is_silent(place)) for place in directories)
            one.slot.times = _times(one, self._config.interval, polled=not known)
        self._places = places

    # -- what is kept

    def _keep(self, now: float) -> None:
        """Write standings, then hand events on."""
        if not self._dirty and now < self._keep_at:
            return
        self._keep_at, self._dirty = now + _KEEP, False
        try:
            self._kept.write(
                {name: one.track.to_plain(self._clock) for name, one in self._watched.items()}, self._outbox
            )
        except TallystickError as error:
            self._say(f"standings were not written: {explain(error)}")
            self._keep_at = now + _ROUND
        for event in self._unsaid:
            self._say(event.to_line())
        self._unsaid = []
        sent = self._outbox
        self._outbox = [event for event in sent if not self._outlets.send(event)]
        self._dirty = len(self._outbox) < len(sent)  # so that a restart does not hand those on once more
        if self._outbox:
            self._keep_at = now + _ROUND

    # -- configuration

    def _take_again(self) -> None:
        self._notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            if self._reread is not None:
                config = self._reread()
                if config.state != self._config.state:
                    self._say("the directory of the service cannot change while it runs; the old one goes on")
                self._outlets.change(config, self.board)
                self._take(config)
                self._say("the configuration was read again")
        except TallystickError as error:
            self._say(f"the configuration was not read again, and the old one goes on: {explain(error)}")
        self._notify("READY=1", _status(self._watched.values()))

    def _take(self, config: Config) -> None:
        before, self._watched, self._config = self._watched, {}, config
        for entry in config.entries:
            old = before.get(entry.name)
            if old is not None and old.entry == entry:
                self._watched[entry.name] = old
                old.rules = Rules(config.stale_after * config.interval, entry.silence)
                continue
            self._watched[entry.name] = _new(entry, old, config, self._kept, self._clock)
        for name, old in before.items():
            if self._watched.get(name) is not old and not old.slot.is_running:
                old.follower.write()
        self.board.keep([entry.name for entry in config.entries])
        self._all.clear()
        self._dirty = True

    def _close(self) -> None:
        self._notify("STOPPING=1")
        self._notifier.stop()
        ended = self._workers.end(5.0)
        for name, result in self._workers.done():
            self._take_result(name, result)
        self._keep_at = 0.0
        self._keep(self._clock.now())
        if ended:
            for one in self._watched.values():
                if not one.follower.is_written:
                    one.follower.write()
        self._keep(self._clock.now())
        self._outlets.stop(5.0)
        self._kept.close()


def _new(entry: Entry, old: _Watched | None, config: Config, kept: Kept, clock: Clock) -> _Watched:
    """Return an entry to watch, with what is known of it."""
    state, now, wall = os.fspath(config.state), clock.now(), clock.wall()
    place = os.path.join(state, "memory", hashlib.sha256(entry.name.encode()).hexdigest()[:16])
    follower = Follower(entry, place, os.path.join(state, "pins"))
    track = old.track if old is not None else Track(entry.name, now, wall, entry.labels)
    track.labels = entry.labels
    if old is None and (plain := kept.entries.get(entry.name)) is not None:
        with suppress(KeyError, TypeError, ValueError):
            track.recall(plain, clock)
    one = _Watched(entry, follower, track, Slot(Times(config.interval, config.interval, config.interval)), config)
    one.slot.times = _times(one, config.interval, polled=True)
    one.written = now - _WRITE * (int(place[-4:], 16) / 65536)  # not all at once
    return one


def _times(one: _Watched, interval: float, *, polled: bool) -> Times:
    """Return when an entry is looked at."""
    force = max(interval, one.entry.rescan / _SHARES)
    if one.follower.is_remote:
        force = min(force, max(interval, _REMOTE))
    return Times(interval, interval if polled else max(interval, _CHECK), force)


def _status(watched: Collection[_Watched]) -> str:
    """Return a line for the service manager."""
    looked = [one.track.state for one in watched if one.slot.was_looked]
    said = f"STATUS={len(looked)} of {len(watched)} looked at"
    for state in (State.FAILED, State.STALE, State.SILENT, State.INCOMPLETE, State.NEVER):
        if count := looked.count(state):
            said += f", {count} {state.value}"
    return said


def _step(one: _Watched, forced: bool, effort: int | None) -> tuple[Look, float] | None:
    """Look, if something moved or it must be; None where nothing did."""
    if not (forced or one.follower.has_moved()):
        return None
    began = time.monotonic()
    return one.follower.look(effort, was_seen=one.track.was_seen), began


def _age(report: Report, wall: int) -> float:
    """Return how many seconds ago the newest of the files was written, as far as clocks tell."""
    times = []
    for path in report.files:
        with suppress(OSError):
            times.append(os.stat(path).st_mtime_ns // 1_000_000)
    return max(0.0, (wall - max(times)) / 1000) if times else 0.0


def _watchdog() -> float:
    """Return how many seconds the service manager waits for a sign of life; 0 if it does not."""
    asked = os.environ.get("WATCHDOG_USEC", "")
    mine = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(asked) / 1_000_000 if mine and asked.isascii() and asked.isdecimal() else 0.0

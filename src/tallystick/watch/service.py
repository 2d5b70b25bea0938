"""The service: one thread schedules, a few look, and what they find becomes standings and events.

What it promises, and where:

- A look costs what is new (`verify/session`), and an entry at which nothing moves costs nothing (`notifier`, `slot`).
- A state and its event are durable before the event is handed on (`kept`), so that a restart pages nobody twice.
- The service manager hears that looks go on only while they do.
- Where there is more to look at than the machine can do, that is looked at first which is due the longest (`pace`).

>>> import tempfile, tallystick
>>> from pathlib import Path
>>> from tallystick.verify.request import Request
>>> from tallystick.watch.config import Entry
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

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

from tallystick.errors import TallystickError, explain
from tallystick.verify.memory import Room
from tallystick.watch.agenda import Agenda
from tallystick.watch.board import Board
from tallystick.watch.clock import Clock
from tallystick.watch.config import Config
from tallystick.watch.follower import Look
from tallystick.watch.kept import Kept
from tallystick.watch.manager import Manager
from tallystick.watch.notifier import Notifier, telling
from tallystick.watch.outbox import Outbox
from tallystick.watch.outlets import Outlets
from tallystick.watch.pace import Pace
from tallystick.watch.places import Places
from tallystick.watch.slot import Ending
from tallystick.watch.states import Rules
from tallystick.watch.watched import Watched
from tallystick.watch.workers import Workers

__all__ = ["Service"]

_ROUND = 1.0  # seconds after which the service's own condition is looked after
_DIRECTORIES = 5.0  # seconds after which directories that came or went are watched or not
_WRITE = 300.0  # seconds after which what was verified is written
_ASKED = 256  # entries that are asked at once whether something moved


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
        self._config, self._say, self._reread = config, say, reread
        self._clock, self._room = clock or Clock(), Room()
        self._manager = Manager(notify)
        self._kept = Kept(config.state)
        self._workers = Workers[Watched](config.jobs)
        self._outlets = outlets or Outlets(config, say)
        self._pace = Pace()
        self.board = Board(self._outlets.queued, lambda: self._pace.late)
        self._watched: dict[str, Watched] = {}
        self._looks, self._judgements, self._writes = Agenda(), Agenda(), Agenda()
        self._moved: deque[set[str]] = deque()
        self._notifier = Notifier(self._note_moved, min(0.2, config.interval / 4))
        self._places = Places()
        self._outbox = Outbox(self._kept, self._outlets, say)
        self._round_at, self._directories_at = 0.0, 0.0
        self._ending, self._again, self._all = False, False, threading.Event()
        self._thread: threading.Thread | None = None
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
        for those, result in self._workers.done():
            self._take_result(those, result)
        now, wall = self._clock.now(), self._clock.wall()
        if self._pace.turn(now):
            self._moved.appendleft(set())
        self._take_moved(now)
        self._begin(now)
        while (name := self._judgements.take(now)) is not None:
            if (one := self._watched.get(name)) is not None:
                self._rest(one, now, wall)
                self._judgements.put(name, one.judged_at(now))
        if now >= self._round_at:
            self._round(now)
        self._outbox.keep(now, self._plain)
        due = min(self._looks.next() if self._workers.free else now + _ROUND, self._judgements.next(), self._round_at)
        self._workers.wait(min(due, self._outbox.due) - now)

    def _begin(self, now: float) -> None:
        """Begin looks that are due, and ask whether something moved where that is enough."""
        asked: list[Watched] = []
        while self._workers.free and (name := self._looks.take(now)) is not None:
            if (one := self._watched.get(name)) is None:
                continue
            one.rest(now)
            self._pace.note(now - one.slot.due if one.slot.was_looked else 0.0)
            if one.slot.begin(now):
                self._workers.do((one,), partial(one.look, self._pace.effort if one.slot.was_looked else None))
            elif one.is_polled:  # what others hold up must not hold up more than that
                self._workers.do((one,), partial(_moved, (one,)))
            else:
                asked.append(one)
            if len(asked) == _ASKED:
                break
        if asked:
            self._workers.do(tuple(asked), partial(_moved, asked))

    def _note_moved(self, paths: set[str]) -> None:
        self._moved.append(paths)
        self._workers.wake()

    def _take_moved(self, now: float) -> None:
        while self._moved:
            paths = self._moved.popleft()
            known, asked = self._places.moved(paths) if paths else ((), self._watched)
            for names, is_known in ((known, True), (asked, False)):
                for name in names:
                    if (one := self._watched.get(name)) is not None:
                        if paths:  # nobody missed what moved before
                            one.rest(now)
                        (one.slot.move if is_known else one.slot.ask)(now)
                        self._schedule(one, now)

    def _schedule(self, one: Watched, now: float) -> None:
        if not one.slot.is_running:
            self._looks.put(one.entry.name, one.slot.due)
        self._judgements.bring(one.entry.name, one.judged_at(now))

    def _take_result(self, those: Sequence[Watched], result: Any) -> None:
        now, wall = self._clock.now(), self._clock.wall()
        # What was looked at under an older configuration says nothing about the entry as it is now.
        for one in [each for each in those if self._watched.get(each.entry.name) is each]:
            if isinstance(result, frozenset):
                one.slot.end(now, Ending.MOVED if one.entry.name in result else Ending.IDLE)
                self._rest(one, now, wall)
            else:
                self._take_look(one, result, now, wall)
            self._schedule(one, now)

    def _take_look(self, one: Watched, result: Any, now: float, wall: int) -> None:
        look, began = (Look(None, f"a bug: {result!r}"), now) if isinstance(result, BaseException) else result
        self._pace.looked()
        if look.report is not None and not look.is_confirmed:
            one.doubt(look.report, began, now, wall)
            one.slot.end(now, Ending.DOUBTFUL)
            return
        one.take(look, began, now, wall)
        one.slot.end(now, Ending.TROUBLE if look.trouble else Ending.CLEAR)
        self._judge(one, now, wall)
        self._places.take(one.entry.name, one.follower.trace)
        self._unseen.discard(one.entry.name)
        if not self._unseen and not self._all.is_set():
            self._all.set()
            self._watch_directories()
            self._manager.ready(self._watched.values())

    def _rest(self, one: Watched, now: float, wall: int) -> None:
        """Note that nothing moved, and judge if time alone changed something."""
        one.rest(now)
        if one.is_changed_by_time(now, self._rules(one, now)):
            self._judge(one, now, wall)

    def _rules(self, one: Watched, now: float) -> Rules:
        return one.rules_now(self._pace, now, time.monotonic() - self._workers.finished)

    def _judge(self, one: Watched, now: float, wall: int) -> None:
        rules = self._rules(one, now)
        if not one.slot.was_looked and rules is not one.rules:
            return
        before = one.track.standing()
        event = one.track.judge(rules, now, wall, self._config.alerts.repeat)
        if event is not None:
            self._outbox.add(event)
        after = one.track.standing()
        if after != before or event is not None or self.board.one(after.name) is None or after.seen is not None:
            self.board.put(after, tuple(one.track.bands), one.track.report)

    def _round(self, now: float) -> None:
        """Look after the service's own condition."""
        self._round_at = now + _ROUND
        if said := self._pace.round(now, max(_ROUND, self._config.interval)):
            self._say(said)
        while (name := self._writes.take(now)) is not None:
            if (one := self._watched.get(name)) is not None:
                self._writes.put(name, now + (_WRITE if one.write() else _ROUND))
        if not self._all.is_set():
            self._manager.starting(self._watched.values())
        elif self._places.are_other and now >= self._directories_at:
            self._directories_at = now + _DIRECTORIES
            self._watch_directories()
        waited = time.monotonic() - self._workers.finished if self._workers.running else 0.0
        self._manager.alive(self._watched.values(), now, waited)

    def _watch_directories(self) -> None:
        """Let the kernel say what moves; ask for the rest."""
        directories = self._places.directories()
        self._notifier.watch(directories)
        told = telling(directories) & frozenset(self._notifier.watched)
        for one in self._watched.values():
            one.poll(self._config.interval, polled=not one.follower.trace.directories <= told)

    # -- configuration

    def _take_again(self) -> None:
        self._manager.reloading()
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
        self._manager.ready(self._watched.values())

    def _take(self, config: Config) -> None:
        before, self._watched, self._config = self._watched, {}, config
        now = self._clock.now()
        for entry in config.entries:
            old = before.get(entry.name)
            if old is not None and old.entry == entry:
                old.agree(config)
                one = old
            else:
                one = Watched(entry, old, config, self._kept.entries.get(entry.name), self._clock, self._room)
                self._writes.put(entry.name, now + _WRITE * one.spread)
            self._watched[entry.name] = one
            self._schedule(one, now)
        for name, old in before.items():
            if self._watched.get(name) is not old:
                old.write()
        self._places.keep(self._watched)
        self.board.keep([entry.name for entry in config.entries])
        self._unseen = {name for name, one in self._watched.items() if not one.slot.was_looked}
        self._all.clear()
        self._outbox.change()

    def _plain(self) -> dict[str, dict[str, Any]]:
        return {name: one.track.to_plain(self._clock) for name, one in self._watched.items()}

    def _close(self) -> None:
        self._manager.stopping()
        self._notifier.stop()
        ended = self._workers.end(5.0)
        for those, result in self._workers.done():
            self._take_result(those, result)
        self._outbox.keep(self._clock.now(), self._plain, at_once=True)
        for one in self._watched.values() if ended else ():
            one.write()
        self._outbox.keep(self._clock.now(), self._plain)
        self._outlets.stop(5.0)
        self._kept.close()


def _moved(watched: Sequence[Watched]) -> frozenset[str]:
    """Return the names of those at which something moved since they were looked at."""
    return frozenset(one.entry.name for one in watched if one.follower.has_moved())

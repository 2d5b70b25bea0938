"""The attacks of the self-test are played on the files of a live log: each is alerted, and none is missed."""

import contextlib
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import tallystick
from tallystick.attacks import ALL, Attack, ImpossibleError, Scene
from tallystick.verify.report import Weight
from tallystick.watch.standing import State
from tests.servers import until
from tests.watch.playing import INTERVAL, Site, Watching

COUNT = int(os.environ.get("TALLYSTICK_WATCHED_ATTACKS", "6"))
ATTACKS = [attack for _, attacks in ALL for attack in attacks]
TOLD = 100  # attacks from which on a percentile says something


class Live:
    """A log that goes on while an intruder changes its file; he takes the moment between two writes."""

    def __init__(self, path: Path) -> None:
        self.site = Site(path)
        self.file = self.site.log("app")
        self.head = path / "store" / "app" / "head"
        self.older_head = b""
        for _ in range(2):
            with tallystick.open("app", output=str(self.file), epoch_lines=20, **self.site.place) as log:
                for number in range(60):
                    log.write(f"user={number} action=login reason=password")
                self.older_head = self.older_head or self.head.read_bytes()
        self.lock, self.is_written = threading.Lock(), False

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Write until the block ends."""
        stop = threading.Event()

        def write() -> None:
            with tallystick.open("app", output=str(self.file), epoch_lines=50, **self.site.place) as log:
                for number in range(10**9):
                    with self.lock:
                        log.write(f"user={number} action=logout reason=timeout")
                    if stop.wait(0.005):
                        return

        thread = threading.Thread(target=write)
        size = self.file.stat().st_size
        thread.start()
        until(lambda: self.file.stat().st_size > size, "the first lines")
        self.is_written = True
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self.is_written = False

    def doctored(self, attack: Attack) -> tuple[bytes, Scene]:
        """Return the file as it is, and what an attack makes of it."""
        with self.lock:
            good, head = self.file.read_bytes(), self.head.read_bytes()
        return good, attack.doctor(Scene(tuple(good.splitlines()), head, older_head=self.older_head))

    @contextlib.contextmanager
    def attacked(self, good: bytes, scene: Scene) -> Iterator[float]:
        """Play an attack until the block ends; give when it was done."""
        head = self.head.read_bytes()
        first, *more = (b"".join(line + b"\n" for line in lines) for lines in scene.files())
        added = [self.file.with_name(f"added.{number}") for number in range(len(more))]
        with self.lock:
            self._replace(good, first)
            for path, data in zip(added, more, strict=True):
                path.write_bytes(data)
            if not self.is_written:
                self._put_head(scene.head)
        try:
            yield time.monotonic()
        finally:
            with self.lock:
                self._replace(first, good)
                for path in added:
                    path.unlink()
                if not self.is_written:
                    self._put_head(head)

    def _replace(self, old: bytes, new: bytes) -> None:
        """Put something else in the place of the beginning of the file."""
        data = self.file.read_bytes()
        assert data.startswith(old)
        with self.file.open("r+b") as file:
            file.write(new + data[len(old) :])
            file.truncate()

    def _put_head(self, text: bytes) -> None:
        if text:
            self.head.touch(0o600)
            self.head.write_bytes(text)
        else:
            self.head.unlink(missing_ok=True)


def chosen() -> list[Attack]:
    """Return attacks, all kinds as often as each other."""
    rng, found = random.Random("attacked"), list[Attack]()
    while len(found) < COUNT:
        found += rng.sample(ATTACKS, len(ATTACKS))
    return found[:COUNT]


def play(live: Live, service: Watching, attack: Attack) -> float | None:
    """Play an attack; return how many seconds later it was alerted, or None if it must be played once more.

    The writer of a live log puts its head right within a second, so those at the head wait until it has ended.
    """
    service.comes_to("app", State.OK)
    until(lambda: not service.events or service.events[-1].after is State.OK, "the end of the alarm")
    count = len(service.events)
    good, scene = live.doctored(attack)
    if live.is_written and scene.head != live.head.read_bytes() and scene.lines == tuple(good.splitlines()):
        return None
    with live.attacked(good, scene) as began:
        until(lambda: len(service.events) > count, f"an alert of: {attack.name}")
        seconds, event = time.monotonic() - began, service.events[count]
        assert event.after in (State.FAILED, State.INCOMPLETE), attack.name
        assert event.finding is not None
        assert event.finding.weight is not Weight.NOTE
    return seconds


@pytest.mark.filterwarnings("ignore:.*was cut from")  # the writer notices that, too
def test_each_attack_on_a_live_log_is_alerted(tmp_path: Path) -> None:
    live, later, times, at_the_head = Live(tmp_path), list[Attack](), list[float](), list[float]()
    with live.writing(), Watching(live.site.config(live.site.entry("app"), stale_after=50)) as service:
        for attack in chosen():
            with contextlib.suppress(ImpossibleError):
                if (seconds := play(live, service, attack)) is None:
                    later.append(attack)
                else:
                    times.append(seconds)
        service.comes_to("app", State.OK)
    with Watching(live.site.config(live.site.entry("app"), stale_after=50)) as service:
        for attack in later:
            at_the_head.append(play(live, service, attack) or 0.0)
    assert len(times) + len(at_the_head) > 0.8 * COUNT
    if COUNT >= TOLD:
        times.sort()
        late = times[int(len(times) * 0.99)]
        print(
            f"{len(times)} attacks on files: alerted after {times[len(times) // 2]:.2f} s (median), {late:.2f} s (p99)"
        )
        print(f"{len(at_the_head)} on the head: {max(at_the_head, default=0.0):.2f} s at most")
        assert late < 3 * (INTERVAL + 1)

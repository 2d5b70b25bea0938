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
        self.lock = threading.Lock()

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
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    @contextlib.contextmanager
    def attacked(self, attack: Attack) -> Iterator[float]:
        """Play an attack until the block ends; give when it was done."""
        with self.lock:
            good, head = self.file.read_bytes(), self.head.read_bytes()
        lines = tuple(good.splitlines())
        scene = attack.doctor(Scene(lines, head, older_head=self.older_head))
        first, *more = (b"".join(line + b"\n" for line in lines) for lines in scene.files())
        added = [self.file.with_name(f"added.{number}") for number in range(len(more))]
        at_the_head = scene.head != head
        self.lock.acquire()
        try:
            self._replace(good, first)
            for path, data in zip(added, more, strict=True):
                path.write_bytes(data)
            current = self.head.read_bytes()
            if at_the_head:  # the writer would put it right
                self._put_head(scene.head)
            else:
                self.lock.release()
            yield time.monotonic()
        finally:
            if not at_the_head:
                self.lock.acquire()
            self._replace(first, good)
            for path in added:
                path.unlink()
            if at_the_head:
                self._put_head(current)
            self.lock.release()

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
    return found


@pytest.mark.filterwarnings("ignore:.*was cut from")  # the writer notices that, too
def test_each_attack_on_a_live_log_is_alerted(tmp_path: Path) -> None:
    live, times, played = Live(tmp_path), list[float](), list[str]()
    with live.writing(), Watching(live.site.config(live.site.entry("app"))) as service:
        for attack in chosen():
            if len(played) == COUNT:
                break
            service.comes_to("app", State.OK)
            until(lambda: not service.events or service.events[-1].after is State.OK, "the end of the alarm")
            count = len(service.events)
            with contextlib.suppress(ImpossibleError), live.attacked(attack) as began:
                until(lambda: len(service.events) > count, f"an alert of: {attack.name}")  # noqa: B023
                times.append(time.monotonic() - began)
                played.append(attack.name)
                event = service.events[count]
                assert event.after in (State.FAILED, State.INCOMPLETE), attack.name
                assert event.finding is not None
                assert event.finding.weight is not Weight.NOTE
        service.comes_to("app", State.OK)
    assert len(played) == COUNT
    if COUNT >= TOLD:
        times.sort()
        late = times[int(len(times) * 0.99)]
        print(f"{COUNT} attacks of {len(set(played))} kinds: alerted after {times[COUNT // 2]:.2f} s, p99 {late:.2f} s")
        assert late < 3 * (INTERVAL + 1)

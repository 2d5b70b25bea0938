"""A day squeezed into seconds raises no false alarm: rotation, retention, kills, a store away, clocks that jump.

`stale` and `silent` come exactly when they are true, and `failed` never. TALLYSTICK_WATCHED_DAY says how many seconds.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.places import COMMAND
from tests.processes import Started
from tests.servers import until
from tests.survival.test_contrib import tool
from tests.watch.playing import Site

SECONDS = float(os.environ.get("TALLYSTICK_WATCHED_DAY", "8"))
SILENCE = 12  # seconds
LATE = 3  # seconds by which it may be reported too late or too early, for a look takes its time

# Writes until it is killed; its arguments are the name of the log, the output, the store, and bytes for a rotation.
PROGRAM = """
import sys, time, tallystick
from tallystick.sinks.rotation import Rotation
name, output, store, size = sys.argv[1:5]
rotation = Rotation(size=int(size), compress="gz", keep=10) if int(size) else None
with tallystick.open(name, output=output, store=store, rotation=rotation, epoch_lines=100) as log:
    for number in range(10**9):
        log.write(f"n={number} user=7 action=transfer amount=100")
        time.sleep(0.005)
"""


# Under faketime every `time.sleep` fails, whatever it is told to leave alone; the module is loaded at the start.
SLEEP = """
import select, time
def sleep(seconds):
    select.select([], [], [], seconds)
time.sleep = sleep
"""


class Kept:
    """A process that is started again when it ends, until it is held back."""

    def __init__(self, start: Callable[[], "subprocess.Popen[bytes]"]) -> None:
        self._start, self._ends, self._held, self._lock = start, threading.Event(), False, threading.Lock()
        self.process = start()
        self._thread = threading.Thread(target=self._keep)
        self._thread.start()

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End the process; another one is started."""
        self.process.send_signal(number)

    def hold(self, held: bool) -> None:
        """Start it no more, or again."""
        with self._lock:
            self._held = held
            if held:
                self.process.kill()

    def end(self) -> None:
        """End it for good."""
        self._ends.set()
        self._thread.join()
        self.process.kill()
        self.process.wait()

    def _keep(self) -> None:
        while not self._ends.wait(0.2):
            with self._lock:
                if self.process.poll() is not None and not self._held:
                    self.process = self._start()


class Day:
    """Two logs, one rotated by its writer and one by logrotate; what watches them; and what was alerted."""

    def __init__(self, path: Path) -> None:
        self.site, self.alerts, self.clock = Site(path), path / "alerts", path / "clock"
        self.alerts.touch()
        self.clock.write_text("+0\n")
        self.out = (path / "out").open("ab")
        (path / "start").mkdir()
        (path / "start" / "sitecustomize.py").write_text(SLEEP)
        self._write_configuration()
        self.writers = {name: self._writer(name, size) for name, size in (("own", 30_000), ("other", 0))}
        self.watcher = Kept(self._watch)
        self.gaps: list[tuple[str, float]] = []  # logs, and seconds for which nothing was written to them
        self._ends = threading.Event()
        self._measuring = threading.Thread(target=self._measure)
        self._measuring.start()

    def _measure(self) -> None:
        last = dict.fromkeys(self.writers, 0)
        while not self._ends.wait(0.1):
            for name, before in last.items():
                if (now := written(self.site.path / name)) > before:
                    self.gaps += [(name, (now - before) / 1e9)] if before else []
                    last[name] = now

    def silences(self, seconds: float) -> int:
        """Return how often nothing was written to a log for longer than this."""
        return sum(gap > seconds for _, gap in self.gaps)

    def _write_configuration(self) -> None:
        path = self.site.path
        # Looks that take long on a machine on which much else runs are no trouble before that.
        lines = ['state = "watch"', 'interval = "500ms"', "stale_after = 20", "[[alerts.command]]"]
        lines += [f'arguments = ["/bin/sh", "-c", "cat >> {self.alerts}"]']
        for name in ("own", "other"):
            self.site.log(name)
            lines += ["[[log]]", f'name = "{name}"', f'paths = ["{name}"]', f'keys = ["{name}.key"]']
            lines += [f'store = "file:{path}/store"', f'silence = "{SILENCE}s"']
        (path / "watch.toml").write_text("\n".join(lines))
        (path / "logrotate").write_text(f"{path}/other/app.log {{\n rotate 4\n compress\n nocreate\n missingok\n}}\n")

    def _writer(self, name: str, size: int) -> Kept:
        arguments = [name, f"{self.site.path}/{name}/app.log", f"file:{self.site.path}/store", str(size)]
        return Kept(lambda: Started([sys.executable, "-c", PROGRAM, *arguments], stderr=self.out))

    def _watch(self) -> "subprocess.Popen[bytes]":
        (library,) = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
        clock = {"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(self.clock), "FAKETIME_NO_CACHE": "1"}
        clock |= {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}
        clock |= {
            "PYTHONPATH": os.pathsep.join(filter(None, [f"{self.site.path}/start", os.environ.get("PYTHONPATH")]))
        }
        command = [COMMAND, "watch", "--config", f"{self.site.path}/watch.toml"]
        return Started(command, stdout=self.out, stderr=self.out, env=os.environ | clock)

    def events(self) -> list[tuple[str, str]]:
        """Return entry and new state of each alert, in their order; one that is delivered again is the same."""
        lines = self.alerts.read_bytes().splitlines(True)
        found = {one["id"]: one for one in (json.loads(line) for line in lines if line.endswith(b"\n"))}
        return [(one["entry"], one["after"]) for one in found.values()]

    def kill_writer(self, name: str) -> None:
        """Kill a writer, and wait for its next lines: so it is never silent for long."""
        directory = self.site.path / name
        self.writers[name].kill()
        self.writers[name].process.wait()
        began = written(directory)
        until(lambda: written(directory) > began, "the next lines")

    def rotate(self) -> None:
        """Let logrotate rotate one of the logs."""
        path = self.site.path
        command = [tool("logrotate"), "-f", "-s", f"{path}/rotated", f"{path}/logrotate"]
        subprocess.run(command, check=False, capture_output=True)

    def until_alerted(self, count: int, *wanted: tuple[str, str]) -> None:
        """Wait until these alerts have come, after so many."""
        until(lambda: set(wanted) <= set(self.events()[count:]), f"{wanted}")

    def end(self) -> None:
        """End all."""
        self._ends.set()
        self._measuring.join()
        for one in (*self.writers.values(), self.watcher):
            one.end()
        self.out.close()


def written(directory: Path) -> int:
    """Return when a log was written last, ns since 1970."""
    times = [0]
    for path in directory.glob("app.log*"):
        with contextlib.suppress(FileNotFoundError):
            times.append(path.stat().st_mtime_ns)
    return max(times)


def has_standings(day: Day) -> bool:
    """Were both logs looked at?"""
    try:
        entries = json.loads((day.site.path / "watch" / "standings").read_bytes())["entries"]
    except FileNotFoundError:
        return False
    return all(one["verdict"] is not None for one in entries.values())


def away(day: Day) -> None:
    """Take the key store away until that is alerted."""
    count = len(day.events())
    (day.site.path / "store").rename(day.site.path / "away")
    day.until_alerted(count, ("own", "stale"), ("other", "stale"))
    count = len(day.events())
    (day.site.path / "away").rename(day.site.path / "store")
    until(lambda: {name for name, state in day.events()[count:] if state != "stale"} >= {"own", "other"}, "the end")


def silence(day: Day) -> None:
    """Hold a writer until that is alerted."""
    count = len(day.events())
    day.writers["other"].hold(True)
    day.until_alerted(count, ("other", "silent"))
    day.writers["other"].hold(False)
    until(lambda: any(one == "other" and state != "silent" for one, state in day.events()[count:]), "its end")


def jump(day: Day) -> None:
    """Let the watcher's clock jump."""
    new = day.clock.with_name("new")
    new.write_text(random.choice(["+0", "+1h", "-1h", "+2d", "-90s"]) + "\n")
    new.rename(day.clock)


@pytest.mark.timeout(300 + 2 * SECONDS)
@pytest.mark.skipif(not list(Path("/usr/lib").glob("*/faketime")), reason="faketime is not here")
def test_a_day_brings_no_false_alarm(tmp_path: Path) -> None:
    day, rng = Day(tmp_path), random.Random("day")
    small: list[Callable[[Day], None]] = [
        lambda day: day.kill_writer("own"),
        lambda day: day.kill_writer("other"),
        lambda day: day.watcher.kill(),
        lambda day: day.watcher.kill(signal.SIGTERM),
        Day.rotate,
        Day.rotate,
        jump,
    ]
    try:
        until(lambda: has_standings(day), "the first looks")
        troubles = [away, silence] * max(1, int(SECONDS / 120))
        began, done = time.monotonic(), list[str]()
        while time.monotonic() - began < SECONDS or troubles:
            if troubles and (time.monotonic() - began) * 2 > SECONDS:
                trouble = troubles.pop()
                trouble(day)
                done.append(trouble.__name__)
            rng.choice(small)(day)
            time.sleep(rng.uniform(0.3, 1.5))
        events = day.events()
    finally:
        day.end()
    assert [one for one in events if one[1] == "failed"] == []
    assert sum(state == "stale" for _, state in events) == 2 * done.count("away"), events
    # A machine on which much else runs is slow to start a writer again: that is silence, too.
    silent = sum(state == "silent" for _, state in events)
    assert day.silences(SILENCE + LATE) <= silent <= day.silences(SILENCE - LATE), (events, sorted(day.gaps)[-20:])
    assert silent >= done.count("silence")
    assert b"Traceback" not in (tmp_path / "out").read_bytes().partition(b"tallystick watch")[0]

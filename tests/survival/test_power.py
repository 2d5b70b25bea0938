"""Power that fails under a writer: the disk has what the system had written to it, and nothing else."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.log.test_log import Place
from tests.processes import Started
from tests.survival.remains import Remains
from tests.survival.test_contrib import tool
from tests.survival.test_crashes import KILLS, ROOT, SEED
from tests.survival.writing import until

CUTS = max(6, KILLS // 50)
DURABILITY = ["flush", "sync", "sync-each"]  # in turn

# A program that logs as fast as it can, rotates and compresses, and notes outside the disk for how many lines `write`
# has returned.
PROGRAM = """
import itertools, os, sys, time, tallystick
from tests.survival.remains import entry
output, store, durability, run = *sys.argv[1:4], int(sys.argv[4])
rotation = tallystick.Rotation(size=40_000, compress="gz")
with tallystick.open(
    "payments", output=output, store=store, durability=durability, rotation=rotation, epoch_lines=100
) as log:
    for number in itertools.count():
        log.write(entry(run, number, time.monotonic_ns() // 1_000_000))
        os.pwrite(1, b"%d" % (number + 1), 0)
        time.sleep(0.0005)
"""


class Disk:
    """A file system in a file; the system writes nothing to it by itself, so all that lasts is what was synced."""

    def __init__(self, directory):
        self.place, self._image = directory / "disk", directory / "image"
        self.place.mkdir()
        with open(self._image, "wb") as image:
            image.truncate(32 * 2**20)
        subprocess.run([tool("mkfs.ext4"), "-q", self._image], check=True)

    def mount(self):
        mounting = ["mount", "-o", "loop,noatime,commit=300", self._image, self.place]
        return subprocess.run(mounting, capture_output=True, check=False).returncode == 0

    def unmount(self):
        subprocess.run(["umount", self.place], check=True)

    def cut_power(self, process):
        """Keep the disk as it is between two calls of a process and its courier, which are no more then."""
        process.send_signal(signal.SIGSTOP)
        until(lambda: _is_all_stopped(process.pid))
        children = _children(process.pid)
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGSTOP)
                until(lambda: _is_all_stopped(child))  # noqa: B023
        self._keep()
        process.kill()
        process.wait()
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        until(lambda: not any(Path(f"/proc/{child}").exists() for child in children))
        self._go_back()

    def lose(self):
        """Lose what was not synced, while nobody writes."""
        self._keep()
        self._go_back()

    def _keep(self):
        shutil.copyfile(self._image, f"{self._image}.kept")

    def _go_back(self):
        self.unmount()
        os.replace(f"{self._image}.kept", self._image)
        assert self.mount()


def now():
    return time.monotonic_ns() // 1_000_000


def _is_all_stopped(pid):
    try:
        return all(_state(task) in "TZX" for task in Path(f"/proc/{pid}/task").iterdir())
    except FileNotFoundError:
        return True


def _state(task):
    return (task / "stat").read_text().rpartition(") ")[2][0]


def _children(pid):
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


@pytest.fixture
def disk(tmp_path):
    made = Disk(tmp_path)
    if not made.mount():
        pytest.skip("nothing can be mounted here")
    yield made
    made.unmount()


def test_power_that_fails_at_any_instant_leaves_one_log_that_verifies(disk, tmp_path):
    print(f"TALLYSTICK_SEED={SEED} plays the same instants again")
    place, rng, runs = Place(disk.place), random.Random(SEED), []
    os.sync()
    for run in range(CUTS):
        with open(tmp_path / "noted", "w+b") as note:
            arguments = [place.output, place.store, DURABILITY[run % 3], str(run)]
            writer = Started([sys.executable, "-c", PROGRAM, *arguments], cwd=ROOT, stdout=note)
            until(lambda: os.fstat(note.fileno()).st_size or writer.poll() is not None)  # noqa: B023
            assert writer.poll() is None, "it cannot go on"
            began = now()
            time.sleep(rng.uniform(0.0, 1.2))
            cut = now()
            disk.cut_power(writer)
            runs.append((began, cut, int(os.pread(note.fileno(), 20, 0))))
    with place.open() as log:
        log.write("after")

    found = Remains.of([place.output, *disk.place.glob("audit.log.*")])
    found.assert_nothing_twice()
    found.assert_verifies(place.key, place.store)
    lost = [cut - found.newest.get(run, began) for run, (began, cut, _) in enumerate(runs)]
    here = [len(found.runs.get(run, [])) for run in range(CUTS)]
    print(f"{[noted for _, _, noted in runs]} lines written, {here} are there, {lost} ms lost")
    for run, (_, _, noted) in enumerate(runs):
        numbers = found.runs.get(run, [])
        assert sorted(numbers) == list(range(len(numbers))), f"run {run} has holes"
        if DURABILITY[run % 3] == "sync-each":
            assert len(numbers) >= noted, f"run {run} lost lines for which write had returned"
    # A head follows within 1 s, and what it counts is on the disk; the rest is for machines with other work.
    assert max(lost) < 2000

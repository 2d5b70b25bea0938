"""Custody by a master key in a file, killed at each call that changes a file, and with the power cut there."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tallystick.custody import MasterKey
from tallystick.errors import CustodyError
from tests.custody.interrupted import state_in
from tests.custody.keys import text_of
from tests.custody.suite import OWNER
from tests.processes import Started
from tests.survival.conftest import preload, shims
from tests.survival.test_power import Disk

__all__ = ["preload", "shims"]

ROOT = Path(__file__).parents[2]


class Killed:
    """Starts tests/custody/interrupted.py, and notes every wrapped key that it ever made."""

    def __init__(self, directory, faults, env):
        self.directory, self.keys = directory, {}
        self._process = Started(
            [sys.executable, "-m", "tests.custody.interrupted", directory, faults],
            cwd=ROOT, env=os.environ | env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def begin(self):
        """A new directory with a new master key."""
        for each in self.directory.iterdir():
            if each.is_file():
                each.unlink()
        self.keys.clear()
        self.custody = MasterKey.create(self.directory / "master.key")

    def do(self, what, number=10**6):
        """Have it do something until a call; tell whether it was killed there."""
        print(what, number, file=self._process.stdin, flush=True)
        for line in self._process.stdout:
            kind, *more = line.split()
            if kind == "end":
                assert int(more[0]) in (0, -signal.SIGKILL)
                return int(more[0]) != 0
            self.keys[bytes.fromhex(more[1])] = more[0]
        raise AssertionError("it has ended")

    def opens(self):
        """Return what still opens of all that was ever wrapped."""
        found = []
        for wrapped, key in self.keys.items():
            try:
                opened = self.custody.unwrap(wrapped, OWNER)
            except CustodyError:
                continue
            assert text_of(opened).decode().strip() == key
            found.append(wrapped)
        return found

    def end(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@pytest.fixture(params=["kill", "power"])
def killed(request, tmp_path, preload):
    """Give it, and what happens right after a kill."""
    disk = None
    if request.param == "power":
        disk = Disk(tmp_path)
        if not disk.mount():
            pytest.skip("nothing can be mounted here")
    directory = (disk.place if disk else tmp_path) / "log"
    directory.mkdir()
    (tmp_path / "faults").touch()
    one = Killed(directory, tmp_path / "faults", preload("faults", FAULTS=tmp_path / "faults"))
    one.before, one.after = (os.sync, disk.lose) if disk else (lambda: None, lambda: None)
    yield one
    one.end()
    if disk:
        disk.unmount()


def calls(killed, what, prepare):
    """Do something again and again, killed at its first call, then at its second, until it is through."""
    number, through = 0, False
    while not through:
        killed.begin()
        prepare()
        killed.before()
        through = not killed.do(what, number)
        killed.after()
        yield
        number += 1
    print(f"{number - 1} calls of {what}")
    assert number > 4


def test_at_any_call_of_an_opening_the_log_goes_on_and_its_past_is_gone(killed):
    def prepare():
        killed.do("set_up")
        killed.do("open")

    for _ in calls(killed, "open", prepare):
        assert state_in(killed.directory) in killed.opens()
        killed.do("open")
        assert killed.opens() == [state_in(killed.directory)]


def test_at_any_call_of_two_attempts_the_log_goes_on(killed):
    """What the first left is there when the second is killed."""
    number = [0]

    def prepare():
        killed.do("set_up")
        killed.do("open", number[0])
        number[0] += 1

    for _ in calls(killed, "open", prepare):
        assert state_in(killed.directory) in killed.opens()
        killed.do("open")
        assert killed.opens() == [state_in(killed.directory)]


def test_at_any_call_of_set_up_it_can_be_done_again(killed):
    for _ in calls(killed, "set_up", lambda: None):
        state = state_in(killed.directory)
        assert state is None or state in killed.opens()
        killed.do("set_up")
        killed.do("open")
        assert killed.opens() == [state_in(killed.directory)]


def test_at_any_call_of_the_end_nothing_opens_once_it_is_done_again(killed):
    def prepare():
        killed.do("set_up")
        killed.do("open", 4)  # leaves an attempt
        assert len(killed.opens()) == 2

    for _ in calls(killed, "end", prepare):
        killed.do("end")
        assert killed.opens() == []
        assert not list(killed.directory.glob("master.key.*"))

"""Many processes, one log: each line is there once and in the order of its process, whatever is killed or full.

Each line is acknowledged. `make torture` sends 100,000 lines of each process, kills 20 times, and has no room for 10 s.
"""

import contextlib
import os
import random
import shutil
import sys
import time
from collections import defaultdict
from pathlib import Path

from tests.agent.client import Agent, entries
from tests.places import Site, mounted
from tests.processes import Started

ROOT = Path(__file__).resolve().parents[2]
PROCESSES = 8
LINES = int(os.environ.get("TALLYSTICK_AGENT_LINES", "2500"))
KILLS = int(os.environ.get("TALLYSTICK_AGENT_KILLS", "6"))
FULL = float(os.environ.get("TALLYSTICK_AGENT_FULL", "0.5"))  # seconds without room
LIMIT = 120 + LINES / 50  # seconds for all of them


class Crowd:
    """Clients as processes of their own."""

    def __init__(self, site, agent):
        self.site, self.agent = site, agent
        self.running = [self.start(number) for number in range(PROCESSES)]

    def start(self, number):
        words = (self.agent.path, f"p{number}", str(LINES), str(self.site.path / f"p{number}.id"))
        return Started([sys.executable, "-m", "tests.agent.worker", *words], cwd=ROOT)

    def kill_one(self, chance):
        number = chance.randrange(PROCESSES)
        self.running[number].kill()
        self.running[number].wait()
        self.running[number] = self.start(number)

    def wait(self):
        until = time.monotonic() + LIMIT
        assert [each.wait(until - time.monotonic()) for each in self.running] == [0] * PROCESSES

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for each in self.running:
            each.kill()
            each.wait()

    def assert_each_line_is_there_once(self):
        found = defaultdict(list)
        for entry in entries(self.site):
            name, number = entry.split()
            found[name].append(int(number))
        assert sorted(found) == [b"p%d" % number for number in range(PROCESSES)]
        for numbers in found.values():
            assert numbers == list(range(1, LINES + 1))


def test_each_line_of_eight_processes_is_there_once_and_in_order(site, agents):
    with Crowd(site, agents().listening()) as crowd:
        crowd.wait()
        crowd.agent.end()
        crowd.assert_each_line_is_there_once()
    assert site.verdict() == ("ok", [])


def test_agent_and_clients_are_killed_at_random_and_each_line_is_there_once(site):
    chance = random.Random(7)
    agent = Agent(site).listening()
    try:
        with Crowd(site, agent) as crowd:
            whole = LINES * PROCESSES * len(b"p1 2000 tally=aaaaaaaa.2.1.30.1000.0123456789012345678901\n")
            moments = sorted(chance.uniform(0, 0.8) * whole for _ in range(KILLS))
            for number, moment in enumerate(moments):
                agent.until(lambda: size(site) >= moment, seconds=600)  # noqa: B023
                if number % 2:
                    crowd.kill_one(chance)
                else:
                    agent.kill()
                    crowd.agent = agent = Agent(site).listening()
            crowd.wait()
            agent.end()
            crowd.assert_each_line_is_there_once()
    finally:
        agent.kill()
    verdict, kinds = site.verdict()
    assert (verdict, set(kinds) <= {"unclean end", "torn line"}) == ("ok", True), kinds


def size(site):
    """Bytes of the log."""
    path = site.path / "audit.log"
    return path.stat().st_size if path.exists() else 0


def test_while_the_disk_is_full_clients_wait_and_then_each_line_is_there_once(tmp_path):
    with mounted(tmp_path / "disk", size=f"{LINES * PROCESSES // 2000 + 8}m") as place:
        site = Site(place)
        site.init()
        agent = Agent(site).listening()
        try:
            fill(place / "filler", leave=200_000)
            with Crowd(site, agent) as crowd:
                agent.until(lambda: shutil.disk_usage(place).free < 10_000, seconds=100)
                time.sleep(FULL)
                assert not any(each.poll() == 0 for each in crowd.running)
                os.unlink(place / "filler")
                crowd.wait()
                said = agent.end()
                crowd.assert_each_line_is_there_once()
            assert "no space left on device" in said
            assert site.verdict() == ("ok", [])
        finally:
            agent.kill()


def fill(path, leave):
    """Take all room but so many bytes."""
    with contextlib.suppress(OSError), open(path, "ab", buffering=0) as file:
        while shutil.disk_usage(path.parent).free > leave and file.write(bytes(4096)):
            pass

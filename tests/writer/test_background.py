"""What a writer does that nobody asks for, one round at a time."""

import threading
import time
from types import SimpleNamespace

import pytest

from tallystick.errors import KeyStoreError, LeaseLostError, OutputError, SealError, explain
from tallystick.writer.background import Background
from tallystick.writer.head import LeaseInUseError
from tallystick.writer.phase import Phase
from tallystick.writer.turn import Turn
from tests.writer.fakes import Lease


class Round:
    """The background of a writer whose parts do what a test says; the thread is not started."""

    def __init__(self):
        self.done, self.reported, self.fails, self.written = [], [], {}, 0
        self.heads = SimpleNamespace(dirty=False, trouble=None, age=0.0, gathered=0.0, is_storing=False)
        self.clock = SimpleNamespace(epoch=(1, 0), due_in=lambda: self.due)
        self.outlet = SimpleNamespace(
            trouble=None, due_in=lambda: None, dropped=SimpleNamespace(total=0), sink=SimpleNamespace(sync=None)
        )
        self.due = None
        self.phase = Phase("payments")
        self.parts = parts = SimpleNamespace(
            lease=Lease(), turn=Turn(threading.RLock(), lambda: True), phase=self.phase, heads=self.heads,
            clock=self.clock, outlet=self.outlet, late=SimpleNamespace(promised=1.0),
            chains=SimpleNamespace(fetch_early=self.act("fetch"), is_carrying=False),
            status=SimpleNamespace(write=self.write), forks=SimpleNamespace(due_in=lambda: None),
            witnesses=SimpleNamespace(due_in=lambda: None),
        )  # fmt: skip
        steps = SimpleNamespace(
            tend=self.act("tend"), count=self.act("count"), store=self.act("store"), stop=self.phase.stop
        )
        self.background = Background(parts, steps, lambda step: step(), self.reported.append)

    def act(self, what):
        def act(*_):
            if error := self.fails.get(what):
                raise error
            self.done.append(what)

        return act

    def write(self):
        self.written += 1


@pytest.fixture
def background():
    return Round()


def test_time_lines_and_the_next_chain_are_seen_to_in_this_order(background):
    background.due, background.heads.dirty = 0.0, True
    background.background.round()
    assert background.done == ["tend", "count", "store", "fetch"]


def test_what_is_not_due_is_left_alone(background):
    background.due = 3.0
    background.background.round()
    assert background.done == ["fetch"]


def test_a_store_that_is_away_is_reported_once_and_tried_again(background):
    background.heads.dirty = True
    background.fails["store"] = KeyStoreError("away")
    for _ in range(3):
        background.background.round()
    assert background.reported == ["away"]
    assert background.phase.is_open
    background.fails.clear()
    background.background.round()
    assert background.heads.trouble is None
    assert background.done[-2:] == ["store", "fetch"]


def test_trouble_that_writers_know_is_not_reported_again(background):
    background.heads.dirty = True
    background.outlet.trouble = "no room"
    background.fails["count"] = OutputError("no room")
    background.background.round()
    assert background.reported == []


@pytest.mark.parametrize("error", [LeaseLostError("taken over"), SealError("the disk failed")])
def test_what_is_never_over_stops_the_log_and_is_reported(background, error):
    background.heads.dirty = True
    background.fails["store"] = error
    background.background.round()
    assert background.reported == [f"{error}; log payments was stopped"]
    assert background.phase.reason == explain(error)


def test_a_log_that_is_being_closed_has_nothing_to_report(background):
    background.heads.dirty = True
    background.phase.begin_closing()
    for error in (SealError("log payments is closed"), KeyStoreError("away")):
        background.fails["store"] = error
        background.background.round()
    assert background.reported == []


def late(background, age=0.9):
    """A head is late, and the background thread does not run."""
    background.heads.dirty, background.heads.age = True, age
    background.background.catch_up()
    return background.done


def test_a_thread_that_writes_stores_a_late_head_itself(background):
    assert late(background) == ["count", "store"]


def test_it_leaves_a_head_that_is_in_time_to_the_background_thread(background):
    assert late(background, 0.7) == []


@pytest.mark.parametrize("part", ["heads", "outlet"])
def test_it_does_not_wait_for_a_store_or_an_output_whose_trouble_is_known(background, part):
    getattr(background, part).trouble = "away"
    assert late(background) == []


def test_it_does_not_wait_for_the_next_chain_that_is_fetched(background):
    background.parts.chains.is_carrying = True
    assert late(background) == []


def test_it_gives_way_to_a_head_that_is_being_stored_and_not_at_every_line(background):
    background.heads.is_storing = True
    began = time.monotonic()
    assert late(background) == []
    gave = time.monotonic() - began
    assert gave > 0.05
    began = time.process_time()
    for _ in range(1000):
        late(background)
        if background.done:
            break
    assert background.done == []
    assert time.process_time() - began < 1


def test_a_lease_that_another_thread_uses_is_no_trouble(background):
    background.fails["store"] = LeaseInUseError("busy")
    late(background)
    assert (background.reported, background.heads.trouble, background.written) == ([], None, 0)

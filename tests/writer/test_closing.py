"""A log is closed in bounded time, and gives back what it holds."""

import threading
from types import SimpleNamespace

import pytest

from tallystick.errors import SealError
from tallystick.writer import closing
from tallystick.writer.closing import Closing
from tallystick.writer.phase import Phase
from tallystick.writer.turn import Turn


class Made:
    """A closing whose other parts do nothing but note what is asked of them."""

    def __init__(self, monkeypatch):
        monkeypatch.setattr(closing, "PATIENCE", 0.1)
        monkeypatch.setattr(closing, "COURIER", 0.05)
        monkeypatch.setattr(closing, "MOMENT", 0.1)
        self.done = []
        self.turn, self.phase = Turn(threading.RLock(), lambda: False), Phase("payments")
        self.background = SimpleNamespace(wake=lambda: None, is_over=True, thread=None)
        outlet = SimpleNamespace(
            give_up=lambda at: None, output=SimpleNamespace(pending=0),
            sink=SimpleNamespace(name="the sink", close=self.act("sink"), drain=lambda within: None),
        )  # fmt: skip
        chains = self.chains = SimpleNamespace(hurry=lambda until: None, abandon=self.act("abandon"), is_carrying=False)
        parts = SimpleNamespace(
            lease=SimpleNamespace(name="payments", release=self.act("lease")), turn=self.turn, phase=self.phase,
            outlet=outlet, chains=chains,
            status=SimpleNamespace(note=SimpleNamespace(closed=lambda well: None), write=lambda: None),
            forks=SimpleNamespace(begin_closing=lambda: None, let_go=self.act("let go")), witnesses=None,
        )  # fmt: skip
        self.steps = SimpleNamespace(
            last_lines=self.act("last lines"), count=lambda: None, store=self.act("head"),
            sealer=SimpleNamespace(erase=self.act("erase")),
        )  # fmt: skip
        self.closing = Closing(parts, self.steps, self.background)

    def act(self, what):
        return lambda *_, **__: self.done.append(what)

    def close(self):
        self.closing.close(ended=False)


@pytest.fixture
def made(monkeypatch):
    return Made(monkeypatch)


ALL = ["last lines", "head", "erase", "sink", "lease", "let go"]


def test_keys_are_erased_and_output_and_lease_given_back_once(made):
    made.close()
    made.close()
    assert made.done == ALL


def test_keys_are_erased_and_all_is_given_back_where_the_last_lines_cannot_be_written(made):
    def fails(*, ended):
        raise SealError("no room")

    made.steps.last_lines = fails
    with pytest.raises(SealError, match="no room"):
        made.close()
    assert made.done == ["erase", "sink", "lease", "let go"]
    assert made.phase.is_closed


def test_in_the_middle_of_a_step_the_log_is_closed_after_it(made):
    def step():
        made.close()
        made.done.append("step")

    made.turn.take(step)
    made.closing.follow_up()
    assert made.done == ["step", *ALL]


def test_a_thread_that_hangs_in_a_line_is_not_waited_for(made):
    hanging, going = threading.Event(), threading.Event()

    def hang():
        hanging.set()
        going.wait(10)

    other = threading.Thread(target=lambda: made.turn.take(hang))
    other.start()
    hanging.wait(10)
    with pytest.raises(SealError, match="another thread is in the middle of a line, which the sink does not take"):
        made.close()
    going.set()
    other.join()
    assert set(made.done) == {"abandon"}


def test_what_a_background_thread_still_uses_is_not_given_back(made):
    made.background.is_over = False
    made.close()
    made.background.is_over = True
    made.close()
    assert made.done == ALL[:3]


def test_a_courier_that_does_not_answer_is_abandoned(made):
    made.chains.is_carrying = True
    made.close()
    assert made.done == ["abandon", *ALL]


def test_of_two_that_close_one_waits_for_the_other(made):
    closing, going = threading.Event(), threading.Event()

    def slow(*, ended):
        closing.set()
        made.turn.wait_for(going.is_set, 10)

    made.steps.last_lines = slow
    first = threading.Thread(target=made.close)
    first.start()
    closing.wait(10)
    threading.Timer(0.05, going.set).start()
    made.close()
    assert made.phase.is_closed
    first.join()
    assert sorted(made.done) == sorted(ALL[1:])

"""One step at a time, and nobody waits while holding the turn."""

import sys
import threading
from collections import deque
from functools import partial

import pytest

from tallystick.writer import turn as turn_module
from tallystick.writer.turn import Turn


@pytest.fixture
def turn():
    return Turn(threading.RLock(), lambda: True)


def is_free(turn):
    """Can another thread have the turn now?"""
    got = []

    def ask():
        got.append(turn.hold(0))
        if got[0]:
            turn.lock.release()

    other = threading.Thread(target=ask)
    other.start()
    other.join()
    return got[0]


def test_steps_of_a_handler_follow_in_their_order(turn):
    said = []

    def step():
        turn.take(lambda: said.append("first"))
        turn.take(lambda: said.append("second"))
        said.append("step")

    turn.take(step)
    assert said == ["step", "first", "second"]


def test_a_step_that_a_handler_asks_for_while_others_are_synced_is_taken_and_synced_too(turn):
    said = []

    def sync():
        if "handler" not in said:
            turn.take(lambda: said.append("handler"))
        said.append("sync")

    turn.take(lambda: said.append("step"), sync)
    assert said == ["step", "sync", "handler", "sync"]


def test_a_step_that_fails_is_raised_after_those_that_follow_it(turn):
    said = []

    def step():
        turn.take(lambda: said.append("handler"))
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        turn.take(step)
    assert said == ["handler"]
    assert not turn.is_ours


def test_what_is_no_error_cancels_the_steps_that_follow(turn):
    said = []

    def step():
        turn.take(lambda: said.append("handler"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        turn.take(step)
    turn.take(lambda: said.append("later"))
    assert said == ["later"]


def test_nothing_is_fast_in_the_middle_of_a_step_and_what_is_idle_is_fast_after_it(turn):
    seen = []
    turn.take(lambda: None)
    turn.take(lambda: seen.append(turn.fast))
    assert (seen, turn.fast) == ([False], True)


@pytest.mark.parametrize("depth", [1, 3])
def test_a_pause_lets_go_of_the_turn_however_often_it_was_taken(turn, depth):
    free = []

    def step(left):
        if left:
            with turn.lock:
                step(left - 1)
            return
        watching = threading.Thread(target=lambda: free.append(turn.hold(5) and (turn.lock.release() or True)))
        watching.start()
        turn.pause(5)
        watching.join()

    def let_on():
        while not free:
            pass
        with turn.lock:
            turn.wake()

    waking = threading.Thread(target=let_on)
    waking.start()
    turn.take(lambda: step(depth))
    waking.join()
    assert free == [True]


def test_it_is_known_how_many_pause(turn):
    seen = []
    paused = threading.Thread(target=lambda: turn.take(lambda: turn.pause(10)))
    paused.start()
    assert turn.wait_for(lambda: turn.pausing == 1, 5)
    turn.take(lambda: seen.append(turn.pausing))
    with turn.lock:
        turn.wake()
    paused.join()
    assert (seen, turn.pausing) == ([1], 0)


def test_the_end_of_one_pause_does_not_end_another(turn):
    long = threading.Thread(target=lambda: turn.take(lambda: turn.pause(10)))
    long.start()
    assert turn.wait_for(lambda: turn.pausing == 1, 5)
    turn.take(lambda: turn.pause(0.01))
    assert not turn.wait_for(lambda: turn.pausing == 0, 0.1)
    with turn.lock:
        turn.wake()
    long.join()


def test_waiting_for_something_lets_go_of_the_turn_and_ends_in_time(turn):
    with turn.lock:
        assert turn.wait_for(lambda: is_free(turn) or True, 1)
        assert not turn.wait_for(lambda: False, 0.01)
    assert is_free(turn)


def test_a_turn_that_somebody_keeps_is_not_waited_for_any_longer(turn):
    with turn.lock:
        assert not is_free(turn)


def test_a_child_begins_with_a_turn_that_is_free(turn):
    turn.lock.acquire()
    turn.renew()
    assert is_free(turn)
    assert not turn.is_ours


class Interrupt(BaseException):
    """What a signal handler raises."""


def interrupted(turn, instant):
    """Take a step, with an error of a signal handler at an instant of it; return False if it was over before that."""

    def profile(frame, event, _):
        nonlocal instant
        # Python runs handlers when a call has come back, and when a function begins.
        files = {frame.f_code.co_filename, frame.f_back.f_code.co_filename}
        if event in ("c_return", "call") and turn_module.__file__ in files:
            instant -= 1
            if instant < 0:
                raise Interrupt

    sys.setprofile(profile)
    try:
        turn.take(lambda: None, lambda: None)
    except Interrupt:
        return True
    finally:
        sys.setprofile(None)
    return False


def test_an_error_of_a_signal_handler_at_any_instant_leaves_the_turn_to_later_steps(monkeypatch):
    monkeypatch.setattr(turn_module, "deque", lambda *given: deque(*given))  # a call of a type is no event
    instant, said = 0, []
    turn = Turn(threading.RLock(), lambda: True)
    while interrupted(turn, instant):
        assert not turn.is_ours, instant
        turn.take(partial(said.append, instant))
        other = threading.Thread(target=turn.take, args=(partial(said.append, instant),))
        other.start()
        other.join(10)
        assert said[-2:] == [instant] * 2
        instant += 1
    assert instant > 3

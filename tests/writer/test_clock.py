"""When an epoch is over, and when a sign of life is due."""

import pytest

from tallystick.writer.clock import EpochClock
from tests.writer.fakes import Clock


@pytest.fixture
def time():
    return Clock()


def test_an_epoch_without_lines_has_no_age(time):
    clock = EpochClock(60.0, None, time)
    clock.opened(1)
    time.time += 1000
    assert (clock.due_in(), clock.is_over, clock.is_running) == (None, False, False)


def test_the_age_counts_from_the_first_line_of_the_epoch(time):
    clock = EpochClock(60.0, None, time)
    clock.opened(1)
    time.time += 1000
    clock.note((1, 0, 1), closed=False)
    time.time += 30
    clock.note((1, 0, 2), closed=False)
    assert clock.due_in() == 30.0
    time.time += 30
    assert clock.is_over


def test_each_statement_is_noted_once_and_begins_a_new_age(time):
    clock = EpochClock(60.0, None, time)
    clock.opened(1)
    noted = [clock.note((1, epoch, index), closed=False) for epoch, index in ((0, 1), (0, 2), (1, 0), (1, 1))]
    assert noted == [False, False, True, False]
    assert clock.due_in() == 60.0


def test_a_chain_that_is_closed_has_no_age(time):
    clock = EpochClock(60.0, None, time)
    clock.opened(1)
    clock.note((1, 0, 5), closed=False)
    assert clock.note((1, 0, 6), closed=True)
    assert (clock.due_in(), clock.is_running) == (None, False)


def test_a_sign_of_life_is_due_even_without_lines_and_after_any_statement_again(time):
    clock = EpochClock(60.0, 10.0, time)
    clock.opened(1)
    time.time += 10
    assert clock.is_over
    clock.note((1, 1, 0), closed=False)
    assert clock.due_in() == 10.0


def test_what_comes_first_is_due_first(time):
    clock = EpochClock(5.0, 10.0, time)
    clock.opened(1)
    clock.note((1, 0, 1), closed=False)
    assert clock.due_in() == 5.0

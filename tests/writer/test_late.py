"""Heads that come late are counted and reported, and reports do not cause reports."""

import pytest

from tallystick.sinks import CallSink
from tallystick.writer.late import LateHeads, promised
from tests.writer.fakes import Clock, File


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def late(clock):
    return LateHeads(1.0, clock)


def test_a_head_in_time_is_not_worth_a_word(late):
    late.stored(1.0, None)
    assert (late.report(), late.report(last=True), late.note()) == (None, None, None)


def test_a_late_head_is_reported_once_with_its_reason(late):
    late.stored(3.0, "no\nroom")
    assert late.report() == (
        "no head counted new lines for 3.0 s, from 1970-01-01T00:01:37Z to 1970-01-01T00:01:40Z: no room"
    )
    assert (late.report(), late.report(last=True)) == (None, None)


def test_what_follows_within_a_minute_is_put_together(late, clock):
    late.stored(3.0, "first")
    late.report()
    for age in (2.0, 5.0):
        clock.time += 10
        late.stored(age, "slow")
        assert late.report() is None
    clock.time += 60
    assert late.report() == (
        "no head counted new lines for up to 5.0 s 2 times, from 1970-01-01T00:01:48Z to 1970-01-01T00:02:00Z: slow"
    )


def test_the_end_reports_what_is_left_and_its_own_head_is_not_counted_again(late, clock):
    late.stored(3.0, "first")
    late.report()
    late.stored(2.0, "second")
    assert "2.0 s" in late.report(last=True)
    late.stored(2.1, None)
    assert (late.report(last=True), late.note()["count"]) == (None, 2)


@pytest.mark.parametrize("jump", [-10_000.0, 10_000.0])
def test_a_clock_that_jumps_silences_nothing(late, clock, jump):
    late.stored(3.0, "first")
    late.report()
    clock.time += jump
    late.stored(2.0, "second")
    assert "second" in late.report()


def test_a_head_follows_a_line_in_a_pipe_one_interval_later():
    assert (promised(File()), promised(CallSink(print))) == (1.0, 1.5)

"""A clock that jumps by a day under a writer: it measures time by another one, and the log verifies."""

import os

import pytest

from tests.survival.remains import Remains
from tests.survival.writing import account, assert_verifies, files, until, writer

DAY = 86_400
JUMPS = pytest.mark.parametrize("jump", [DAY, -DAY], ids=["forth", "back"])


@pytest.fixture
def clock(site, preload):
    """Set the clock of writers, by so many seconds against the right one."""
    control = site.path / "clock"
    control.write_text("0")

    class Clock:
        env = preload("clock", CLOCK=control)
        set = staticmethod(lambda seconds: control.write_text(str(seconds)))

    return Clock()


def checkpoints(one):
    return one.output.read_bytes().count(b"tallystick/v1 checkpoint ")


@JUMPS
def test_a_file_is_not_rotated_because_the_clock_jumps(site, clock, jump):
    with writer(site, "--rotate-age", "1h", "--keep", "30d", env=clock.env) as one:
        clock.set(jump)
        one.more(2000)
        assert one.done() == 0
        assert (len(files(one)), one.said, account(one)) == (1, "", 0)
        assert_verifies(one)


@JUMPS
def test_files_and_epochs_end_by_age_whatever_the_clock_says(site, clock, jump):
    with writer(site, "--rotate-age", "2s", "--epoch-age", "300ms", env=clock.env) as one:
        clock.set(jump)
        before = checkpoints(one)
        until(lambda: checkpoints(one) > before + 2)
        until(lambda: len(files(one)) > 1)
        assert one.done() == 0
        assert account(one) == 0
        assert_verifies(one)


@JUMPS
def test_a_file_that_is_moved_is_noticed_at_once_whatever_the_clock_says(site, clock, jump):
    with writer(site, env=clock.env) as one:
        clock.set(jump)
        one.more()
        os.rename(one.output, site.path / "audit.log.1")
        until(one.output.exists, seconds=2)
        one.more()
        assert one.done() == 0
        assert account(one) == 0
        assert_verifies(one)


@JUMPS
def test_writers_at_different_times_make_one_log(site, clock, jump):
    for run, seconds in enumerate((0, jump, 0)):
        clock.set(seconds)
        with writer(site, "--rotate-size", "20kB", env=clock.env, run=run) as one:
            one.more()
            assert one.done() == 0
    found = Remains.of(files(one))
    found.assert_nothing_twice()
    assert all(sorted(numbers) == list(range(len(numbers))) for numbers in found.runs.values())
    assert_verifies(one)

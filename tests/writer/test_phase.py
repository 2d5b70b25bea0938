"""A writer's life only goes on."""

import pytest

from tallystick.errors import SealError
from tallystick.writer.phase import Phase


@pytest.fixture
def phase():
    return Phase("payments")


def test_the_first_reason_to_stop_stays(phase):
    assert phase.stop("first")
    assert not phase.stop("second")
    assert phase.begin_closing()
    phase.closed()
    with pytest.raises(SealError, match=r"^first$"):
        phase.check()


def test_one_closes(phase):
    assert [phase.begin_closing(), phase.begin_closing()] == [True, False]
    with pytest.raises(SealError, match="log payments is closed\nhint: open it again"):
        phase.check()
    assert not phase.is_closed
    phase.closed()
    assert phase.is_closed


def test_a_log_that_is_closing_does_not_stop(phase):
    phase.begin_closing()
    assert not phase.stop("late")
    assert phase.reason is None


def test_a_child_is_closed_and_says_why_it_cannot_write(phase):
    phase.fork("it belongs to another process")
    assert (phase.is_open, phase.is_closed, phase.begin_closing()) == (False, True, False)
    with pytest.raises(SealError, match="another process"):
        phase.check()

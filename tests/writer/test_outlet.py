"""What becomes of lines while the sink takes none; notices; files that are moved and rotated."""

import pytest

from tallystick.errors import LeaseLostError, OutputError, SealError
from tallystick.writer.outlet import GaveUpError, Notice, Outlet
from tests.writer.fakes import Clock, File, Sink

FULL = OutputError("no room")


class Made:
    """An outlet, and what it asked of others."""

    def __init__(self, on_full="raise", sink=None):
        self.sink, self.clock = sink or Sink(), Clock()
        self.reported, self.pauses, self.changes = [], [], 0
        self.outlet = Outlet(
            self.sink, "payments", on_full, self.reported.append,
            pause=self.pause, changed=self.changed, clock=self.clock,
        )  # fmt: skip

    def pause(self, seconds):
        self.pauses.append(seconds)
        self.clock.time += seconds

    def changed(self):
        self.changes += 1


def test_lines_that_are_refused_are_counted_until_the_log_has_said_so():
    made = Made()
    for count in (1, 2):
        with pytest.raises(OutputError, match="no room"):
            made.outlet.refuse(FULL, count)
    assert (made.outlet.dropped.count, made.reported, made.outlet.is_idle) == (3, [], False)
    made.outlet.goes_on()
    assert made.outlet.next_notice().text.startswith("3 lines were dropped from ")
    made.outlet.said()
    assert made.outlet.next_notice() is None
    assert (made.outlet.is_idle, made.outlet.dropped.total) == (True, 3)


@pytest.mark.parametrize(("on_full", "meanwhile"), [("drop", "drops lines until it goes on"), ("block", "waits")])
def test_trouble_is_reported_once_and_so_is_its_end(on_full, meanwhile):
    made = Made(on_full)
    for _ in range(3):
        try:
            made.outlet.refuse(FULL, 1)
        except OutputError:
            assert on_full == "drop"
    made.outlet.goes_on()
    made.outlet.goes_on()
    assert made.reported == [f"no room; log payments {meanwhile}", "log payments goes on"]
    assert made.changes == 2


def test_trouble_that_no_caller_gets_as_an_error_is_reported():
    made = Made()
    with pytest.raises(OutputError):
        made.outlet.refuse(FULL, 0, wait=False)  # the background thread
    made.outlet.goes_on()
    assert made.reported == ["no room; log payments refuses lines until it goes on", "log payments goes on"]


def test_a_file_is_looked_at_within_a_second_also_by_a_log_that_is_silent():
    made = Made(sink=File())
    made.outlet.look()
    assert 0 < made.outlet.due_in() < 0.5
    made.clock.time += made.outlet.due_in()
    assert made.outlet.due_in() == 0


def test_who_waits_waits_longer_each_time_but_never_long():
    made = Made("block")
    for _ in range(10):
        made.outlet.refuse(FULL, 1)
    assert made.pauses == sorted(made.pauses)
    assert made.pauses[0] < made.pauses[-1] <= 0.25
    assert made.outlet.dropped.count == 0


def test_who_was_told_not_to_wait_gets_an_error_and_is_counted():
    made = Made("block")
    made.outlet.give_up(made.clock.time + 1)
    while not made.outlet.gave_up:
        made.outlet.refuse(FULL, 1)
    with pytest.raises(GaveUpError, match="was asked not to wait any longer"):
        made.outlet.refuse(FULL, 1)
    assert 1 <= sum(made.pauses) < 1.5
    assert "1 line that was dropped and not reported in it" in made.outlet.left()


def test_the_earliest_moment_to_give_up_counts():
    made = Made("block")
    made.outlet.give_up(0.0)
    made.outlet.give_up(made.clock.time + 100)
    assert made.outlet.gave_up


def test_who_must_not_wait_is_refused_and_no_line_is_lost():
    made = Made("block")
    with pytest.raises(OutputError):
        made.outlet.refuse(FULL, 0, wait=False)
    assert (made.pauses, made.outlet.dropped.count) == ([], 0)


@pytest.mark.parametrize(
    ("error", "on_full", "fatal"),
    [
        (FULL, "raise", False), (FULL, "stop", True), (SealError("gone"), "drop", True),
        (LeaseLostError("gone"), "block", True),
    ],
)  # fmt: skip
def test_what_is_never_over_stops_the_log(error, on_full, fatal):
    assert Made(on_full).outlet.is_fatal(error) is fatal


def test_the_output_is_looked_at_now_and_then_and_at_once_when_it_is_to_be_reopened():
    made = Made(sink=File())
    for step in (0, 0.001, 0.01):
        made.clock.time += step
        made.outlet.look()
    made.outlet.reopen()
    assert not made.outlet.is_idle
    made.outlet.look()
    assert made.sink.calls == ["look False", "look False", "look True"]
    assert made.outlet.is_idle


def test_an_output_that_asks_to_be_looked_at_never_waits_for_another_clock():
    """It once sealed nothing until then, and each line asked again and again: a fifth of all time went there."""
    made = Made(sink=File())
    made.outlet.look()
    made.sink.output.asks = True
    made.outlet.look()
    assert made.sink.calls == ["look False", "look False"]


def test_a_reopening_that_fails_is_tried_again():
    made = Made(sink=File())
    look = made.sink.look

    def fails(*, reopen):
        raise OutputError("no such directory")

    made.sink.look = fails
    made.outlet.reopen()
    with pytest.raises(OutputError):
        made.outlet.look()
    made.sink.look = look
    made.outlet.look()
    assert made.sink.calls == ["look True"]


def test_what_happened_to_the_file_is_reported_and_becomes_a_notice():
    made = Made(sink=File())
    made.sink.notices = ["the file was removed"]
    made.outlet.look()
    assert made.reported == ["the file was removed"]
    assert made.outlet.next_notice() == Notice("output", "the file was removed")


def test_a_stream_is_never_rotated():
    made = Made()
    assert not made.outlet.look()
    assert (made.outlet.due_in(), made.sink.output.looked) == (None, 1)


def test_it_is_time_to_rotate_once():
    made = Made(sink=File())
    made.sink.due = 0
    assert made.outlet.look()
    made.outlet.rotating = True
    made.outlet.reopen()
    assert not made.outlet.look()
    made.outlet.rotate(7)
    assert (made.sink.calls[-1], made.outlet.rotating) == ("rotate 7", False)
    assert made.outlet.next_notice() == Notice("rotation", "one file was removed")


def test_a_rotation_that_fails_is_reported_and_lines_go_on():
    made = Made(sink=File())
    made.sink.rotates = False
    made.outlet.rotating = True
    made.outlet.rotate(7)
    assert made.reported == ["the sink could not be rotated"]
    assert made.outlet.is_idle


def test_only_what_is_pending_is_pushed():
    made = Made()
    made.outlet.push()
    assert made.sink.calls == []
    made.sink.output.pending = 5
    with pytest.raises(OutputError, match="the line is sealed, and goes out first when it can"):
        made.outlet.check_pending()
    made.outlet.push()
    made.outlet.check_pending()
    assert made.sink.calls == ["push"]


def test_what_is_left_names_bytes_and_lines():
    made = Made()
    with pytest.raises(OutputError):
        made.outlet.refuse(FULL, 2)
    made.sink.output.pending = 5
    assert made.outlet.left() == (
        "no room; log payments is closed with 5 bytes of sealed lines that were not written, and 2 lines that were "
        "dropped and not reported in it"
    )

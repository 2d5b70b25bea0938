"""An entry comes from one state into another as docs/watch.md says, and each change is reported once."""

import pytest

from tallystick.verify.report import LogReport, Report, Verdict
from tallystick.watch.agenda import Agenda
from tallystick.watch.clock import Clock
from tallystick.watch.events import Event, Reason
from tallystick.watch.pace import Pace
from tallystick.watch.slot import Ending, Slot, Times
from tallystick.watch.standing import State
from tallystick.watch.states import Known, Rules, state
from tallystick.watch.track import Track

RULES = Rules(stale_after=10.0, silence=60.0)
WALL = 1_764_201_600_000


class Steady(Clock):
    """A clock that a test moves."""

    def __init__(self, boot: str = "one") -> None:
        super().__init__()
        self.boot, self.at = boot, 0.0

    def now(self) -> float:
        """Return where it was put."""
        return self.at


@pytest.mark.parametrize(
    ("known", "after", "expected"),
    [
        (Known(Verdict.FAILED, 0.0, 0.0), 1000.0, State.FAILED),  # nothing hides a finding
        (Known(Verdict.OK, 0.0, 0.0), 11.0, State.STALE),
        (Known(None, 0.0, None), 11.0, State.STALE),
        (Known(None, 0.0, None), 9.0, State.NEVER),
        (Known(Verdict.OK, 100.0, 0.0), 100.0, State.SILENT),
        (Known(Verdict.OK, 100.0, 0.0, has_ended=True), 100.0, State.OK),
        (Known(Verdict.INCOMPLETE, 100.0, 99.0), 100.0, State.INCOMPLETE),
        (Known(Verdict.OK, 100.0, 99.0), 100.0, State.OK),
    ],
)
def test_the_gravest_state_that_is_true_counts(known: Known, after: float, expected: State) -> None:
    assert state(known, RULES, after) is expected


def looked_at(track: Track, verdict: Verdict, now: float) -> None:
    """Let a track know of a look."""
    track.known = Known(verdict, now, now)


def judged(track: Track, now: float, repeat: float | None = None) -> Event | None:
    """Judge a track."""
    return track.judge(RULES, now, WALL + int(now * 1000), repeat)


def test_a_change_is_reported_once_and_once_it_is_over() -> None:
    track = Track("app", 0.0, WALL)
    looked_at(track, Verdict.OK, 1.0)
    assert judged(track, 1.0) is None
    looked_at(track, Verdict.INCOMPLETE, 2.0)
    event = judged(track, 2.0)
    assert event is not None
    assert (event.before, event.after, event.reason) == (State.OK, State.INCOMPLETE, Reason.CHANGE)
    assert judged(track, 3.0) is None
    looked_at(track, Verdict.OK, 4.0)
    event = judged(track, 4.0)
    assert event is not None
    assert event.is_over
    assert judged(track, 5.0) is None


def test_a_state_that_lasts_is_reported_again_by_a_clock_that_nobody_sets() -> None:
    track = Track("app", 0.0, WALL)
    looked_at(track, Verdict.INCOMPLETE, 1.0)
    assert judged(track, 1.0, 5.0) is not None
    assert track.judge(RULES, 2.0, WALL + 10**9, 5.0) is None  # people set their clock
    event = track.judge(RULES, 6.0, WALL - 10**9, 5.0)
    assert event is not None
    assert event.reason is Reason.REPEAT


def test_a_restart_reports_nothing_twice_and_goes_on_counting() -> None:
    clock, track = Steady(), Track("app", 0.0, WALL)
    looked_at(track, Verdict.INCOMPLETE, 1.0)
    clock.at = 1.0
    assert judged(track, 1.0, 100.0) is not None
    clock.at = 31.0
    plain = track.to_plain(clock)
    later = Steady("another start of the machine")
    later.at = 5.0
    again = Track("app", 5.0, WALL + 40_000)
    again.recall(plain, later)
    assert (again.state, again.known.newest) == (State.INCOMPLETE, -25.0)  # it was quiet for 30 s
    looked_at(again, Verdict.INCOMPLETE, 6.0)
    assert judged(again, 6.0, 100.0) is None
    assert judged(again, 76.0, 100.0) is not None


def recalled(quiet: float) -> Track:
    """Return the track of a process that goes on where another one ended, which saw something so many seconds ago."""
    clock, before = Steady(), Track("app", 0.0, WALL)
    before.known = Known(Verdict.OK, quiet, 1000.0 - quiet)
    clock.at = 1000.0
    track = Track("app", 1000.0, WALL)
    track.recall(before.to_plain(clock), clock)
    return track


def shown(lines: int) -> Report:
    """Return what a look showed at a log with so many lines."""
    log = LogReport("app", "aaaaaaaa", "public key", "1.0.0", f"1.0.{lines}", None, "", "", 1, 0, lines, 0, 0, 0, 0, ())
    return Report(Verdict.INCOMPLETE, (), (log,), (), ("app.log",), lines, 0, 100 * lines, WALL, 0.1)


def test_what_came_is_no_silence_though_other_looks_must_confirm_what_it_means() -> None:
    track = recalled(quiet=59.0)
    track.doubt(shown(7), 1000.0, 1002.0, WALL, age=0.5)
    assert judged(track, 1002.0) is None
    track.take(shown(7), 1070.0, 1070.0, WALL, age=68.5)
    event = judged(track, 1070.0)
    assert event is not None
    assert event.after is State.SILENT


def test_nobody_knows_of_a_silence_before_a_look_of_this_process_succeeded() -> None:
    track = recalled(quiet=59.0)
    track.fail("the key store is away", WALL)
    assert judged(track, 1002.0) is None
    event = judged(track, 1011.0)
    assert event is not None
    assert event.after is State.STALE
    track.take(shown(0), 1012.0, 1012.0, WALL, 0.0)
    event = judged(track, 1012.0)
    assert event is not None
    assert event.after is State.SILENT


@pytest.mark.parametrize(("age", "after"), [(2.0, 998.0), (40.0, 960.0), (86_400.0, 1000.0)])
def test_what_came_while_nobody_looked_is_newer_than_what_was_seen_before(age: float, after: float) -> None:
    """A file server has a clock of its own."""
    track = recalled(quiet=50.0)
    track.take(shown(7), 1000.0, 1000.0, WALL, age)
    assert track.known.newest == after


def test_an_entry_that_cannot_be_looked_at_does_not_rest() -> None:
    track = Track("app", 0.0, WALL)
    looked_at(track, Verdict.OK, 1.0)
    assert track.idle(50.0).looked == 50.0
    track.fail("the key store is away", WALL)
    assert track.idle(50.0).looked == 1.0


def test_a_slot_looks_where_something_moved_and_asks_where_it_may_have() -> None:
    slot = Slot(Times(interval=1.0, check=15.0, force=300.0))
    assert slot.begin(100.0)
    slot.end(100.2, Ending.CLEAR)
    slot.ask(100.5)
    assert (slot.due, slot.begin(101.0)) == (101.0, False)
    slot.end(101.1, Ending.MOVED)
    assert slot.begin(slot.due)
    slot.move(102.0)  # while it is looked at: once more
    slot.end(102.1, Ending.CLEAR)
    assert slot.begin(slot.due)
    slot.end(slot.due, Ending.DOUBTFUL)
    assert slot.begin(slot.due)


def test_looks_that_must_confirm_each_other_begin_a_quarter_of_a_second_apart() -> None:
    """Each of them may take long, so the pause does not come on top."""
    slot = Slot(Times(interval=1.0, check=15.0, force=300.0))
    slot.begin(100.0)
    slot.end(100.01, Ending.DOUBTFUL)
    assert slot.due == 100.25
    slot.begin(100.25)
    slot.end(100.75, Ending.DOUBTFUL)
    assert slot.due == pytest.approx(100.8)


def test_what_waits_for_its_turn_is_excused_as_long_as_looks_come_to_an_end() -> None:
    """A service that begins with many entries needs longer than a look may be overdue."""
    slot, pace = Slot(Times(1.0, 15.0, 300.0)), Pace()
    assert pace.is_excused(slot, 100.0, idle=0.1, patience=10.0)
    assert not pace.is_excused(slot, 100.0, idle=11.0, patience=10.0)  # no look comes to an end: not its own either
    slot.begin(100.0)
    assert pace.is_excused(slot, 109.0, idle=0.1, patience=10.0)
    assert not pace.is_excused(slot, 111.0, idle=0.1, patience=10.0)  # its own hangs


def test_what_waited_for_its_turn_for_a_minute_is_not_excused_any_more() -> None:
    """A service that is never done with what moves does not keep that to itself."""
    slot, pace = Slot(Times(1.0, 15.0, 300.0)), Pace()
    slot.begin(100.0)
    slot.end(100.0, Ending.CLEAR)
    slot.move(100.0)
    assert slot.due == 101.0
    assert pace.is_excused(slot, 160.0, idle=0.1, patience=10.0)
    assert not pace.is_excused(slot, 162.0, idle=0.1, patience=10.0)


def test_what_waited_while_the_service_stood_still_waits_from_then_on() -> None:
    slot, pace = Slot(Times(1.0, 15.0, 300.0)), Pace()
    assert not pace.turn(100.0)
    slot.begin(100.0)
    assert not pace.turn(101.0)
    assert pace.turn(500.0)
    assert pace.is_excused(slot, 501.0, idle=400.0, patience=10.0)
    assert not pace.is_excused(slot, 511.0, idle=400.0, patience=10.0)


def test_people_hear_once_that_looks_come_late_and_once_that_they_do_not_any_more() -> None:
    pace, said = Pace(), []
    for second, late in enumerate([0.5] * 40 + [3.0] * 100 + [0.5, 3.0] * 20 + [0.5] * 60):
        pace.note(late)
        said.append(pace.round(float(second), bearable=1.0))
    assert [line.partition(":")[0] for line in said if line] == [
        "looks come 3.0 s later than agreed", "looks come in time again",
    ]  # fmt: skip


def test_nobody_knows_of_a_silence_that_would_have_begun_since_the_last_look() -> None:
    """Lines may have come meanwhile, and wait like the entry for its turn."""
    assert state(Known(Verdict.OK, 59.0, 0.0), Rules(100.0, silence=60.0), 70.0) is State.OK
    assert state(Known(Verdict.OK, 61.0, 0.0), Rules(100.0, silence=60.0), 70.0) is State.SILENT


def test_a_slot_looks_in_time_though_nothing_moved() -> None:
    slot = Slot(Times(interval=1.0, check=15.0, force=20.0))
    slot.begin(100.0)
    slot.end(100.0, Ending.CLEAR)
    assert not slot.begin(slot.due)
    slot.end(slot.due, Ending.IDLE)
    assert slot.due == 120.0
    assert slot.begin(120.0)


def test_an_agenda_stays_small_however_often_times_change() -> None:
    agenda = Agenda()
    for number in range(10_000):
        agenda.put(f"log{number % 10}", float(number))
    taken = []
    while (name := agenda.take(1e9)) is not None:
        taken.append(name)
    assert taken == [f"log{number}" for number in range(10)]

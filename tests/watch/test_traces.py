"""Where something can move is known, so that the kernel can say so."""

import time
from pathlib import Path

import pytest

from tallystick.watch.places import Places
from tallystick.watch.traces import Trace


def test_what_moves_in_a_file_that_a_link_leads_to_is_known_as_that_of_the_log(tmp_path: Path) -> None:
    elsewhere, logs = tmp_path / "volume" / "0.log", tmp_path / "logs"
    for path in (elsewhere.parent, logs):
        path.mkdir()
    elsewhere.write_text("a line\n")
    (logs / "app.log").symlink_to("between")
    (logs / "between").symlink_to(elsewhere)
    places = Places()
    places.take("app", Trace.of([str(logs / "app.log")], []))
    assert str(elsewhere.parent) in places.directories()
    assert places.moved({str(elsewhere)}) == ({"app"}, set())


def test_what_came_to_a_file_that_has_two_names_counts_once(tmp_path: Path) -> None:
    live = tmp_path / "0.log"
    live.write_text("a line\n")
    (tmp_path / "app.log").symlink_to(live)
    trace = Trace.of([str(tmp_path)], [])
    before = trace.seen()
    with live.open("a") as file:
        file.write("another\n")
    assert trace.grown(before) == len("another\n")


def test_a_link_that_leads_nowhere_is_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "app.log").symlink_to("nowhere/0.log")
    trace = Trace.of([str(tmp_path)], [])
    assert str(tmp_path) in trace.directories
    assert trace.seen() == trace.seen()


def test_places_are_looked_up_again_where_a_file_comes_or_goes_and_not_where_one_grows(tmp_path: Path) -> None:
    logs, head = tmp_path / "logs", tmp_path / "store" / "head"
    for path in (logs, head.parent):
        path.mkdir()
    live = logs / "app.log"
    for path in (live, head):
        path.write_text("a line\n")
    trace = Trace.of([str(logs)], [str(head)])
    now, before = time.time_ns(), trace.seen()
    assert not trace.is_settled(before, now)  # within one tick, another file could come unseen
    assert trace.is_settled(before, now + 3 * 10**9)
    live.write_text("a line\nanother\n")
    head.with_name("new").write_text("another head")
    head.with_name("new").replace(head)
    assert trace.is_same(before, trace.seen())
    live.rename(logs / "app.log.1")
    assert not trace.is_same(before, trace.seen())


@pytest.mark.parametrize("change", ["link", "pattern"])
def test_places_are_looked_up_again_where_no_directory_of_the_log_says_that_they_changed(
    tmp_path: Path, change: str
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.log").write_text(name)
    between = tmp_path / "between"
    between.symlink_to(tmp_path / "a" / "0.log")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "app.log").symlink_to(between)
    trace = Trace.of([str(tmp_path / {"link": "logs", "pattern": "*/0.log"}[change])], [])
    before = trace.seen()
    if change == "link":
        between.unlink()
        between.symlink_to(tmp_path / "b" / "0.log")
    assert not trace.is_same(before, trace.seen())

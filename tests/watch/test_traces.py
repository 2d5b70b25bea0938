"""Where something can move is known, so that the kernel can say so."""

from pathlib import Path

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

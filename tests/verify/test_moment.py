"""A log that moves while it is verified: one pass in the safe order is judged, and what vanished is missing."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tallystick
from tallystick.verify import Report, Verdict
from tallystick.verify import moment as verify_moment
from tallystick.verify import run as verify_run
from tallystick.verify.heads import Head, Heads
from tests.verify.test_constructed import kinds, text
from tests.verify.test_inputs import Place, growing, place, unreadable

__all__ = ["growing", "place"]

pytestmark = pytest.mark.usefixtures("no_store")


def before_opening(monkeypatch: pytest.MonkeyPatch, path: Path, act: Callable[[], object], times: int = 1) -> list[int]:
    """Let something happen to a file between the moment at which it is listed and that at which it is opened."""
    real, done = os.open, [0]

    def moved(name: Any, *rest: Any, **named: Any) -> int:
        if str(name) == str(path) and done[0] < times:
            done[0] += 1
            act()
        return real(name, *rest, **named)

    monkeypatch.setattr(os, "open", moved)
    return done


@pytest.mark.parametrize("way", ["directory", "pattern"])
def test_a_file_that_is_renamed_before_it_is_opened_is_found_again(
    place: Place, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = place.write()

    def rotate() -> None:
        paths[9].rename(place.logs / "app.log.old")
        paths[9].write_bytes(b"")

    done = before_opening(monkeypatch, paths[9], rotate)
    report = place.verify(place.logs if way == "directory" else f"{place.logs}/app.log*")
    assert (report.verdict, report.findings, done) == (Verdict.OK, (), [1])


@pytest.mark.parametrize("way", ["directory", "pattern", "by name"])
def test_a_file_that_is_compressed_before_it_is_opened_is_read_compressed(
    place: Place, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = place.write()

    def compress() -> None:
        Path(f"{paths[4]}.gz").write_bytes(gzip.compress(place.parts[4]))
        paths[4].unlink()

    before_opening(monkeypatch, paths[4], compress)
    ways: dict[str, list[object]] = {
        "directory": [place.logs],
        "pattern": [f"{place.logs}/app.log*"],
        "by name": [*paths],
    }
    report = place.verify(*ways[way])
    assert (report.verdict, report.findings, report.lines) == (Verdict.OK, (), place.lines)
    assert f"{paths[4]}.gz" in report.files


def test_a_file_that_is_renamed_while_its_directory_is_listed_is_found_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = place.write()
    real, moved = os.stat, []

    def stat(path: Any, *rest: Any, **named: Any) -> os.stat_result:
        if str(path) == str(paths[9]) and not moved:
            moved.append(paths[9].rename(place.logs / "app.log.old"))
        return real(path, *rest, **named)

    monkeypatch.setattr(os, "stat", stat)
    report = place.verify(place.logs)
    assert (report.verdict, report.findings, len(moved)) == (Verdict.OK, (), 1)


@pytest.mark.parametrize("times", [1, 1000])
def test_a_file_that_vanished_for_good_is_missing(place: Place, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = place.write()
    before_opening(monkeypatch, paths[4], lambda: paths[4].unlink(missing_ok=True), times)
    report = place.verify(place.logs)
    assert (report.verdict, kinds(report)) == (Verdict.FAILED, {"missing"})


def test_files_that_never_come_to_rest_are_read_all_the_same(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write()
    count, real = [0], verify_moment.Inputs.look

    def look(files: Any) -> bool:
        count[0] += 1
        (place.logs / f"new.{count[0]}").write_bytes(b"")
        return real(files)

    monkeypatch.setattr(verify_moment.Inputs, "look", look)
    assert place.verify(place.logs).verdict is Verdict.OK
    assert count[0] < 50


def heads_in_turn(monkeypatch: pytest.MonkeyPatch, log_id: str, *heads: bytes) -> list[int]:
    """Let a store give one head after the other, the last one from then on."""
    read = [0]

    def give(*_: Any) -> Heads:
        read[0] += 1
        return Heads({log_id: Head.parse(heads[min(read[0], len(heads)) - 1])})

    monkeypatch.setattr(verify_run, "read_heads", give)
    return read


def judged(place: Place) -> Report:
    return tallystick.verify([place.logs], keys=[place.directory / "keys/app.key"])


@pytest.mark.parametrize("packed", [False, True])
def test_a_head_that_was_older_than_the_newest_chain_is_read_again(
    growing: Place, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = growing.writer.head
    growing.writer.open().write(3).close()
    growing.parts.append(text(growing.writer.lines))
    growing.write(gzip.compress if packed else bytes)
    # The end of a plain file says which chain is the newest; of a compressed one only its lines say it.
    heads_in_turn(monkeypatch, growing.writer.id, *([old] * (1 if packed else 5)), growing.writer.head)
    report = judged(growing)
    assert (report.verdict, report.findings) == (Verdict.OK, ())


def test_a_head_that_stays_older_leaves_an_open_end_and_a_newer_one_than_the_log_a_cut(
    growing: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_moment, "PATIENCE", 0.1)
    old = growing.writer.head
    growing.writer.open().write(3).close()
    growing.parts.append(text(growing.writer.lines))
    paths = growing.write()
    read = heads_in_turn(monkeypatch, growing.writer.id, old)
    report = judged(growing)
    assert (report.verdict, kinds(report)) == (Verdict.INCOMPLETE, {"open end"})
    assert read[0] < 50
    paths[-1].unlink()
    heads_in_turn(monkeypatch, growing.writer.id, growing.writer.head)
    report = judged(growing)
    assert (report.verdict, kinds(report)) == (Verdict.FAILED, {"truncated"})


def test_a_head_is_read_once_where_nothing_moves(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reading of a head is one more way through the key store, for each look at each log."""
    place.write()
    read = heads_in_turn(monkeypatch, place.writer.id, place.writer.head)
    assert judged(place).verdict is Verdict.OK
    assert read == [1]


def test_lines_that_come_after_the_head_was_read_are_no_trouble(
    growing: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order: whatever a head counts is on the disk before the files are opened."""
    paths = growing.write()
    newer = []

    def give(*_: Any) -> Heads:
        head = growing.writer.head
        if not newer:
            growing.writer.lines.clear()
            growing.writer.open().write(30).close()
            newer.append(True)
            with open(paths[9], "ab") as file:
                file.write(text(growing.writer.lines))
        return Heads({growing.writer.id: Head.parse(head)})

    monkeypatch.setattr(verify_run, "read_heads", give)
    assert (judged(growing).verdict, judged(growing).findings) == (Verdict.OK, ())


# -- compression that goes on


@pytest.mark.parametrize("left", [0, 1, 2, 9, 10, 100, 2000])
def test_half_a_compressed_copy_beside_its_original_is_passed_over(place: Place, left: int) -> None:
    paths = place.write()
    packed = gzip.compress(place.parts[4])
    assert len(packed) > 2000
    Path(f"{paths[4]}.gz").write_bytes(packed[:left])
    report = place.verify(place.logs)
    assert report.verdict is Verdict.OK
    assert [(f.kind, f.path) for f in report.findings] == [("passed over", f"{paths[4]}.gz")] * (left > 0)


def test_half_a_compressed_file_that_is_no_copy_of_its_neighbour_is_not_passed_over(place: Place) -> None:
    paths = place.write()
    for other in (place.parts[4].replace(b"line 7 ", b"line 8 "), b"user=7\n" * 10_000):
        packed = gzip.compress(other)
        Path(f"{paths[4]}.gz").write_bytes(packed[: len(packed) - 20])
        report = place.verify(place.logs)
        assert unreadable(report) == [f"{paths[4]}.gz"]
        assert report.verdict is Verdict.FAILED
    Path(f"{paths[4]}.gz").write_bytes(gzip.compress(place.parts[4])[:2000])
    paths[4].unlink()
    report = place.verify(place.logs)
    assert unreadable(report) == [f"{paths[4]}.gz"]


def test_a_whole_compressed_copy_is_a_copy(place: Place) -> None:
    paths = place.write()
    Path(f"{paths[4]}.gz").write_bytes(gzip.compress(place.parts[4]))
    report = place.verify(place.logs)
    assert (report.verdict, kinds(report)) == (Verdict.OK, {"duplicate"})

"""Inputs that would hang, crash or swell a verifier: each is reported, and the rest is verified."""

import bz2
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tallystick.verify import Report, Verdict, looking, streams
from tallystick.verify import files as verify_files
from tallystick.verify.streams import zstd
from tests.verify.test_constructed import Writer, kinds, text
from tests.verify.test_inputs import Place, place, unreadable

__all__ = ["place"]

pytestmark = pytest.mark.usefixtures("no_store")

FILES = int(os.environ.get("TALLYSTICK_FILES", "2000"))
TERA = 10**12


def passed(report: Report) -> list[tuple[str | None, int]]:
    return [(finding.path, finding.count) for finding in report.findings if finding.kind == "passed over"]


def quickly(verify: Callable[[], Report], seconds: float = 10.0) -> Report:
    """Verify in bounded time: of the processor, since other work may run beside this, and by the clock."""
    clock, processor = time.monotonic(), time.process_time()
    report = verify()
    assert time.process_time() - processor < seconds
    assert time.monotonic() - clock < 12 * seconds
    return report


# -- links in a circle


def test_links_in_a_circle_come_to_an_end(place: Place) -> None:
    place.write()
    (place.logs / "back").symlink_to(place.logs)
    (place.logs / "deep").mkdir()
    (place.logs / "deep/up").symlink_to("..")
    for way in (f"{place.logs}/**", f"{place.logs}/**/app.log*", f"{place.logs}/**/**/*", f"{place.logs}/*/*/*/app.*"):
        report = quickly(lambda way=way: place.verify(way))  # type: ignore[misc]
        assert (report.verdict, report.lines, len(report.files)) == (Verdict.OK, place.lines, 10), way
    report = place.verify(f"{place.logs}/**")
    assert kinds(report) == {"passed over"}
    report = place.verify(place.logs)
    assert (report.verdict, len(passed(report))) == (Verdict.OK, 1)


def test_links_that_multiply_at_each_level_are_followed_once(place: Place) -> None:
    """Thirty directories with ten links to the next one each: 10^30 ways."""
    place.write()
    for level in range(30):
        (directory := place.logs / f"level{level}").mkdir()
        for number in range(10):
            (directory / f"link{number}").symlink_to(f"../level{level + 1}" if level < 29 else "..")
    for way in (f"{place.logs}/**", f"{place.logs}/**/*", f"{place.logs}/level0/**"):
        report = quickly(lambda way=way: place.verify(way))  # type: ignore[misc]
        assert (report.verdict, report.lines) == (Verdict.OK, place.lines), way


def test_a_link_to_another_directory_is_followed_by_a_pattern_and_reported_in_a_directory(place: Place) -> None:
    paths = place.write()
    (other := place.directory / "other").mkdir()
    paths[9].rename(other / paths[9].name)
    (place.logs / "link").symlink_to(other)
    assert place.verify(f"{place.logs}/**").findings == ()
    report = place.verify(place.logs)
    assert (report.verdict, passed(report)) == (Verdict.FAILED, [(str(place.logs / "link"), 1)])
    assert place.verify(place.logs, place.logs / "link").verdict is Verdict.OK


# -- pipes and devices


@pytest.mark.parametrize("way", ["", "/*", "/**"])
def test_pipes_sockets_and_devices_among_files_are_passed_over(place: Place, way: str) -> None:
    place.write()
    os.mkfifo(place.logs / "pipe")
    (place.logs / "null").symlink_to("/dev/null")
    (place.logs / "zero").symlink_to("/dev/zero")
    holder = os.open(place.logs / "pipe", os.O_RDWR)  # somebody who never writes, and never closes
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(place.logs / "socket"))
        report = quickly(lambda: place.verify(f"{place.logs}{way}"))
    os.close(holder)
    assert (report.verdict, report.lines) == (Verdict.OK, place.lines)
    assert passed(report) == [(str(place.logs / "null"), 4)]


@pytest.mark.parametrize("where", [None, "/dev/shm"])
def test_a_pipe_that_was_named_and_says_nothing_is_given_up(
    place: Place, monkeypatch: pytest.MonkeyPatch, where: str | None
) -> None:
    """Also where everybody can make one beside the devices."""
    monkeypatch.setattr(verify_files, "SILENCE", 0.2)
    paths = place.write()
    if where is not None and not os.access(where, os.W_OK):
        pytest.skip(f"{where} cannot be written to")
    with tempfile.TemporaryDirectory(dir=where) as directory:
        pipe = Path(directory, "pipe")
        os.mkfifo(pipe)
        holder = os.open(pipe, os.O_RDWR)
        report = quickly(lambda: place.verify(*paths, pipe))
        os.close(holder)
    assert unreadable(report) == [str(pipe)]
    assert (report.verdict, report.lines) == (Verdict.INCOMPLETE, place.lines)


def test_a_pipe_that_was_named_is_read_as_long_as_something_comes(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_files, "SILENCE", 2.0)
    paths = place.write()
    os.mkfifo(place.directory / "pipe")
    paths[9].unlink()

    def write() -> None:
        with open(place.directory / "pipe", "wb", buffering=0) as pipe:
            for start in range(0, len(place.parts[9]), 2000):
                pipe.write(place.parts[9][start : start + 2000])
                time.sleep(0.05)

    writer = threading.Thread(target=write)
    writer.start()
    report = place.verify(*paths[:9], place.directory / "pipe")
    writer.join()
    assert (report.verdict, report.findings) == (Verdict.OK, ())


# -- holes


def sparse(path: Path, *pieces: bytes | int) -> None:
    with open(path, "wb") as file:
        for piece in pieces:
            if isinstance(piece, int):
                file.seek(piece, os.SEEK_CUR)
                file.truncate()
            else:
                file.write(piece)


def test_holes_of_many_terabytes_are_skipped(place: Place) -> None:
    whole, path = b"".join(place.parts), place.logs / "app.log"
    first, rest = b"".join(place.parts[:5]), b"".join(place.parts[5:])
    fine: list[tuple[bytes | int, ...]] = [
        (whole, 15 * TERA),
        (first, 5 * TERA, b"\n", rest, 5 * TERA),
        (5 * TERA, b"\n", whole),
        (whole, 20 * 2**20),
    ]
    for pieces in fine:
        sparse(path, *pieces)
        report = quickly(lambda: place.verify(path))
        assert (report.verdict, report.findings, report.lines) == (Verdict.OK, (), place.lines), pieces[1]
        path.unlink()
    sparse(path, first, 5 * TERA, b"\n", rest)
    os.truncate(path, 14 * TERA)
    assert quickly(lambda: place.verify(path)).verdict is Verdict.OK


def test_what_stands_behind_a_hole_is_found(place: Place) -> None:
    first, rest, path = b"".join(place.parts[:5]), b"".join(place.parts[5:]), place.logs / "app.log"
    for evil in ((b"no seal\n",), (7 * TERA, b"no seal\n"), (b"x", 7 * TERA, b"y\n"), (b"x", 7 * TERA, b"\n")):
        sparse(path, first, 3 * TERA, b"\n", *evil, rest)
        report = quickly(lambda: place.verify(path))
        assert (report.verdict, kinds(report), report.lines) == (Verdict.FAILED, {"unsealed"}, place.lines + 1)
    sparse(path, first, 3 * TERA, rest)  # the line after a hole without a line end is not what was sealed
    assert quickly(lambda: place.verify(path)).verdict is Verdict.FAILED


def test_a_line_that_was_broken_off_before_a_hole_is_torn_as_before_few_nuls(tmp_path: Path) -> None:
    writer = Writer().open().write(20)
    key, path = writer.key(tmp_path), tmp_path / "app.log"
    (tmp_path / "head").write_bytes(writer.head)
    place = Place(tmp_path, writer, [])
    (tmp_path / "keys").mkdir()
    key.rename(tmp_path / "keys/app.key")
    (tmp_path / "head").rename(tmp_path / "keys/head")
    found = []
    for hole in (5000, 15 * TERA):
        sparse(path, text(writer.lines), b"line 20 tal", hole)
        report = quickly(lambda: place.verify(path))
        found.append((report.verdict, [(f.kind, f.line, f.excerpt) for f in report.findings]))
    assert found[0] == found[1]
    assert found[0][0] is Verdict.OK


def test_a_hole_in_a_journal_export_is_reported(place: Place) -> None:
    path = place.logs / "journal"
    sparse(path, b"MESSAGE=x\n\nMESSAGE\n", 15 * TERA, b"\n\n")
    report = quickly(lambda: place.verify(path, envelope="journal-export"))
    assert unreadable(report) == [str(path)]


# -- what becomes much more than it is


def test_what_expands_beyond_reason_is_given_up(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "FREE", 2**26)
    paths = place.write()
    for bomb in (bz2.compress(bytes(45_000_000)) * 1000, zstd.compress(bytes(2**20)) * 2000):
        (place.logs / "bomb").write_bytes(bomb)
        report = quickly(lambda: place.verify(*paths, place.logs / "bomb"), 60)
        assert unreadable(report) == [str(place.logs / "bomb")]
        assert (report.verdict, report.lines) == (Verdict.INCOMPLETE, place.lines)
        assert "2000 times" in next(f.detail for f in report.findings if f.kind == "unreadable")


LIMITED = """
import pathlib, re, resource, sys, time, tallystick
arguments = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_NOFILE, (int(arguments[0]),) * 2)
report = tallystick.verify([arguments[1]], keys=[arguments[2]], head=arguments[3], jobs=1)
status = pathlib.Path("/proc/self/status").read_text()
found = [(f.kind, f.path, f.line, f.excerpt) for f in report.findings]
print(report.verdict.value, report.lines, re.search(r"VmHWM:\\s*(\\d+) kB", status)[1], time.process_time())
print(found)
"""


def limited(place: Place, descriptors: int, path: Path) -> tuple[str, int, int, float, str]:
    """Verify in a process of its own: verdict, lines, most memory in kB, seconds of the processor, and the findings."""
    arguments = [str(descriptors), path, place.directory / "keys/app.key", place.directory / "keys/head"]
    done = subprocess.run([sys.executable, "-c", LIMITED, *arguments], capture_output=True, check=False)
    assert done.stderr == b"", done.stderr
    said, found = done.stdout.decode().splitlines()
    verdict, lines, memory, seconds = said.split()
    return verdict, int(lines), int(memory), float(seconds), found


def test_any_number_of_files_is_read_with_few_descriptors(place: Place) -> None:
    """The findings stand in the same order, and name the same places."""
    lines = b"".join(place.parts).splitlines(keepends=True)
    for number in range(FILES):
        at, to = number * len(lines) // FILES, (number + 1) * len(lines) // FILES
        (place.logs / f"{number:06}.log").write_bytes(b"".join(lines[at:to]))
    assert limited(place, 64, place.logs)[:2] == ("ok", place.lines)
    for number in range(0, FILES, FILES // 20):
        with open(place.logs / f"{number:06}.log", "ab") as file:
            file.write(b"no seal in %d\n" % number)
    few, many = limited(place, 64, place.logs), limited(place, 1024, place.logs)
    assert (few[0], few[4].count("no seal in")) == ("failed", 20)
    assert (few[:2], few[4]) == (many[:2], many[4])


def test_a_file_that_is_not_held_and_moves_before_it_is_read_is_found_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "most_held", lambda: 2)
    paths = place.write()
    for number, path in enumerate(paths):
        os.utime(path, (number, number))
    moved = []

    def move(*_: int) -> None:
        if not moved:
            moved.append(paths[3].rename(place.logs / "moved"))

    report = place.verify(place.logs, progress=move, jobs=1)
    assert (report.verdict, report.findings, len(moved)) == (Verdict.OK, (), 1)
    assert str(place.logs / "moved") in report.files

    def remove(*_: int) -> None:
        paths[4].unlink(missing_ok=True)

    report = place.verify(place.logs, progress=remove, jobs=1)
    assert report.verdict is Verdict.FAILED
    assert "missing" in kinds(report)


# -- long lines of JSON

LONG = {
    "numbers": b"1,",
    "fractions": b"1.5,",
    "exponents": b"1e5,",
    "long numbers": b"0.12345678901234567,",
    "strings": b'"",',
    "escapes": b'"\\u0041\\/",',
    "objects": b'{"b":1,"a":2},',
    "deep": b"[[[[[[[[]]]]]]]],",
}


# Those that take most; in `make torture` all.
HARD = ["numbers", "strings", "objects", "deep", "members out of order"]
KINDS = [*LONG, "members", "members out of order", "members in Greek", "blanks"]


@pytest.mark.parametrize("what", KINDS if "TALLYSTICK_FILES" in os.environ else HARD)
def test_a_line_of_json_of_31_megabytes_takes_little_time_and_memory(place: Place, what: str) -> None:
    size = 31_000_000
    if what.startswith("members"):
        order = 7919 if "order" in what or "Greek" in what else 1
        count = size // 12
        name = "α%x" if "Greek" in what else "%x"
        names = (name % (number * order % count) for number in range(count))
        inner = "{" + ",".join(f'"{one}":1' for one in names) + "}"
        piece = inner.encode()
    elif what == "blanks":
        piece = b"[" + b" " * size + b"]"
    else:
        piece = b"[" + (LONG[what] * (size // len(LONG[what])))[:-1] + b"]"
    seal = b"%s.1.0.3.31.%s" % (place.writer.id.encode(), b"A" * 22)
    path = place.logs / "app.log"
    path.write_bytes(b"".join(place.parts) + b'{"a":' + piece + b',"tally":"' + seal + b'"}\n')
    verdict, lines, memory, seconds, _ = limited(place, 256, path)
    assert (verdict, lines) == ("failed", place.lines + 1)
    print(f"{what}: {memory / 1000:.0f} MB, {seconds:.2f} s of the processor")
    assert memory < 300_000
    assert seconds < 3  # 2 on a machine that does nothing else

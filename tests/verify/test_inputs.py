"""Whatever the input is like, what can be read is verified, what cannot is told, and nothing breaks."""

import bz2
import dataclasses
import functools
import gzip
import hashlib
import lzma
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tallystick
from tallystick.errors import ReportError
from tallystick.verify import Report, Verdict
from tallystick.verify import inputs as verify_inputs
from tallystick.verify.streams import zstd
from tests.verify.test_constructed import Writer, text

Pack = Callable[[bytes], bytes]
PACKERS: dict[str, Pack] = {
    "gzip": gzip.compress,
    "zstd": lambda data: zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1}),
    "xz": lzma.compress,
    "bz2": bz2.compress,
}


@dataclasses.dataclass(frozen=True)
class Place:
    """A directory with keys, head and ten files of one log."""

    directory: Path
    writer: Writer
    parts: list[bytes]

    def verify(self, *paths: object, **options: Any) -> Report:
        key, head = self.directory / "keys/app.key", self.directory / "keys/head"
        return tallystick.verify([str(path) for path in paths], keys=[key], head=head, **options)

    @property
    def lines(self) -> int:
        return sum(part.count(b"\n") for part in self.parts)

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    def write(self, pack: Pack = bytes) -> list[Path]:
        paths = [self.logs / f"app.log.{number}" for number in range(len(self.parts))]
        for path, part in zip(paths, self.parts, strict=True):
            path.write_bytes(pack(part))
        return paths


pytestmark = pytest.mark.usefixtures("no_store")


def ten_files() -> tuple[Writer, list[bytes]]:
    """Seal a log in ten files."""
    writer = Writer()
    parts = []
    for _ in range(10):
        writer.open(epoch_lines=50).write(120).close()
        parts.append(text(writer.lines))
        writer.lines.clear()
    return writer, parts


@functools.cache
def shared_files() -> tuple[Writer, list[bytes]]:
    """Seal one for all tests of a process, which do not write on: sealing takes longer than what most do with it."""
    writer, parts = ten_files()
    writer.state = None  # type: ignore[assignment]
    return writer, parts


def placed(directory: Path, writer: Writer, parts: list[bytes]) -> Place:
    (directory / "keys").mkdir()
    (directory / "logs").mkdir()
    writer.key(directory / "keys")
    (directory / "keys/head").write_bytes(writer.head)
    return Place(directory, writer, [*parts])


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A log whose files a test changes as it likes, and to which nothing more is sealed."""
    return placed(tmp_path, *shared_files())


@pytest.fixture
def growing(tmp_path: Path) -> Place:
    """A log to which a test seals more."""
    return placed(tmp_path, *ten_files())


def unreadable(report: Report) -> list[str]:
    """What could not be read: never with the verdict ok, and the rest is verified."""
    found = [finding for finding in report.findings if finding.kind == "unreadable"]
    assert found
    assert report.verdict is not Verdict.OK
    assert all(finding.path and finding.detail for finding in found)
    return [str(finding.path) for finding in found]


# -- how input is named


def test_directories_patterns_and_links_lead_to_the_same_files(place: Place) -> None:
    paths = place.write()
    (place.logs / "deep/deeper").mkdir(parents=True)
    for number in (7, 8, 9):
        paths[number] = paths[number].rename(place.logs / "deep/deeper" / paths[number].name)
    (place.directory / "link").symlink_to(place.logs)
    (place.directory / "one").symlink_to(paths[0])
    ways: list[list[object]] = [
        [place.logs],
        [f"{place.logs}/**"],
        [f"{place.logs}/**/app.log.*"],
        [f"{place.logs}/app.log.[0-6]", f"{place.logs}/deep"],
        [place.directory / "link"],
        [*reversed(paths)],
        [place.directory / "one", place.logs, *paths, f"{place.logs}/./app.log.1"],
    ]
    for way in ways:
        report = place.verify(*way)
        assert (report.verdict, report.lines, len(report.files)) == (Verdict.OK, place.lines, 10), way
        assert report.findings == ()


@pytest.mark.parametrize("pack", [bytes, *PACKERS.values()])
@pytest.mark.parametrize("way", ["pipe", "file", "fifo"])
def test_standard_input_and_pipes_are_read_like_files(place: Place, way: str, pack: Pack) -> None:
    data = pack(b"".join(place.parts))
    script = (
        "import sys, tallystick; report = tallystick.verify([sys.argv[1]], keys=[sys.argv[2]], head=sys.argv[3]);"
        "print(report.verdict.value, report.lines, report.findings)"
    )
    name = "-"
    if way == "fifo":
        name = str(place.directory / "fifo")
        os.mkfifo(name)
        writer = threading.Thread(target=lambda: Path(name).write_bytes(data))
        writer.start()
    (place.directory / "data").write_bytes(data)
    with open(place.directory / "data", "rb") as file:
        done = subprocess.run(
            [sys.executable, "-c", script, name, place.directory / "keys/app.key", place.directory / "keys/head"],
            capture_output=True,
            check=False,
            **({"input": data} if way == "pipe" else {"stdin": file}),  # type: ignore[call-overload]
        )
    if way == "fifo":
        writer.join()
    assert (done.stdout.decode(), done.stderr) == (f"ok {place.lines} ()\n", b"")


def test_a_path_that_cannot_be_read_is_a_finding_also_as_the_only_one(place: Place) -> None:
    (place.directory / "empty").mkdir()
    (place.directory / "round").symlink_to(place.directory / "round")
    for path in ("missing", "missing*", "empty", "round"):
        report = place.verify(place.directory / path)
        assert (report.verdict, unreadable(report)) == (Verdict.INCOMPLETE, [str(place.directory / path)])
        assert {f.kind for f in report.findings} == {"unreadable", "nothing verified", "truncated"}


def test_no_path_and_nothing_but_what_is_passed_over_are_usage_errors(place: Place) -> None:
    with pytest.raises(ReportError, match="a verification key, no log"):
        place.verify(place.directory / "keys/app.key")
    with pytest.raises(ReportError, match="nothing to verify"):
        place.verify()


# -- what cannot be read


def test_one_file_of_ten_that_cannot_be_opened_is_reported_and_the_others_are_verified(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = place.write()
    paths[9].unlink()
    ways: list[Callable[[], object]] = [
        lambda: paths[9].symlink_to("nowhere"),
        lambda: paths[9].symlink_to(paths[9]),
        lambda: None,
        lambda: paths[9].mkdir(),
        lambda: paths[9].symlink_to("/dev/null"),
    ]
    for way in ways:
        way()
        report = place.verify(*paths, allow=["open end"])
        assert unreadable(report) == [str(paths[9])]
        assert (len(report.files), report.logs[0].chains) == (9, 9)
        if paths[9].is_dir() and not paths[9].is_symlink():
            paths[9].rmdir()
        else:
            paths[9].unlink(missing_ok=True)
    paths[9].write_bytes(place.parts[9])
    real = os.open

    def refuse(path: Any, *rest: Any, **named: Any) -> int:
        if str(path) == str(paths[9]):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *rest, **named)

    monkeypatch.setattr(os, "open", refuse)
    assert unreadable(place.verify(place.logs)) == [str(paths[9])]


def test_a_directory_that_cannot_be_listed_is_reported(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write()
    (place.logs / "closed").mkdir()
    real = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert unreadable(place.verify(place.logs)) == [str(place.logs / "closed")]


# -- damaged compressed files


@pytest.mark.parametrize("kind", PACKERS)
def test_a_compressed_file_that_is_damaged_is_reported_and_what_comes_before_is_verified(
    place: Place, kind: str
) -> None:
    whole = b"".join(os.urandom(30).hex().encode() + b"\n" for _ in range(5_000))
    packed, sealed = PACKERS[kind](whole), PACKERS[kind](b"".join(place.parts))
    middle = bytearray(packed)
    middle[len(packed) // 2 : len(packed) // 2 + 64] = bytes(b ^ 0xFF for b in middle[len(packed) // 2 :][:64])
    damages = {
        "truncated": sealed + packed[:-1],
        "cut": sealed + packed[: len(packed) // 2],
        "in the middle": sealed + bytes(middle),
        "garbage behind": sealed + b"garbage behind it",
        "a little garbage behind": sealed + b"x",
    }
    for what, data in damages.items():
        (place.logs / "app.log").write_bytes(data)
        report = place.verify(place.logs / "app.log")
        assert unreadable(report) == [str(place.logs / "app.log")], what
        assert report.logs[0].sealed == place.lines, what
        assert kind in next(f.detail for f in report.findings if f.kind == "unreadable")


@pytest.mark.parametrize("kind", PACKERS)
def test_any_single_wrong_byte_in_a_compressed_file_is_never_ok_and_never_breaks(place: Place, kind: str) -> None:
    packed = PACKERS[kind](place.parts[0])
    paths = place.write()
    harmless = 0
    for at in range(0, len(packed), max(1, len(packed) // 30)):
        broken = bytearray(packed)
        broken[at] ^= 0x41
        paths[0].write_bytes(bytes(broken))
        report = place.verify(*paths, jobs=1)
        # Header fields such as time and system say nothing about what is held.
        harmless += report.verdict is Verdict.OK
    assert harmless <= 4


@pytest.mark.parametrize("kind", PACKERS)
def test_zeros_behind_a_compressed_file_are_what_padding_leaves(place: Place, kind: str) -> None:
    (place.logs / "app.log").write_bytes(PACKERS[kind](b"".join(place.parts)) + bytes(1000))
    assert place.verify(place.logs / "app.log").verdict is Verdict.OK


BOMBS = [(kind, "zeros") for kind in PACKERS]
# How lines are packed makes no difference to what is done with them; in `make torture` all.
BOMBS += [(kind, "lines") for kind in (PACKERS if "TALLYSTICK_DOCTORED" in os.environ else ("zstd",))]


@pytest.mark.parametrize(("kind", "shape"), BOMBS)
def test_what_expands_without_end_takes_no_memory(place: Place, kind: str, shape: str) -> None:
    """A decompression bomb: hundreds of MB of nothing, in a few kB."""
    block = bytes(2**20) if shape == "zeros" else b"x" * 1023 + b"\n"
    piece = PACKERS[kind](block * (10 if shape == "zeros" else 10 * 1024))
    (place.logs / "app.log").write_bytes(piece * 30)
    script = (
        "import pathlib, re, resource, sys, tallystick; resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30));"
        "report = tallystick.verify([sys.argv[1]], keys=[sys.argv[2]], jobs=2);"
        "status = pathlib.Path('/proc/self/status').read_text();"
        "print(report.verdict.value, report.size, re.search(r'VmHWM:\\s*(\\d+) kB', status)[1])"
    )
    arguments = [place.logs / "app.log", place.directory / "keys/app.key"]
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, check=False)
    assert done.stderr == b""
    verdict, size, memory = done.stdout.split()
    assert verdict != b"ok"
    assert shape == "zeros" or int(size) == 300 * 2**20
    assert int(memory) < 300_000


# -- files that change while they are read


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_that_grows_while_it_is_read_is_verified_as_it_was(
    place: Place, pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_inputs, "CHUNK", 4096)
    (path := place.logs / "app.log").write_bytes(pack(b"".join(place.parts)))
    grown = []

    def grow(done: int, total: int) -> None:
        with open(path, "ab") as file:
            file.write(b"user=7 written meanwhile\n")
        grown.append(done)

    report = place.verify(path, progress=grow, jobs=1)
    assert (report.verdict, report.findings) == (Verdict.OK, ())
    assert grown


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_that_is_cut_while_it_is_read_is_reported(
    place: Place, pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_inputs, "CHUNK", 4096)
    for left in (0, 1, 6000):
        (path := place.logs / "app.log").write_bytes(pack(b"".join(place.parts)))
        report = place.verify(path, progress=lambda *_: os.truncate(path, left), jobs=1)  # noqa: B023
        if pack is bytes:
            assert unreadable(report) == [str(path)]
        # What is compressed so well is read at once.
        assert report.verdict is Verdict.OK or pack is bytes


def test_a_file_that_is_rotated_while_it_is_read_is_read_to_its_end(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_inputs, "CHUNK", 4096)
    (path := place.logs / "app.log").write_bytes(b"".join(place.parts))

    def rotate(done: int, total: int) -> None:
        if path.exists() and path.stat().st_size:
            path.rename(place.logs / "app.log.1")
            path.write_bytes(b"")

    report = place.verify(path, progress=rotate, jobs=1)
    assert (report.verdict, report.findings) == (Verdict.OK, ())


def test_a_file_that_cannot_be_read_to_its_end_is_reported(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_inputs, "CHUNK", 4096)
    (path := place.logs / "app.log").write_bytes(b"".join(place.parts))
    real = os.pread

    def fail(fd: int, size: int, offset: int) -> bytes:
        if offset > 20_000:
            raise OSError(5, "Input/output error")
        return real(fd, size, offset)

    monkeypatch.setattr(os, "pread", fail)
    report = place.verify(path)
    assert unreadable(report) == [str(path)]
    assert report.logs[0].sealed > 50


# -- odd files


def test_odd_files_beside_a_log_change_nothing_or_are_reported(place: Place) -> None:
    paths = place.write()
    odd = place.logs / "odd"
    fine = [b"", b"\n", b"\n\n\n", bytes(100), bytes(10_000) + b"\n", b"\r\n", b" \t\r\n", place.parts[3].rstrip(b"\n")]
    for data in fine:
        odd.write_bytes(data)
        report = place.verify(*paths, odd)
        assert (report.verdict, {f.kind for f in report.findings} - {"duplicate"}) == (Verdict.OK, set()), data[:20]
    odd.unlink()
    for data in (b"x", b"\xff\xfe\x00", os.urandom(100_000), b"PK no zip", b"\x1f\x8b\x07 no gzip", b"BZh9 no bz2"):
        odd.write_bytes(data)
        report = place.verify(*paths, odd)
        assert report.verdict is Verdict.FAILED, data[:20]
        assert {f.kind for f in report.findings} == {"unsealed"}


def test_line_ends_are_no_part_of_a_line(place: Place) -> None:
    paths = place.write(lambda data: data.replace(b"\n", b"\r\n"))
    assert place.verify(*paths).verdict is Verdict.OK
    place.write(lambda data: data.rstrip(b"\n"))
    assert place.verify(*paths).verdict is Verdict.OK


def test_the_content_says_what_is_compressed_not_the_name(place: Place) -> None:
    for number, part in enumerate(place.parts):
        (place.logs / f"app.log.{number}.gz").write_bytes(bz2.compress(part) if number % 2 else part)
    assert place.verify(place.logs).verdict is Verdict.OK


@pytest.mark.parametrize("chunk", [4096, 2**23])
def test_a_line_that_is_too_long_for_a_seal_is_unsealed_and_the_next_one_is_found(
    place: Place, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_inputs, "CHUNK", chunk)
    path = place.logs / "app.log"
    for long in (b"x" * 20_000_000, bytes(20_000_000) + b"x", b"{" * 20_000_000):
        path.write_bytes(b"".join(place.parts[:5]) + long + b"\n" + b"".join(place.parts[5:]))
        report = place.verify(path)
        assert report.verdict is Verdict.FAILED
        assert [(f.kind, f.count) for f in report.findings] == [("unsealed", 1)]
        assert report.logs[0].sealed == place.lines
        assert report.lines == report.logs[0].sealed + 1


def test_a_line_that_is_not_all_read_has_no_hash_that_an_exception_could_name(place: Place) -> None:
    path, long = place.logs / "app.log", b"x" * 70_000_000
    path.write_bytes(b"".join(place.parts[:5]) + long + b"\n" + b"".join(place.parts[5:]))
    exceptions = place.directory / "exceptions"
    exceptions.write_text(f"unsealed sha256:{hashlib.sha256(long[:4096]).hexdigest()}: known\n")
    report = place.verify(path, exceptions=exceptions)
    assert [(f.kind, f.sha256) for f in report.findings] == [("unsealed", None)]


def test_a_line_of_the_greatest_length_is_read(tmp_path: Path) -> None:
    writer = Writer().open()
    assert writer.sealer is not None
    writer.take(writer.sealer.seal(b"x" * 2**24, 1))
    writer.close()
    (tmp_path / "head").write_bytes(writer.head)
    (tmp_path / "app.log").write_bytes(text(writer.lines))
    report = tallystick.verify([tmp_path / "app.log"], keys=[writer.key(tmp_path)], head=tmp_path / "head")
    assert report.verdict is Verdict.OK

"""Slips of an operator are no tampering: none of them is `failed`, and none is `ok` (spec section 9)."""

import bz2
import contextlib
import importlib
import random
import time
from pathlib import Path
from typing import Any

import pytest

import tallystick
from tallystick import keystore
from tallystick.reports.meanings import headline
from tallystick.verify import Report, Verdict
from tests import forging
from tests.forging import Log, Writer
from tests.verify.test_inputs import PACKERS as READ

PACKERS = {**READ, "bz2": lambda data: bz2.compress(data, 1)}  # blocks of 100 kB, of which some are before a cut
with contextlib.suppress(ImportError):
    PACKERS["lz4"] = importlib.import_module("lz4.frame").compress
ELSE = Writer("else", (bytes(32), bytes(range(64, 96)))).chain_of("e one", "ended").log()
CLOSED = forging.closed()
CLOSED_FORM = b"7z\xbc\xaf\x27\x1c and what is packed in it"
"""A file that is there and is not read, also by root."""


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "app.key").write_text(forging.key_text())
    (tmp_path / "app.head").write_text(CLOSED.head("1.1.2"))
    return {"keys": [tmp_path / "app.key"], "head": tmp_path / "app.head"}


def kinds(report: Report) -> list[tuple[str, str]]:
    return [(finding.weight.value, finding.kind) for finding in report.findings]


def write(place: Path, **files: bytes) -> list[Path]:
    for name, data in files.items():
        (place / f"{name}.log").write_bytes(data)
    return [place / f"{name}.log" for name in files]


def test_a_key_whose_log_is_not_here_asks_whether_it_is_the_right_one(tmp_path: Path, given: dict[str, Any]) -> None:
    """Its head, or pins of an earlier run, are at hand: that is no cut log."""
    for more in ({}, {"pins": [CLOSED.pin("1.1.1")]}):
        report = tallystick.verify(write(tmp_path, a=ELSE.data), **given, **more)
        assert kinds(report) == [("incomplete", "nothing verified")]
        assert "is this its key?" in report.findings[0].detail


@pytest.mark.parametrize(
    "data", [b"", b"text without a seal\n", ELSE.data + CLOSED.changed("1.0.1", b"one", b"eno").line("1.0.1") + b"\n"]
)
def test_a_log_that_is_gone_is_truncated_all_the_same(data: bytes, tmp_path: Path, given: dict[str, Any]) -> None:
    report = tallystick.verify(write(tmp_path, a=data), **given)
    assert ("failed", "truncated") in kinds(report)


def test_a_log_that_is_gone_beside_one_that_is_here_is_truncated(tmp_path: Path, given: dict[str, Any]) -> None:
    (tmp_path / "else.key").write_text(forging.key_text("else", bytes(32), bytes(range(64, 96))))
    given["keys"] = [*given["keys"], tmp_path / "else.key"]
    assert ("failed", "truncated") in kinds(tallystick.verify(write(tmp_path, a=ELSE.data), **given))


def test_what_stood_in_a_file_that_cannot_be_read_is_reported_with_its_name(
    tmp_path: Path, given: dict[str, Any]
) -> None:
    lines = CLOSED.data.splitlines(keepends=True)
    paths = write(tmp_path, a=b"".join(lines[:2]), c=b"".join(lines[4:]))
    (tmp_path / "b.log").write_bytes(CLOSED_FORM)
    report = tallystick.verify([*paths, tmp_path / "b.log"], **given)
    assert kinds(report) == [("incomplete", "missing"), ("incomplete", "unreadable")]
    assert report.findings[0].cause == f"it may stand in what could not be read: {tmp_path / 'b.log'}"
    (tmp_path / "b.log").unlink()
    assert kinds(tallystick.verify(paths, **given)) == [("failed", "missing")]


def test_the_end_in_a_file_that_cannot_be_read_is_not_cut_off(tmp_path: Path, given: dict[str, Any]) -> None:
    paths = write(tmp_path, a=CLOSED.between("1.0.0", "1.0.3").data)
    (tmp_path / "b.log").write_bytes(CLOSED_FORM)
    report = tallystick.verify([*paths, tmp_path / "b.log"], **given)
    assert kinds(report) == [("incomplete", "truncated"), ("incomplete", "unreadable")]
    # A changed line is one, whatever else cannot be read.
    paths = write(tmp_path, a=CLOSED.changed("1.0.1", b"one", b"eno").data)
    assert ("failed", "altered") in kinds(tallystick.verify([*paths, tmp_path / "b.log"], **given))


@pytest.mark.parametrize("how", ["nothing", "an empty file", "a name twice removed"])
def test_a_name_at_which_nothing_is_excuses_no_gap(how: str, tmp_path: Path, given: dict[str, Any]) -> None:
    """Or to remove a file that the verifier names would turn `failed` into `incomplete`."""
    lines = CLOSED.data.splitlines(keepends=True)
    paths = write(tmp_path, a=b"".join(lines[:2]), c=b"".join(lines[4:]))
    if how == "an empty file":
        (tmp_path / "b.log").touch()
    elif how == "a name twice removed":
        (tmp_path / "b.log").symlink_to("nowhere")
    report = tallystick.verify([*paths, tmp_path / "b.log"], **given)
    assert ("failed", "missing") in kinds(report)


@pytest.fixture(scope="module")
def long() -> Log:
    """A log of some 600 kB that no compression makes much smaller: it is cut within lines, not between blocks."""
    rng = random.Random(1)
    steps = [rng.randbytes(90).hex() for _ in range(2400)]
    return Writer().chain_of(*steps[:1200], "continues", *steps[1200:], "closed").log()


@pytest.mark.parametrize("form", PACKERS)
def test_of_a_compressed_file_that_was_cut_in_half_only_the_rest_is_unreadable(
    form: str, long: Log, tmp_path: Path, given: dict[str, Any]
) -> None:
    packed, path, most = PACKERS[form](long.data), tmp_path / "app.log.packed", 0
    given["head"].write_text(long.head("1.1.1201"))
    for size in range(len(packed) // 9, len(packed) - 10, len(packed) // 9 + 1):
        path.write_bytes(packed[:size])
        report = tallystick.verify([path], **given)
        assert set(kinds(report)) - {("incomplete", "nothing verified")} == {
            ("incomplete", "truncated"),
            ("incomplete", "unreadable"),
        }, size
        cut = next(finding for finding in report.findings if finding.kind == "truncated")
        assert cut.cause == f"it may stand in what could not be read: {path}"
        most = max(most, report.lines)
    assert most > 100  # what comes before the cut is verified


@pytest.mark.parametrize("form", PACKERS)
def test_a_cut_file_explains_what_is_absent_after_its_readable_part_and_nothing_before(
    form: str, long: Log, tmp_path: Path, given: dict[str, Any]
) -> None:
    packed = PACKERS[form](long.without("1.0.5").data)
    given["head"].write_text(long.head("1.1.1201"))
    (tmp_path / "a.packed").write_bytes(packed[: len(packed) // 2])
    (tmp_path / "b.log").write_bytes(long.between("1.1.900", "1.1.1200").data)
    report = tallystick.verify([tmp_path / "a.packed", tmp_path / "b.log"], **given)
    gaps = [(f.weight.value, f.position) for f in report.findings if f.kind == "missing"]
    assert gaps[0] == ("failed", "1.0.5")
    assert {weight for weight, _ in gaps[1:]} == {"incomplete"}
    assert gaps[1:]


def test_forms_of_lz4_and_lzo_that_are_not_read_are_named(tmp_path: Path, given: dict[str, Any]) -> None:
    for magic, what in ((b"\x02\x21\x4c\x18", "lz4 in its legacy form"), (b"\x89LZO\0\r\n\x1a\n", "lzop")):
        path = tmp_path / "app.log.packed"
        path.write_bytes(magic + bytes(1000))
        report = tallystick.verify([path], **given)
        assert report.verdict is Verdict.INCOMPLETE
        assert f"{what}, which is not read here; unpack it first" in report.findings[-1].detail


def test_a_log_that_is_being_written_is_not_said_to_have_crashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = f"file:{tmp_path}/store"
    tallystick.create("app", store=store, custody=f"master-key:{tmp_path}/k", key_file=tmp_path / "app.key")
    log = tallystick.open("app", output=tmp_path / "app.log", store=store)
    log.write("one")
    log.checkpoint()
    given: dict[str, Any] = {"keys": [tmp_path / "app.key"], "store": store}
    while bytes(keystore.connect(store).load("app").head or b"").split()[2].startswith(b"0."):
        time.sleep(0.02)  # the head follows
    report = tallystick.verify([tmp_path / "app.log"], **given)
    assert kinds(report) == [("note", "unclean end")]
    assert "this chain is being written" in report.findings[0].detail
    assert "crash" not in report.findings[0].detail + headline(report)
    log.close()
    assert kinds(tallystick.verify([tmp_path / "app.log"], **given)) == []

"""What may have happened without ill will: told where there is a sign of it, and not where there is none."""

from pathlib import Path

import pytest

import tallystick
from tallystick.verify import Finding, Report, Verdict
from tests.carriers.test_carriers import HERE, PREFIXED, WRAPPED
from tests.forging import Log, Writer, forged, key_text, public_text, redacted, whole

LONG = Writer().chain_of("x" * 5000, "a\ttab", "caf\N{LATIN SMALL LETTER E WITH ACUTE}", "user=7 #011", "ended").log()


pytestmark = pytest.mark.usefixtures("no_store")


def verify(place: Path, *files: bytes) -> Report:
    (place / "app.key").write_text(key_text())
    for number, data in enumerate(files):
        (place / f"{number}.log").write_bytes(data)
    return tallystick.verify(sorted(place.glob("*.log")), keys=[place / "app.key"])


def bad(place: Path, *files: bytes) -> Finding:
    """The one finding that is failed and of a line, or of lines that are absent."""
    (finding,) = [f for f in verify(place, *files).findings if f.weight.value == "failed" and f.path]
    return finding


def cut(log: Log, position: str, size: int) -> bytes:
    """The log with one line cut to a size."""
    return log.put(position, log.line(position)[:size]).data


COPYTRUNCATE = "the gap lies at the edge of a file: rotation by copytruncate loses lines there"


@pytest.mark.parametrize("lost", [["1.0.3"], ["1.0.2", "1.0.3"]])
def test_lines_lost_between_two_files_look_like_copytruncate(lost: list[str], tmp_path: Path) -> None:
    log = whole().without(*lost)
    number = log.lines.index(whole().line("1.0.4"))
    before, after = (b"".join(line + b"\n" for line in part) for part in (log.lines[:number], log.lines[number:]))
    found = bad(tmp_path, before, after)
    assert (found.kind, found.cause, found.count) == ("missing", COPYTRUNCATE, len(lost))


@pytest.mark.parametrize("lost", ["1.0.1", "1.0.3", "2.0.1"])
def test_lines_lost_amid_a_file_do_not(lost: str, tmp_path: Path) -> None:
    (found,) = verify(tmp_path, whole().without(lost).data).findings
    assert (found.kind, found.position, found.cause) == ("missing", lost, None)


def test_lines_lost_amid_one_of_two_files_do_not(tmp_path: Path) -> None:
    (found,) = verify(
        tmp_path, whole().between("1.0.0", "1.1.2").without("1.1.0").data, whole().between("2.0.0", "3.0.2").data
    ).findings
    assert (found.kind, found.position, found.cause) == ("missing", "1.1.0", None)


def test_bytes_replaced_by_u_fffd_are_reported(tmp_path: Path) -> None:
    found = bad(tmp_path, LONG.changed("1.0.3", "\N{LATIN SMALL LETTER E WITH ACUTE}".encode(), "\ufffd".encode()).data)
    assert found.cause == "it holds U+FFFD: a carrier may have replaced bytes that were no UTF-8"


def test_bytes_replaced_by_a_question_mark_are_not(tmp_path: Path) -> None:
    found = bad(tmp_path, LONG.changed("1.0.3", "\N{LATIN SMALL LETTER E WITH ACUTE}".encode(), b"?").data)
    assert (found.kind, found.position, found.cause) == ("altered", "1.0.3", None)


@pytest.mark.parametrize("size", [1024, 2048, 4096, 2047, 4095])
def test_a_line_of_a_round_number_of_bytes_may_have_been_cut(size: int, tmp_path: Path) -> None:
    found = next(f for f in verify(tmp_path, cut(LONG, "1.0.1", size)).findings if f.kind == "unsealed")
    assert found.cause == f"it is {size} bytes long: a carrier may have cut it at its limit"


@pytest.mark.parametrize("size", [512, 1000, 1025, 2046, 2049])
def test_a_line_of_any_other_number_of_bytes_may_not(size: int, tmp_path: Path) -> None:
    found = next(f for f in verify(tmp_path, cut(LONG, "1.0.1", size)).findings if f.kind == "unsealed")
    assert found.cause is None


def test_a_tab_written_as_rsyslog_writes_it_is_reported(tmp_path: Path) -> None:
    found = bad(tmp_path, LONG.changed("1.0.2", b"\t", b"#011").data)
    assert found.cause is not None
    assert found.cause.startswith("it holds escapes like #011: rsyslog may have written control characters so")


def test_a_tab_written_in_any_other_way_is_not(tmp_path: Path) -> None:
    for other in (b"\\t", b"#911", b"#11", b"    "):
        assert bad(tmp_path, LONG.changed("1.0.2", b"\t", other).data).cause is None


def test_a_line_that_was_sealed_with_such_an_escape_is_fine(tmp_path: Path) -> None:
    assert verify(tmp_path, LONG.data).verdict is Verdict.OK


FORGOTTEN = [(f, kind, logs) for f, kind, _, logs in WRAPPED] + [(f, kind, ["app", "bytes"]) for f, kind in PREFIXED]


@pytest.mark.parametrize(("fixture", "kind", "logs"), FORGOTTEN)
def test_where_an_envelope_was_forgotten_its_kind_is_named(fixture: str, kind: str, logs: list[str]) -> None:
    report = tallystick.verify([HERE / fixture], keys=[HERE / f"{log}.key" for log in logs])
    assert report.verdict is Verdict.FAILED
    causes = [f.cause for f in report.findings if f.weight.value == "failed"]
    named = [cause for cause in causes if cause is not None]
    assert {cause.split("--envelope ")[1].split()[0] for cause in named if "--envelope" in cause} == {kind}
    # Of an answer over several lines, brackets and counts stand on lines of their own.
    lines = sum(b" tally=" in line or b'tally\\"' in line for line in (HERE / fixture).read_bytes().split(b"\n"))
    assert len(named) * 2 >= min(len(causes), lines)
    if kind == "json":
        assert any("--field" in cause for cause in named)


@pytest.mark.parametrize("log", ["app", "bytes", "long"])
def test_lines_in_no_envelope_name_none(log: str, tmp_path: Path) -> None:
    lines = (HERE / f"{log}.log").read_bytes().split(b"\n")[:-1]
    for number, line in enumerate(lines[1:-1], 1):
        for changed in (line.replace(b"tally", b"TALLY", 1), line + b" more", b"X" + line[1:]):
            (tmp_path / "app.log").write_bytes(b"\n".join([*lines[:number], changed, *lines[number + 1 :], b""]))
            report = tallystick.verify([tmp_path / "app.log"], keys=[HERE / f"{log}.key"])
            assert report.verdict is Verdict.FAILED
            assert not [f.cause for f in report.findings if f.cause and "verify with --envelope" in f.cause]


# -- what is said with one key must not be said with the other one

SAID = {
    ("a line of an epoch", "V"): (whole().changed("1.0.2", b"two", b"owt"), "the seal does not match the line"),
    ("a line of an epoch", "P"): (whole().changed("1.0.2", b"two", b"owt"), "one or more of the 4 lines that this"),
    ("a second line", "P"): (whole().behind("1.0.2", forged("1.0.2", b"a owt")), "another line claims this position"),
    ("an epoch of one line", "P"): (
        Writer().chain_of("continues", "one", "ended").log().changed("1.1.0", b"one", b"eno"),
        "the line that this checkpoint signs was changed",
    ),
    ("made by a holder of V", "V"): (
        whole().put("1.0.2", forged("1.0.2", b"a owt")),
        "every tag of this epoch holds, but its checkpoint signs other lines",
    ),
    ("blanked", "V"): (whole().put("1.0.2", redacted(whole().line("1.0.2"))), "rightly blanked, but not listed"),
    ("blanked", "P"): (
        whole().put("1.0.2", redacted(whole().line("1.0.2"))),
        "blanked; only the verification key can tell whether rightly",
    ),
    ("one line gone", "V"): (whole().without("1.0.2"), "a line that stood right after this one is not here"),
    ("two lines gone", "V"): (whole().without("1.0.2", "1.0.3"), "2 lines that stood right after this one are not"),
}


@pytest.mark.parametrize(("what", "key"), SAID)
def test_a_finding_says_what_this_key_can_know(what: str, key: str, tmp_path: Path) -> None:
    log, said = SAID[what, key]
    (tmp_path / "app.log").write_bytes(log.data)
    (tmp_path / "key").write_text(key_text() if key == "V" else public_text())
    given = {"keys" if key == "V" else "public": [tmp_path / "key"]}
    report = tallystick.verify([tmp_path / "app.log"], **given)  # type: ignore[arg-type]
    assert report.findings[0].detail.startswith(said)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"amount=100", b"amount=1000", "the line is 1 byte longer than its seal says"),
        (b"amount=100", b"amount=1", "the line is 2 bytes shorter than its seal says"),
        (b"amount=100", b"amount=999", "the seal does not match the line"),
        (b"pay", b"2026-05-03 pay", "something stands before what was sealed, which is whole"),
    ],
)
def test_a_carrier_is_spoken_of_only_where_what_was_sealed_is_whole(
    old: bytes, new: bytes, said: str, tmp_path: Path
) -> None:
    """Guards against `amount=1000` that was told as a carrier's prefix."""
    log = Writer().chain_of("pay amount=100", "ended").log().changed("1.0.1", old, new)
    (tmp_path / "app.log").write_bytes(log.data)
    (tmp_path / "app.key").write_text(key_text())
    (tmp_path / "app.pub").write_text(public_text())
    (found,) = tallystick.verify([tmp_path / "app.log"], keys=[tmp_path / "app.key"]).findings
    assert (found.kind, found.position, found.detail.startswith(said)) == ("altered", "1.0.1", True)
    assert ("--envelope" in found.detail) == (b"2026" in new)
    for found in tallystick.verify([tmp_path / "app.log"], public=[tmp_path / "app.pub"]).findings:
        assert "something stands before" not in found.detail  # P cannot tell

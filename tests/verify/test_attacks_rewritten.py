"""Attacks on JSON logs that a carrier wrote anew: with P only, a second look at such an epoch must lose nothing."""

import json

import pytest

from tallystick.verify import Report, Verdict
from tests.doctoring import TIME
from tests.sealed import Taking
from tests.verify.test_constructed import FAKE, Writer, judge, kinds, text

EVIL = b'{"action":"pay","user":7}'


def anew(line: bytes) -> bytes:
    """The line as a carrier writes it that sorts names another way and puts blanks between."""
    return json.dumps(dict(reversed(json.loads(line).items()))).encode()


@pytest.fixture(scope="module")
def writer() -> Writer:
    writer = Writer()
    writer.sealer = Taking(writer.state.open_chain(writer.head, TIME))
    writer.sealer.configure("json", 4)
    for number in range(12):
        writer.take(writer.sealer.seal(b'{"action":"login","user":%d}' % number, TIME))
    return writer.counted().end()


def told(writer: Writer, lines: list[bytes]) -> Report:
    """What a holder of P is told."""
    return judge(writer, text(lines), with_p=True)


def with_line(writer: Writer, line: bytes, at: int) -> list[bytes]:
    lines = [anew(line) for line in writer.lines]
    return [*lines[:at], line, *lines[at:]]


def test_as_it_was_rewritten_it_is_ok(writer: Writer) -> None:
    report = told(writer, [anew(line) for line in writer.lines])
    assert (report.verdict, kinds(report)) == (Verdict.OK, {"reserialized"})
    assert report.findings[0].count == len(writer.lines)


@pytest.mark.parametrize("at", [2, 3, 4, 5, 6, 17])
@pytest.mark.parametrize("form", ["anew", "json", "plain"])
def test_a_forged_line_at_a_position_that_is_taken_is_altered(writer: Writer, at: int, form: str) -> None:
    seal = f"{writer.id}.1.0.2.{1 if form == 'plain' else len(EVIL)}.{FAKE}".encode()
    line = b'%s,"tally":"%s"}' % (EVIL[:-1], seal)
    line = {"anew": anew(line), "json": line, "plain": b"x tally=" + seal}[form]
    for times in (1, 3):
        report = told(writer, with_line(writer, b"\n".join([line] * times), at))
        assert report.verdict is Verdict.FAILED
        assert "altered" in kinds(report)


@pytest.mark.parametrize("seal", ["9.0.1", "1.3.0", "1.0.3"])
def test_a_line_with_two_seals_hides_behind_neither(writer: Writer, seal: str) -> None:
    line = b'{"tally":"%s.%s.9.%s","z":"pay tally=%s.1.0.2.3.%s"}' % (
        *(part.encode() for part in (writer.id, seal, FAKE, writer.id, FAKE)),
    )
    for at in (3, 4, 17):
        assert told(writer, with_line(writer, line, at)).verdict is Verdict.FAILED


@pytest.mark.parametrize("chunk", [300, 2**23])
def test_lines_out_of_order_are_reported(writer: Writer, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from tallystick.verify import inputs

    monkeypatch.setattr(inputs, "CHUNK", chunk)
    lines = [anew(line) for line in writer.lines]
    assert told(writer, lines).verdict is Verdict.OK
    for one, other in [(2, 3), (2, 7), (4, 5), (1, 15)]:
        swapped = list(lines)
        swapped[one], swapped[other] = swapped[other], swapped[one]
        report = told(writer, swapped)
        assert (report.verdict, "reordered" in kinds(report)) == (Verdict.FAILED, True)


@pytest.mark.parametrize("at", [0, 2, 4, 9, 16])
def test_a_line_that_stands_there_twice_is_a_duplicate(writer: Writer, at: int) -> None:
    lines = [anew(line) for line in writer.lines]
    report = told(writer, [*lines[: at + 1], *lines[at:]])
    assert (report.verdict, kinds(report)) == (Verdict.FAILED, {"duplicate", "reserialized"})


def test_copies_of_one_log_as_it_was_and_as_it_was_rewritten_are_ok(writer: Writer) -> None:
    lines = [anew(line) for line in writer.lines]
    for files in (
        (lines, writer.lines),
        (writer.lines, lines),
        (lines[:7], lines[3:]),
        (lines[:7], writer.lines[3:], lines[5:12]),
    ):
        report = judge(writer, *(text(file) for file in files), with_p=True)
        assert (report.verdict, kinds(report)) == (Verdict.OK, {"duplicate", "reserialized"})


@pytest.mark.parametrize(("start", "end"), [(0, 13), (2, 17), (2, 9), (11, 13)])
def test_lines_that_no_checkpoint_covers_are_uncovered_in_either_form(writer: Writer, start: int, end: int) -> None:
    # What was written anew at the end of a live log, or at the begin of the oldest file that is left, is not altered.
    plain = told(writer, writer.lines[start:end])
    rewritten = told(writer, [anew(line) for line in writer.lines[start:end]])
    assert plain.verdict is rewritten.verdict is Verdict.INCOMPLETE
    assert kinds(rewritten) - {"reserialized"} == kinds(plain)
    forged = with_line(writer, EVIL, end - 1)[start : end + 1]
    assert told(writer, forged).verdict is Verdict.FAILED


@pytest.mark.parametrize("with_p", [False, True])
def test_white_space_before_a_line_is_reported_as_rewritten(writer: Writer, with_p: bool) -> None:
    lines = [*writer.lines[:3], b"\x0c\t" + writer.lines[3], *writer.lines[4:]]
    report = judge(writer, text(lines), with_p=with_p)
    assert (report.verdict, kinds(report)) == (Verdict.OK, {"reserialized"})


QUOTED = b"tally=aaaaaaaa.1.0.1.5.AAAAAAAAAAAAAAAAAAAAAA"


@pytest.mark.parametrize("with_p", [False, True])
def test_a_line_rewritten_so_that_a_quoted_seal_of_another_log_comes_last_is_read_by_its_own(with_p: bool) -> None:
    """A user chose what is quoted: it must neither hide the line nor stand for its seal."""
    writer = Writer()
    writer.sealer = Taking(writer.state.open_chain(writer.head, TIME))
    writer.take(writer.sealer.seal(b'{"action":"login","user":"x %s"}' % QUOTED, TIME))
    writer.counted().end()
    lines = [anew(line) if QUOTED in line else line for line in writer.lines]
    quoted = next(line for line in lines if QUOTED in line)
    last = json.dumps({"tally": json.loads(quoted).pop("tally")} | json.loads(quoted)).encode()
    assert last.index(QUOTED) > last.index(b'"tally"')
    lines[lines.index(quoted)] = last
    report = judge(writer, text(lines), with_p=with_p)
    assert (report.verdict, kinds(report)) == (Verdict.OK, {"reserialized"})
    lines[lines.index(last)] = last.replace(b"login", b"admin")
    assert judge(writer, text(lines), with_p=with_p).verdict is Verdict.FAILED

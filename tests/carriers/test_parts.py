"""Parts of one line as records of their own, which their driver numbers: in any order, never with one lacking."""

import json
import random
from pathlib import Path

import pytest

import tallystick
from tallystick.verify import Report, Verdict
from tests.forging import Writer, key_text

SIZE = 16 << 10
LOG = Writer().chain_of("one", "two " * 12_000, "three", "four " * 12_000, "ended").log()
KINDS = ["journal-json", "journal-export", "fluentd"]


def parts(line: bytes, number: int, kind: str) -> list[bytes]:
    """The records of a line as Docker's driver of that kind writes them."""
    texts = [line[at : at + SIZE].decode() for at in range(0, len(line), SIZE)]
    out = []
    for ordinal, text in enumerate(texts, 1):
        last = ordinal == len(texts)
        marks = {"partial_id": f"id{number}", "partial_ordinal": str(ordinal), "partial_last": str(last).lower()}
        if not last or kind == "fluentd":
            marks["partial_message"] = "true"
        if len(texts) == 1:
            marks = {}
        if kind == "fluentd":
            out.append(json.dumps({"log": text, "source": "stdout", "container_id": "c", **marks}).encode() + b"\n")
            continue
        marks = {f"CONTAINER_{name.upper()}": value for name, value in marks.items()}
        record = {"CONTAINER_ID_FULL": "c", "PRIORITY": "6", "MESSAGE": text, **marks}
        if kind == "journal-json":
            out.append(json.dumps(record).encode() + b"\n")
        else:
            out.append("".join(f"{name}={value}\n" for name, value in record.items()).encode() + b"\n")
    return out


def lines(kind: str) -> list[list[bytes]]:
    return [parts(line, number, kind) for number, line in enumerate(LOG.lines)]


def verified(place: Path, kind: str, *files: list[bytes]) -> Report:
    (place / "key").write_text(key_text() + "\n")
    for number, records in enumerate(files):
        (place / f"{number}.log").write_bytes(b"".join(records))
    envelope = {"envelope": "json", "field": "log"} if kind == "fluentd" else {"envelope": kind}
    paths = [place / f"{number}.log" for number in range(len(files))]
    return tallystick.verify(paths, keys=[place / "key"], store="none", **envelope)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_numbered_parts_are_put_together_in_whatever_order_they_come(kind: str, tmp_path: Path) -> None:
    first, one, two, three, four, last = lines(kind)
    assert (len(two), len(four)) == (3, 4)
    rng = random.Random(3)
    for _ in range(20):
        shuffled = [rng.sample(two, 3), rng.sample(four, 4)]
        report = verified(tmp_path, kind, [*first, *one, *shuffled[0], *three, *shuffled[1], *last])
        assert (report.verdict, {f.kind for f in report.findings}) == (Verdict.OK, {"prefixed"})


@pytest.mark.parametrize("kind", KINDS)
def test_parts_of_two_lines_may_come_mixed(kind: str, tmp_path: Path) -> None:
    first, one, two, three, four, last = lines(kind)
    mixed = [two[0], four[3], two[2], four[0], *three, four[2], two[1], four[1]]
    report = verified(tmp_path, kind, [*first, *one, *mixed, *last])
    # Only that it is whole after the next line is told: that is how the file has it.
    assert {f.kind for f in report.findings if f.weight.value == "failed"} <= {"reordered"}
    assert report.logs[0].sealed == 6


@pytest.mark.parametrize("kind", KINDS)
def test_a_line_without_one_of_its_parts_is_not_put_together_and_says_which_is_missing(
    kind: str, tmp_path: Path
) -> None:
    first, one, two, three, four, last = lines(kind)
    for gone, told in (
        (0, "of its 4 parts, by the numbers of the carrier, 1 is missing"),
        (1, "of its 4 parts, by the numbers of the carrier, 2 is missing"),
        (3, "of its parts, by the numbers of the carrier, all after 3 are missing"),
    ):
        left = four[:gone] + four[gone + 1 :]
        report = verified(tmp_path, kind, [*first, *one, *two, *three, *left, *last])
        assert report.verdict is Verdict.FAILED
        bad = [f for f in report.findings if f.kind in ("altered", "unsealed")]
        assert [f.cause for f in bad] == [told]


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_that_is_there_twice_is_not_passed_over(kind: str, tmp_path: Path) -> None:
    first, one, two, three, four, last = lines(kind)
    for again in (two[1], two[1].replace(b"two t", b"two T", 1), two[2]):
        report = verified(tmp_path, kind, [*first, *one, two[0], two[1], again, two[2], *three, *four, *last])
        assert report.verdict is Verdict.FAILED
    report = verified(tmp_path, kind, [*first, *one, *two, *two, *three, *four, *last])
    assert {f.kind for f in report.findings if f.weight.value == "failed"} == {"duplicate"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_rotation_may_part_numbered_records(kind: str, tmp_path: Path) -> None:
    records = [record for line in lines(kind) for record in line]
    for cut in range(1, len(records)):
        for files in ((records[:cut], records[cut:]), (records[cut:], records[:cut])):
            assert verified(tmp_path, kind, *files).verdict is Verdict.OK, cut
    assert verified(tmp_path, kind, records[:3], records[4:]).verdict is Verdict.FAILED


def test_numbers_that_no_driver_gives_make_no_line(tmp_path: Path) -> None:
    first, one, two, three, four, last = lines("fluentd")
    for number in (b"0", b"-1", b"01", b"4294967296", b"", b"x"):
        odd = [two[0], two[1].replace(b'ordinal": "2"', b'ordinal": "' + number + b'"'), two[2]]
        report = verified(tmp_path, "fluentd", [*first, *one, *odd, *three, *four, *last])
        assert report.verdict is Verdict.FAILED
    flood = [
        json.dumps({"log": "", "partial_message": "true", "partial_id": f"i{n % 70}", "partial_ordinal": str(n + 1)})
        for n in range(5000)
    ]
    records = [*first, *one, *(record.encode() + b"\n" for record in flood), *two, *three, *four, *last]
    assert verified(tmp_path, "fluentd", records).logs[0].sealed == 6


def test_parts_that_vector_marks_are_joined_by_container_or_file(tmp_path: Path) -> None:
    for place in ("container_id", "file"):
        records = []
        for number, line in enumerate(LOG.lines):
            texts = [line[at : at + SIZE].decode() for at in range(0, len(line), SIZE)]
            for text in texts:
                record = {place: "c", "log": text, "stream": "stdout"} | (
                    {"_partial": True} if text != texts[-1] else {}
                )
                records.append(json.dumps(record).encode() + b"\n")
                if number in (1, 3):  # another container's parts stand between
                    records.append(json.dumps({place: "d", "log": "", "stream": "stdout"}).encode() + b"\n")
        assert verified(tmp_path, "fluentd", records).verdict is Verdict.OK

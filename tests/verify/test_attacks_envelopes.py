"""Attacks by whoever may write the files that carriers left: what a viewer shows was verified, or is told."""

import json

import pytest

from tallystick.verify import Verdict
from tallystick.verify import inputs as verify_inputs
from tests.verify.test_constructed import Writer, judge, kinds, text

DOCKER = {"stream": "stdout", "time": "2026-11-23T08:15:45.1Z"}
CRI = b"2026-11-23T08:15:45.1Z stdout "
TOO_LONG = 4 * verify_inputs.CHUNK + 2**20  # bytes; no line is read whole that is as long


def docker(lines: list[bytes], **more: str) -> bytes:
    """One record of Docker's json-file driver that holds some lines."""
    return json.dumps({"log": text(lines).decode(), **DOCKER, **more}).encode()


def sized(name: bytes, data: bytes) -> bytes:
    """A field of the Journal Export Format whose data may be any bytes."""
    return name + b"\n" + len(data).to_bytes(8, "little") + data + b"\n"


@pytest.mark.parametrize("name", ["Log", "LOG", "lo\\u0047"])
def test_a_second_name_that_the_engine_takes_for_log_is_not_passed_over(name: str) -> None:
    # Docker reads its records with a library that does not mind the case of names, and the last one wins.
    writer = Writer().open().write(5).end()
    records = [docker([line]) for line in writer.lines]
    assert judge(writer, text(records), envelope="docker").verdict is Verdict.OK
    records[3] = records[3][:-1] + b', "%s": "user=7 action=pay\\n"}' % name.encode()
    assert judge(writer, text(records), envelope="docker").verdict is Verdict.FAILED


def test_a_torn_line_excuses_no_other_line_of_its_record() -> None:
    # A record may hold several lines, which then all stand at one place of the file.
    writer = Writer().open().write(3).open().write(3).close()
    cut = next(number for number, line in enumerate(writer.lines) if b" 2 " in line and b"/v1 open " in line)
    before, opening, behind = writer.lines[:cut], writer.lines[cut], writer.lines[cut + 1 :]
    torn = [*(docker([line]) for line in before), docker([b"line 3 tal", opening])]
    torn += [docker([line]) for line in behind]
    report = judge(writer, text(torn), envelope="docker")
    assert (report.verdict, kinds(report) >= {"torn line"}) == (Verdict.OK, True)
    torn[cut] = docker([b"line 3 tal", opening, b"user=7 action=pay", b"user=7 action=pay"])
    assert judge(writer, text(torn), envelope="docker").verdict is Verdict.FAILED


def test_what_stands_behind_the_begin_of_an_endless_part_is_reported() -> None:
    writer = Writer().open().write(5).end()
    records = [CRI + b"F " + line for line in writer.lines]
    assert judge(writer, text(records), envelope="cri").verdict is Verdict.OK
    part = (CRI + b"P " + writer.lines[2]).ljust(4096)
    records[2] = part + b"user=7 action=pay " * (TOO_LONG // 18)
    assert judge(writer, text(records), envelope="cri").verdict is Verdict.FAILED


@pytest.mark.parametrize("where", ["text", "sized"])
def test_an_endless_field_swallows_no_entry_of_the_journal(where: str) -> None:
    writer = Writer().open().write(5).end()
    entries = [b"PRIORITY=6\nMESSAGE=" + line + b"\n" for line in writer.lines]
    filler = b"x" * TOO_LONG
    field = b"FOO=" + filler + b"\n" if where == "text" else sized(b"FOO", filler)
    entries.insert(2, b"MESSAGE=" + writer.lines[2] + b"\n" + field)
    del entries[3]
    # A coredump is as long as that, and a record as good as any other.
    assert judge(writer, text(entries), envelope="journal-export").verdict is Verdict.OK
    entries[2] += b"MESSAGE=user=7 action=pay\n"
    assert judge(writer, text(entries), envelope="journal-export").verdict is Verdict.FAILED


def test_an_entry_of_the_journal_without_a_message_is_reported() -> None:
    writer = Writer().open().write(5).end()
    entries = [b"PRIORITY=6\nMESSAGE=" + line + b"\n" for line in writer.lines]
    entries.insert(3, b"PRIORITY=6\nmessage=user=7 action=pay\n")
    assert judge(writer, text(entries), envelope="journal-export").verdict is Verdict.FAILED
    entries[3] = b"PRIORITY=6\nNOTE=user=7 action=pay\n"
    assert judge(writer, text(entries), envelope="journal-export").verdict is Verdict.FAILED


@pytest.mark.parametrize("other", ['["user=7 action=pay"]', "7", "{}"])
def test_a_field_that_stands_there_twice_is_no_field(other: str) -> None:
    writer = Writer().open().write(5).end()
    records = [json.dumps({"a": {"b": line.decode()}}).encode() for line in writer.lines]
    assert judge(writer, text(records), envelope="json", field="a.b").verdict is Verdict.OK
    records[3] = records[3][:-1] + f', "a.b": {other}}}'.encode()
    assert judge(writer, text(records), envelope="json", field="a.b").verdict is Verdict.FAILED
    flat = [json.dumps({"a.b": line.decode()}).encode() for line in writer.lines]
    flat[3] = flat[3][:-1] + b', "a": {"b": %s}}' % other.encode()
    assert judge(writer, text(flat), envelope="json", field="a.b").verdict is Verdict.FAILED
    flat[3] = flat[3].replace(b'"a": {"b"', b'"a": {"c"')
    assert judge(writer, text(flat), envelope="json", field="a.b").verdict is Verdict.OK


def wrapped(kind: str, line: bytes) -> bytes:
    """A line as a container engine writes it."""
    return docker([line]).replace(b'": "', b'":"') if kind == "docker" else CRI + b"F " + line


def half(kind: str, line: bytes) -> bytes:
    """A record that broke off within its line."""
    return b'{"log":' + json.dumps(line.decode()).encode()[:-1] if kind == "docker" else CRI + b"F " + line


@pytest.mark.parametrize("kind", ["docker", "cri"])
@pytest.mark.parametrize("closed", [True, False])
def test_what_a_power_loss_glued_to_a_record_is_judged_as_if_it_stood_alone(kind: str, closed: bool) -> None:
    writer = Writer().open().write(3)
    if closed:
        writer.close()
    before = text([wrapped(kind, line) for line in writer.lines])
    writer.lines.clear()
    opening = writer.burn()
    after = text([wrapped(kind, line) for line in writer.open().write(3).end().lines])

    def judged(glue: bytes) -> tuple[Verdict, bool]:
        report = judge(writer, before + glue + after, envelope=kind)
        return report.verdict, "torn line" in kinds(report)

    for glue in (b"", bytes(4096), b"{" if kind == "docker" else b"2026-11-23T08:1"):
        assert judged(glue) == (Verdict.OK, False), glue
    for glue in (half(kind, opening[:60]), half(kind, opening[:-9]), half(kind, opening[:60]) + bytes(512)):
        assert judged(glue) == (Verdict.OK, True), glue
    # An entry may have broken off only where its chain was not closed.
    assert judged(half(kind, b"user=7 act")) == ((Verdict.FAILED, False) if closed else (Verdict.OK, True))
    for glue in (
        half(kind, b"user=7 act") * 2,
        b"user=7 ",
        half(kind, b"user=7 act") + bytes(9) + half(kind, b"user=8"),
    ):
        assert judged(glue)[0] is Verdict.FAILED or not closed, glue
    assert judged(half(kind, b"user=7") + b"\n" + half(kind, b"user=8"))[0] is Verdict.FAILED
    for glue in (half(kind, b"user=7 act"), half(kind, opening[:60])):  # amid a chain nothing breaks off
        report = judge(writer, before + glue + after.replace(b"\n", b"\n" + glue, 2), envelope=kind)
        assert report.verdict is Verdict.FAILED


@pytest.mark.parametrize("kind", ["docker", "cri"])
def test_a_carriers_file_may_end_within_a_record(kind: str) -> None:
    writer = Writer().open().write(3).close()
    before = text([wrapped(kind, line) for line in writer.lines])
    record = wrapped(kind, writer.burn())
    for cut in (1, 5, 20, 40, 60, 300):
        assert judge(writer, before + record[:cut], envelope=kind).verdict is Verdict.OK, record[:cut]
    assert judge(writer, before + half(kind, b"user=root"), envelope=kind).verdict is Verdict.FAILED
    assert judge(writer, before + record[:5] + b"\n", envelope=kind).verdict is Verdict.FAILED

"""Attacks by way of what a verifier is given beside the lines: exceptions, and files in a form of their own."""

import bz2
import gzip
import lzma
from pathlib import Path

import pytest

import tallystick
from tallystick import _core
from tallystick.verify import Verdict
from tests.sealed import position
from tests.verify.test_constructed import FAKE, Writer, judge, kinds, text


@pytest.mark.parametrize("kept", [0, 2])
def test_an_exception_for_one_epoch_covers_no_other(tmp_path: Path, kept: int) -> None:
    writer = Writer().open(epoch_lines=4).write(40).end()

    def without(*epochs: int) -> bytes:
        at = {line: position(line) for line in writer.lines}
        gone = [line for line in writer.lines if at[line][1] in epochs and (at[line][2] >= kept or at[line][1] > 3)]
        return text([line for line in writer.lines if line not in gone])

    exceptions = tmp_path / "exceptions"
    exceptions.write_text(f"missing 1.3.{kept} to 1.3.*: the disk was full\n")
    assert judge(writer, without(3), exceptions=exceptions).verdict is Verdict.OK
    for epochs in [(3, 4), (3, 4, 5, 6), (3, 5), (3, 7, 8)]:
        report = judge(writer, without(*epochs), exceptions=exceptions)
        assert (report.verdict, "missing" in kinds(report)) == (Verdict.FAILED, True)
    exceptions.write_text(f"missing 1.3.{kept} to 1.6.*: the disk was full\n")
    assert judge(writer, without(3, 4, 5, 6), exceptions=exceptions).verdict is Verdict.OK
    assert judge(writer, without(3, 4, 5, 6, 7), exceptions=exceptions).verdict is Verdict.FAILED


def test_what_stands_behind_a_stream_is_of_the_same_kind() -> None:
    # The tool that reads the first kind shows nothing of the second.
    writer = Writer().open(epoch_lines=7).write(20).end()
    one, two = text(writer.lines[:9]), text(writer.lines[9:])
    for compress in (gzip.compress, bz2.compress, lzma.compress):
        assert judge(writer, compress(one) + compress(two)).verdict is Verdict.OK
    for first, second in ((gzip.compress, bz2.compress), (bz2.compress, lzma.compress), (lzma.compress, gzip.compress)):
        report = judge(writer, first(one) + second(two))
        # What is missing then may stand in what cannot be read.
        assert (report.verdict, kinds(report) & {"unreadable", "missing", "truncated"}) == (
            Verdict.INCOMPLETE,
            {"unreadable", "truncated"},
        )
        report = judge(writer, first(one + two) + second(two))
        assert (report.verdict, kinds(report)) == (Verdict.INCOMPLETE, {"unreadable"})


def test_lines_that_a_narrowed_key_leaves_out_do_not_stand_among_the_others(tmp_path: Path) -> None:
    writer = Writer()
    for _ in range(4):
        writer.open(epoch_lines=3).write(5).close()
    key = tmp_path / "narrowed.key"
    with writer.key(tmp_path).open("rb") as whole, key.open("wb") as narrowed:
        _core.NarrowedKey.read(whole.fileno(), 2, 3).write(narrowed.fileno())
    (tmp_path / "log").write_bytes(text(writer.lines))
    options = {"keys": [key], "head": tmp_path / "none", "allow": ["narrowed", "open end"]}
    (tmp_path / "none").write_bytes(writer.head)
    report = tallystick.verify([tmp_path / "log"], **options)
    assert (report.verdict, "narrowed" in kinds(report)) == (Verdict.OK, True)
    for chain in (1, 4, 99):
        evil = f"user=7 action=pay tally={writer.id}.{chain}.0.1.17.{FAKE}".encode()
        at = next(n for n, line in enumerate(writer.lines) if position(line) == (2, 0, 2))
        (tmp_path / "log").write_bytes(text([*writer.lines[:at], evil, *writer.lines[at:]]))
        report = tallystick.verify([tmp_path / "log"], **options)
        # It may be a line of that chain, which this key cannot tell; so it is no proof of tampering, but never ok.
        assert (report.verdict, "reordered" in kinds(report)) == (Verdict.INCOMPLETE, True)

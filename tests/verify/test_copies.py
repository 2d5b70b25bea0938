"""A copy may end in the middle of a line; a line that somebody put there is still reported."""

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

import tallystick
from tests import forging
from tests.forging import MAKE, Log, Writer

CHECK = MAKE.check
CUT = ("ok", frozenset({"torn line", "duplicate"}))


def log(control: str) -> Log:
    writer = Writer(control=control)
    writer.chain_of("one one", '{"a":1}', "continues", "two", "closed")
    return writer.chain_of("three", "three x tally=aaaaaaaa.1.0.1.5.AAAAAAAAAAAAAAAAAAAAAA", "ended").log()


def told(files: dict[str, bytes], place: Path, key: str = "V", **given: Any) -> tuple[str, frozenset[str]]:
    """What the package says: verdict and kinds."""
    text = forging.key_text() if key == "V" else forging.public_text()
    (place / "key").write_text(text + "\n")
    for name, content in files.items():
        (place / name).write_bytes(content)
    keys = {"keys" if key == "V" else "public": [place / "key"]}
    report = tallystick.verify([place / name for name in files], **keys, **given)
    return report.verdict.value, frozenset(finding.kind for finding in report.findings)


def both(files: dict[str, bytes], place: Path, key: str = "V") -> tuple[str, frozenset[str]]:
    """What package and spec/check.py say alike."""
    ours = told(files, place, key)
    theirs = CHECK.verify(
        files, **{"key_text": forging.key_text()} if key == "V" else {"public_text": forging.public_text()}
    )
    assert (theirs["verdict"], {finding["kind"] for finding in theirs["findings"]}) == ours, files
    return ours


@pytest.mark.parametrize("key", ["V", "P"])
@pytest.mark.parametrize("control", ["plain", "json"])
def test_a_copy_beside_the_whole_log_may_end_anywhere(control: str, key: str, tmp_path: Path) -> None:
    data = log(control).data
    ends = [number for number, byte in enumerate(data) if byte == 0x0A]
    for cut in sorted({*ends, *(end + 1 for end in ends[:-1]), *random.Random(3).sample(range(1, len(data)), 10)}):
        for names in (("a.log", "b.log"), ("b.log", "a.log")):
            verdict, kinds = both(dict(zip(names, (data, data[:cut]), strict=True)), tmp_path, key)
            assert (verdict, kinds <= CUT[1]) == ("ok", True), (cut, data[:cut][-60:])


def test_a_copy_that_was_packed_or_lies_in_an_envelope_may_end_anywhere_too(tmp_path: Path) -> None:
    data = log("plain").data
    for cut in (100, len(data) // 2, len(data) - 30):
        for whole, copy in ((gzip.compress(data), data[:cut]), (data, gzip.compress(data[:cut]))):
            assert told({"a.log": whole, "b.log": copy}, tmp_path)[0] == "ok"
    stamp = {"stream": "stdout", "time": "2026-11-23T08:15:45.1Z"}
    wrapped = b"".join(
        json.dumps({"log": line.decode() + "\n", **stamp}, separators=(",", ":")).encode() + b"\n"
        for line in log("plain").lines
    )
    for cut in (100, len(wrapped) // 2, len(wrapped) - 30):
        verdict, kinds = told({"a.log": wrapped, "b.log": wrapped[:cut]}, tmp_path, envelope="docker")
        assert (verdict, "torn line" in kinds) == ("ok", True)


@pytest.mark.parametrize("key", ["V", "P"])
def test_what_is_no_beginning_of_the_line_that_stands_there_is_reported(key: str, tmp_path: Path) -> None:
    lines = log("plain").lines
    data, copy = log("plain").data, b"".join(line + b"\n" for line in lines[:2])
    for end in (
        b"two",
        lines[3][:9],
        lines[2][:20] + b"x",
        lines[2][:20] + b"\n",
        bytes(3) + lines[2][:20],
        b"user=root",
    ):
        verdict, kinds = both({"a.log": data, "b.log": copy + end}, tmp_path, key)
        assert (verdict, "unsealed" in kinds) == ("failed", True), end
    # In the middle of the copy, or where the whole is not there, it is no end of a copy.
    assert both({"a.log": data, "b.log": copy + lines[2][:20] + b"\n" + lines[2]}, tmp_path, key)[0] == "failed"
    assert both({"b.log": copy + lines[2][:20] + b"x"}, tmp_path, key)[0] != "ok"
    assert both({"a.log": data, "b.log": b"user=root"}, tmp_path, key)[0] == "failed"

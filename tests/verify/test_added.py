"""Members that a carrier added to a JSON line come out before it is judged, if the caller names them."""

import json
from pathlib import Path

import pytest

import tallystick
from tallystick.errors import FormatError
from tallystick.verify import Verdict
from tests.forging import Writer, key_text, public_text

LOG = (
    Writer(control="json")
    .chain_of(
        '{"a":"x","b":1}', '{"a":1,"date":"our own"}', '{"a":{"date":3}}', "plain", "continues", '{"z":[1,2]}', "ended"
    )
    .log()
)


def verdict(
    lines: list[bytes], place: Path, key: str, added: tuple[str, ...] = ("date", "kubernetes")
) -> tuple[Verdict, set[str]]:
    (place / "key").write_text((key_text() if key == "V" else public_text()) + "\n")
    (place / "app.log").write_bytes(b"".join(line + b"\n" for line in lines))
    keys = {"keys" if key == "V" else "public": [place / "key"]}
    report = tallystick.verify([place / "app.log"], **keys, added=added)
    return report.verdict, {finding.kind for finding in report.findings}


def carried(
    line: bytes, before: bytes = b'"date":1795421745.5,', behind: bytes = b',"kubernetes":{"pod":"p-1"}'
) -> bytes:
    """A line as Fluent Bit gives it out: a time before it, metadata behind it."""
    return b"{" + before + line[1:-1] + behind + b"}" if line.startswith(b"{") and b'"date":"our' not in line else line


@pytest.mark.parametrize("key", ["V", "P"])
def test_what_a_carrier_added_is_taken_out_and_reported_as_not_covered(key: str, tmp_path: Path) -> None:
    assert verdict(list(LOG.lines), tmp_path, key) == (Verdict.OK, set())  # also the line that has such a member itself
    lines = [carried(line) for line in LOG.lines]
    assert verdict(lines, tmp_path, key) == (Verdict.OK, {"prefixed"})
    assert verdict(lines, tmp_path, key, added=())[0] is Verdict.FAILED
    assert verdict(lines, tmp_path, key, added=("date",))[0] is Verdict.FAILED
    # Written anew with the names in another order: what is left has the RFC 8785 form of what was sealed.
    for number, line in enumerate(lines):
        if b'"a":{"date"' in line:
            value = json.loads(line)
            lines[number] = json.dumps(dict(reversed(value.items())), separators=(", ", ": ")).encode()
    assert verdict(lines, tmp_path, key) == (Verdict.OK, {"prefixed", "reserialized"})


@pytest.mark.parametrize("key", ["V", "P"])
def test_nothing_else_may_be_changed_beside_them(key: str, tmp_path: Path) -> None:
    for number, line in enumerate(LOG.lines):
        for before in (b'"date":1,"x":2,', b'"date":1,"date":2,', b'"Date":1,', b'"date":1, '):
            if not line.startswith(b"{") or b'"date":"our' in line:
                continue
            lines = list(LOG.lines)
            lines[number] = carried(line, before)
            # Blanks are dropped with what stands before them. A changed last line may have broken off.
            assert (verdict(lines, tmp_path, key)[0] is Verdict.OK) == before.endswith(b" "), (before, line)
    lines = [carried(line).replace(b'"a":"x"', b'"a":"y"') for line in LOG.lines]
    assert verdict(lines, tmp_path, key)[0] is Verdict.FAILED
    lines = [carried(line) for line in LOG.lines]
    assert verdict([*lines[:2], *lines[3:]], tmp_path, key)[0] is Verdict.FAILED
    assert verdict([*lines, b'{"date":1,"user":"root"}'], tmp_path, key)[0] is Verdict.FAILED


@pytest.mark.parametrize("name", ["tally", "tallystick", "redacted", ""])
def test_the_seal_is_nothing_that_a_carrier_added(name: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="cannot have added"):
        verdict(list(LOG.lines), tmp_path, "V", added=(name,))

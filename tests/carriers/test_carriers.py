"""Lines come out of carriers' envelopes as they were sealed; README.md says how each fixture was made."""

import re
from pathlib import Path

import pytest

import tallystick
from tallystick import _core
from tallystick.errors import FormatError
from tallystick.verify import Verdict
from tallystick.verify.inputs import named_envelope

HERE = Path(__file__).resolve().parent

# Fixture, kind of envelope, field, logs in it.
WRAPPED = [
    ("docker.json", "docker", None, ["app", "long"]),
    ("cri.log", "cri", None, ["app", "bytes", "long"]),
    ("journal.export", "journal-export", None, ["app", "bytes"]),
    ("journal.json", "journal-json", None, ["app", "bytes"]),
    ("elasticsearch.jsonl", "json", "_source.message", ["app"]),
    ("splunk.jsonl", "json", "result._raw", ["app"]),
    ("loki.jsonl", "json", "line", ["app"]),
    ("cloudwatch.jsonl", "json", "message", ["app"]),
    ("loki-query.json", "json", "data.result[].values[][1]", ["app"]),
    ("elasticsearch-search.json", "json", "hits.hits[]._source.message", ["app"]),
    ("elasticsearch-bulk.jsonl", "json", "message", ["app"]),
    ("cloudwatch-events.json", "json", "events[].message", ["app"]),
    ("firehose-subscription.json", "json", "logEvents[].message", ["app"]),
    ("firehose-lines.json", "json", "message", ["app"]),
    ("array.json", "json", "[].message", ["app"]),
]
PREFIXED = [
    ("rsyslog-traditional.log", "rfc3164"),
    ("rsyslog-file.log", "rfc3164"),
    ("rsyslog-rfc5424.log", "rfc5424"),
]


def sealed(log: str) -> list[bytes]:
    """Return the sealed lines of a log, without line ends."""
    return (HERE / f"{log}.log").read_bytes().split(b"\n")[:-1]


def pieces(data: bytes, size: int) -> list[bytes]:
    """Return data cut at line ends, each piece but the last at least so long."""
    found, start = [], 0
    for end in [m.end() for m in re.finditer(rb"\n", data)]:
        if end - start >= size:
            found.append(data[start:end])
            start = end
    return [*found, data[start:]]


def unwrapped(fixture: str, kind: str, field: str | None, size: int) -> tuple[list[bytes], list[tuple[int, int, bool]]]:
    """Return lines and their origins in the file, which is fed in pieces."""
    unwrapper = _core.Unwrapper(_core.Envelope(kind, field))
    data = (HERE / fixture).read_bytes()
    text, origins, lines, offset = b"", [], 0, 0
    cut = pieces(data, size)
    for number, piece in enumerate(cut):
        got = unwrapper.feed(piece + b"not looked at", len(piece), number == len(cut) - 1)
        text += got.text()
        origins += [(lines + line, offset + at, wrapped) for line, at, wrapped in got.origins()]
        lines, offset = lines + got.lines, offset + len(piece)
    assert text.endswith(b"\n")
    assert lines == data.count(b"\n") + (not data.endswith(b"\n"))
    return text.split(b"\n")[:-1], origins


def test_every_fixture_is_tried_and_all_are_small():
    made = {path.name for path in HERE.iterdir() if path.suffix in (".log", ".json", ".jsonl", ".export")}
    tried = {fixture for fixture, *_ in WRAPPED} | {fixture for fixture, _ in PREFIXED}
    assert made == tried | {"app.log", "bytes.log", "long.log"}
    assert len(tried) == 18
    readme = (HERE / "README.md").read_text()
    assert all(f"`{name}`" in readme for name in made)
    assert sum((HERE / name).stat().st_size for name in made) < 400_000


@pytest.mark.parametrize(("fixture", "kind", "field", "logs"), WRAPPED)
def test_what_comes_out_is_what_was_sealed(fixture: str, kind: str, field: str | None, logs: list[str]):
    lines, origins = unwrapped(fixture, kind, field, 10**9)
    assert all(wrapped for _, _, wrapped in origins)
    for log in logs:
        ours = set(sealed(log))
        assert [line for line in lines if line in ours] == sealed(log)
    assert len(lines) == sum(len(sealed(log)) for log in logs) == len(origins)


@pytest.mark.parametrize("size", [1, 2000, 20_000])
@pytest.mark.parametrize(("fixture", "kind", "field", "logs"), WRAPPED)
def test_it_comes_out_however_the_file_is_read(fixture: str, kind: str, field: str | None, logs: list[str], size: int):
    assert unwrapped(fixture, kind, field, size) == unwrapped(fixture, kind, field, 10**9)


@pytest.mark.parametrize(("fixture", "kind", "field", "logs"), WRAPPED)
def test_an_origin_leads_to_the_physical_line(fixture: str, kind: str, field: str | None, logs: list[str]):
    data = (HERE / fixture).read_bytes()
    starts = [0, *(m.end() for m in re.finditer(rb"\n", data))]
    for line, offset, _ in unwrapped(fixture, kind, field, 10**9)[1]:
        assert starts[line] == offset


@pytest.mark.parametrize(("fixture", "kind", "field", "logs"), WRAPPED)
def test_what_comes_out_verifies(fixture: str, kind: str, field: str | None, logs: list[str], tmp_path: Path):
    lines, _ = unwrapped(fixture, kind, field, 10**9)
    (tmp_path / "lines.log").write_bytes(b"".join(line + b"\n" for line in lines))
    report = tallystick.verify([tmp_path / "lines.log"], keys=[HERE / f"{log}.key" for log in logs])
    assert report.verdict is Verdict.OK


@pytest.mark.parametrize(
    ("fixture", "kind", "field", "logs"), [*WRAPPED, *((f, kind, None, ["app", "bytes"]) for f, kind in PREFIXED)]
)
def test_a_carriers_file_verifies_and_an_injected_line_in_it_does_not(
    fixture: str, kind: str, field: str | None, logs: list[str], tmp_path: Path
):
    keys = [HERE / f"{log}.key" for log in logs]
    assert tallystick.verify([HERE / fixture], keys=keys, envelope=kind, field=field).verdict is Verdict.OK
    (tmp_path / fixture).write_bytes((HERE / fixture).read_bytes() + b"user=7 injected\n")
    report = tallystick.verify([tmp_path / fixture], keys=keys, envelope=kind, field=field)
    assert report.verdict is Verdict.FAILED
    assert {finding.kind for finding in report.findings} == {"prefixed", "unsealed"}


@pytest.mark.parametrize(("fixture", "kind", "field", "logs"), WRAPPED)
def test_an_injected_line_is_told_from_wrapped_ones(fixture: str, kind: str, field: str | None, logs: list[str]):
    unwrapper = _core.Unwrapper(_core.Envelope(kind, field))
    data = (HERE / fixture).read_bytes() + b"user=7 injected\n"
    got = unwrapper.feed(data, len(data), True)
    assert got.text().endswith(b"\nuser=7 injected\n")
    assert [wrapped for _, _, wrapped in got.origins()].count(False) == 1


@pytest.mark.parametrize(("fixture", "kind"), PREFIXED)
def test_what_stands_behind_a_syslog_head_is_what_was_sealed(fixture: str, kind: str):
    envelope = _core.Envelope(kind)
    lines = (HERE / fixture).read_bytes().split(b"\n")[:-1]
    expected = sealed("app") + sealed("bytes")
    escaped = 0
    for line, wanted in zip(lines, expected, strict=True):
        if line.endswith(wanted):
            assert envelope.is_prefix(line.removesuffix(wanted))
        else:
            assert envelope.unescaped(line) == wanted
            escaped += 1
    assert escaped == 1


@pytest.mark.parametrize("kind", ["rfc3164", "rfc5424", "prefix:any"])
def test_a_prefix_is_not_unwrapped(kind: str):
    envelope = _core.Envelope(kind)
    assert not envelope.unwraps
    with pytest.raises(FormatError, match="only a prefix"):
        _core.Unwrapper(envelope)


@pytest.mark.parametrize(("kind", "field"), [("podman", None), ("json", None), ("json", ""), ("cri", "x")])
def test_an_invalid_kind_is_reported(kind: str, field: str | None):
    with pytest.raises(FormatError, match="envelope"):
        _core.Envelope(kind, field)


def test_what_docker_does_to_invalid_utf_8_does_not_pass_for_the_line():
    line = sealed("bytes")[1]
    assert b"\xff" in line
    record = b'{"log":"' + line.replace(b"\xff\xfe", rb"\ufffd\ufffd") + b'\\n","stream":"stdout","time":""}\n'
    got = _core.Unwrapper(_core.Envelope("docker")).feed(record, len(record), True)
    assert got.text() == line.replace(b"\xff\xfe", "\ufffd\ufffd".encode()) + b"\n"


def test_every_envelope_that_the_docs_name_exists():
    page = (HERE.parents[1] / "docs" / "carriers.md").read_text()
    named = set(re.findall(r"--envelope ([a-z][\w:-]+)(?: --field '?([\w.\[\]]+))?", page))
    assert len(named) >= 11
    for kind, field in named:
        if field != "NAME" and (kind, field) != ("json", ""):
            named_envelope(kind, field or None)

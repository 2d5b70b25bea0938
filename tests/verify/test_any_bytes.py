"""Whatever bytes stand in a file that the verifier reads: a result or an error that says so, never a traceback.

`make fuzz` runs this for longer, by FUZZ_SECONDS.
"""

import bz2
import gzip
import io
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tallystick
from tallystick.errors import TallystickError
from tallystick.verify import Verdict, streams
from tallystick.verify.exceptions import KINDS, read_exceptions
from tallystick.verify.pins import read_pins
from tallystick.verify.streams import zstd
from tests.verify.test_constructed import Writer, text

EXAMPLES = max(150, 60 * int(os.environ.get("FUZZ_SECONDS", "1")))  # what is done in about so many seconds
any_bytes = settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))

WRITER = Writer().open(epoch_lines=7).write(20).close()
PACKERS = [gzip.compress, zstd.compress, lambda data: lzma.compress(data, preset=0), bz2.compress]
PACKED = [pack(text(WRITER.lines)) for pack in PACKERS]
PIN = WRITER.pin.encode()
EXCEPTIONS = [
    b"missing app 1.0.12 to 1.0.19 until 2027-01-31: disk full\n",
    b"unsealed sha256:" + b"a" * 64 + b": known\n",
    b"# a comment\n\naltered 1.0.3: by hand\n",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("any")
    WRITER.key(place)
    (place / "head").write_bytes(WRITER.head)
    (place / "app.log").write_bytes(text(WRITER.lines))
    (place / "pins").mkdir(mode=0o700)
    return place


def mutations(*samples: bytes) -> st.SearchStrategy[bytes]:
    """Samples of which some bytes were changed, cut out, said twice, or taken from another one; or any bytes."""
    change = st.tuples(st.integers(0, 2**16), st.integers(0, 60), st.binary(max_size=12))

    def changed(sample: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
        for at, length, new in changes:
            at %= len(sample) + 1
            sample = sample[:at] + new + sample[at + length :]
        return sample

    joined = st.lists(st.sampled_from(samples), min_size=1, max_size=3).map(b"".join)
    return st.one_of(st.builds(changed, joined, st.lists(change, max_size=4)), st.binary(max_size=200))


def trouble(work: Callable[[], object]) -> str:
    """Do something, and return what is wrong in one line; nothing but our own errors may come."""
    try:
        work()
    except TallystickError as error:
        return str(error)
    return ""


@any_bytes
@given(data=mutations(*PACKED))
def test_streams(data: bytes) -> None:
    found = bytearray()
    try:
        for block in streams.blocks(io.BytesIO(data).read, len(data)):
            assert 0 < len(block) <= 2**21
            found += block
            if len(found) > 2**25:
                break
    except streams.BROKEN:
        pass


@any_bytes
@given(data=mutations(*PACKED, text(WRITER.lines)))
def test_logs(data: bytes, place: Path) -> None:
    (place / "any.log").write_bytes(data)
    report = tallystick.verify([place / "any.log"], keys=[place / "app.key"], head=place / "head", jobs=1)
    if report.verdict is Verdict.OK:
        assert report.logs[0].sealed == len(WRITER.lines)
    report.to_dict()


@any_bytes
@given(data=mutations(*EXCEPTIONS, *(kind.encode() + b" 1.0.1: x\n" for kind in KINDS)))
def test_exceptions(data: bytes, place: Path) -> None:
    (place / "exceptions").write_bytes(data)
    told = trouble(lambda: read_exceptions(place / "exceptions"))
    assert told == "" or "exceptions" in told
    assert "\n" not in told


@any_bytes
@given(data=mutations(PIN, PIN + b"\n# a comment\n\n" + PIN, PIN.replace(b"1.", b"2.")))
def test_pins(data: bytes, place: Path) -> None:
    (place / "pins/any.pin").write_bytes(data)
    told = trouble(lambda: read_pins(place / "pins", [WRITER.id]))
    assert told == "" or "any.pin" in told
    assert "\n" not in told


@pytest.mark.parametrize("what", ["app.key", "app.pub", "head"])
def test_keys_and_heads(what: str, place: Path) -> None:
    sample = (place / what).read_bytes()

    @any_bytes
    @given(data=mutations(sample, sample.upper(), sample.replace(b"1", b"2")))
    def tried(data: bytes) -> None:
        (place / "any").write_bytes(data)
        given = {"keys": [place / ("any" if what == "app.key" else "app.key")]}
        given |= {"public": [place / ("any" if what == "app.pub" else "app.pub")]} if what == "app.pub" else {}
        told = trouble(
            lambda: tallystick.verify(
                [place / "app.log"], head=place / ("any" if what == "head" else "head"), jobs=1, **given
            )
        )
        assert "\n" not in told
        assert "tallysecret1" not in told.replace("begins with tallysecret1", "")

    tried()

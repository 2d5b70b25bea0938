"""Frames of zstd are decompressed side by side, with the same result as one after the other, whatever they are."""

import gzip
import io
import random
import struct
import threading
from collections.abc import Callable

import pytest

from tallystick.verify import Verdict, streams
from tallystick.verify.streams import BROKEN, blocks, zstd
from tests.verify.test_inputs import Place, place

__all__ = ["place"]

LINES = b"".join(b"user=%d action=login from=10.0.%d.%d\n" % (n, n % 200, n % 251) for n in range(30_000))


def framed(data: bytes, size: int) -> bytes:
    """Compress pieces of some bytes as frames of their own, as pzstd does."""
    return b"".join(zstd.compress(data[at : at + size]) for at in range(0, len(data), size))


def seekable(data: bytes, size: int) -> bytes:
    """Compress in the seekable format: frames, and a table of them in one that decompressors skip."""
    frames = [zstd.compress(data[at : at + size]) for at in range(0, len(data), size)]
    sizes = [(len(frame), min(size, len(data) - number * size)) for number, frame in enumerate(frames)]
    table = b"".join(struct.pack("<II", *each) for each in sizes) + struct.pack("<IBI", len(frames), 0, 0x8F92EAB1)
    return b"".join(frames) + struct.pack("<II", 0x184D2A5E, len(table)) + table


def read(data: bytes, threads: int) -> tuple[bytes, str]:
    """Return what a file holds, and the error that its reading ends with."""
    out: list[bytes] = []
    try:
        out += blocks(io.BytesIO(data).read, len(data), threads)
    except BROKEN as error:
        return b"".join(out), f"{type(error).__name__}: {error}"
    return b"".join(out), ""


@pytest.mark.parametrize("pack", [lambda data: framed(data, 50_000), lambda data: seekable(data, 4096), zstd.compress])
def test_frames_give_what_they_hold_in_order_however_many_threads_there_are(pack: Callable[[bytes], bytes]) -> None:
    data = pack(LINES)
    for threads in (0, 1, 2, 5):
        assert read(data, threads) == (LINES, "")


def test_any_damage_gives_the_same_with_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"_READ": 512, "_FRAME": 4096, "_FRAMES": 2048, "_HELD": 65536, "UNPACKED": 16384}.items():
        monkeypatch.setattr(streams, name, value)
    rng = random.Random(9)
    lines = LINES[:200_000]
    whole = [
        framed(lines, 9000),
        seekable(lines, 3000),
        framed(lines, 90_000),
        framed(lines, 70) + zstd.compress(lines),
    ]
    found = set()
    for data in whole:
        for _ in range(6):
            broken = bytearray(data)
            if rng.random() < 0.7:
                broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
            end = rng.choice([len(data), rng.randrange(len(data))])
            after = rng.choice([b"", b"\0" * 700, b"\0\0" + zstd.compress(b"more\n"), b"hidden\n", gzip.compress(b"x")])
            broken[end:] = after
            one = read(bytes(broken), 1)
            assert read(bytes(broken), 3) == one
            found.add(one[1].partition(":")[0])
    assert found >= {"", "ZstdError", "EOFError", "ValueError"}


def test_frames_that_become_much_are_never_held_whole() -> None:
    data = zstd.compress(bytes(2**26)) * 3
    most, size = 0, 0
    for block in blocks(io.BytesIO(data).read, len(data), 2):
        most, size = max(most, len(block)), size + len(block)
    assert size == 3 * 2**26
    assert most <= 2**24


def test_what_is_given_up_leaves_no_thread() -> None:
    data = framed(LINES, 50_000)
    reading = blocks(io.BytesIO(data).read, len(data), 3)
    next(reading)
    reading.close()
    assert not [thread for thread in threading.enumerate() if "zstd" in thread.name]


@pytest.mark.usefixtures("no_store")
@pytest.mark.parametrize("jobs", [1, 2])
def test_the_findings_in_frames_are_those_in_the_lines(place: Place, jobs: int) -> None:
    place.parts[4] = place.parts[4].replace(b"line 7 ", b"line 8 ", 1)
    plain = place.verify(*place.write(), jobs=jobs)
    packed = place.verify(*place.write(lambda data: seekable(data, 1000)), jobs=jobs)
    assert plain.verdict is Verdict.FAILED
    assert packed.findings == plain.findings

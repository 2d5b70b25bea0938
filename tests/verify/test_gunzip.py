"""gzip is read by a library of the core's own: it says of any bytes what Python's says."""

import gzip
import random
import zlib

import pytest

from tallystick import _core

MOST = 2**16


def core(data: bytes, piece: int, most: int) -> tuple[bytes, bytes] | None:
    """Return what a member holds and what stands after it; None if it is invalid or not whole."""
    one, out, at = _core.Gunzip(), [], 0
    try:
        while not one.eof:
            if one.needs_input and (not out or len(out[-1]) < most):
                new = data[at : at + piece]
                at += len(new)
                if not new:
                    return None
            else:
                new = b""
            out.append(one.decompress(new, most))
            assert len(out[-1]) <= most
    except ValueError:
        return None
    return b"".join(out), one.unused_data + data[at:]


def python(data: bytes) -> tuple[bytes, bytes] | None:
    """Return the same as Python's library sees it."""
    one = zlib.decompressobj(wbits=31)
    try:
        out = one.decompress(data)
    except zlib.error:
        return None
    return (out, one.unused_data) if one.eof else None


def members() -> list[bytes]:
    """Return members of each kind of block, with all that a header may hold."""
    rng = random.Random(3)
    texts = [b"", b"x", b"user=7 action=login\n" * 20_000, rng.randbytes(100_000), bytes(300_000)]
    plain = [gzip.compress(text, level) for text in texts for level in (0, 1, 9)]
    header = bytearray(plain[5])
    header[3] = 0b11111  # text, header check, extra, name, comment
    fields = b"\x03\x00abc" + b"name\0" + b"comment\0"
    check = zlib.crc32(bytes(header[:10]) + fields) & 0xFFFF
    return [*plain, bytes(header[:10]) + fields + check.to_bytes(2, "little") + bytes(header[10:])]


@pytest.mark.parametrize("piece", [1, 7, MOST])
def test_a_member_is_what_python_makes_of_it_in_pieces_of_any_size(piece: int) -> None:
    for data in members():
        if piece < MOST and len(data) > 3_000:
            continue
        for most in (1, 100, MOST) if piece > 1 and len(data) < 3_000 else (MOST,):
            assert core(data + b"after", piece, most) == python(data + b"after") != None  # noqa: E711


def test_damaged_members_are_invalid_where_they_are_for_python() -> None:
    rng, invalid = random.Random(5), 0
    some = [data for data in members() if len(data) < 3_000]
    for _ in range(3_000):
        data = bytearray(rng.choice(some))
        for _ in range(rng.randrange(1, 3)):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        if rng.random() < 0.2:
            del data[rng.randrange(len(data)) :]
        expected = python(bytes(data))
        assert core(bytes(data), MOST, MOST) == expected
        invalid += expected is None
    assert invalid > 1_000

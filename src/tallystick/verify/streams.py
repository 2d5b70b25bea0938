"""The bytes of a file, whatever it was compressed with: by its content, never by its name.

>>> import gzip, io
>>> data = gzip.compress(b"a line\\n")
>>> list(blocks(io.BytesIO(data).read, len(data)))
[b'a line\\n']
"""

import bz2
import importlib
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from tallystick import _core

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["BROKEN", "SIGNATURE", "TOO_EARLY", "RefusedError", "blocks", "check_ratio", "compression", "is_begun"]


class RefusedError(ValueError):
    """Bytes that are not read, though they are not damaged: the reason is its text."""


SIGNATURE = 10  # bytes at the beginning of a file that say what it was compressed with
BROKEN = (EOFError, lzma.LZMAError, zlib.error, zstd.ZstdError, ValueError, OSError)
"""What decompressing raises for bytes that are not what they should be, in archives, too."""

TOO_EARLY = "it ends too early"
"""What is said of a compressed file that was cut."""

_READ = 2**16  # compressed bytes at a time
_WRITE = 2**21  # bytes that they may become at a time
_MEMORY = 2**28  # bytes that a decompressor may take
FREE = 2**30  # bytes that any file may become
_RATIO = 2000  # bytes that each byte of a larger one may become; sealed lines become some 10


class _Decompressor(Protocol):
    """What bz2, lzma, zstd and the core's gzip have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Lz4:
    """The same for lz4."""

    def __init__(self) -> None:
        """Begin a frame."""
        try:
            module = importlib.import_module("lz4.frame")
        except ImportError as error:
            raise RefusedError("it takes the package lz4: pip install 'tallystick[lz4]'") from error
        self._one: Any = module.LZ4FrameDecompressor()

    @property
    def eof(self) -> bool:
        """Is the frame over?"""
        return bool(self._one.eof)

    @property
    def needs_input(self) -> bool:
        """Is there nothing left to decompress?"""
        return bool(self._one.needs_input)

    @property
    def unused_data(self) -> bytes:
        """What stands after the frame."""
        return self._one.unused_data or b""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Decompress what was left over, or new bytes."""
        try:
            return bytes(self._one.decompress(data, max_length))
        except RuntimeError as error:
            raise ValueError(str(error)) from error


def _xz() -> _Decompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)


_KINDS: tuple[tuple[str, tuple[bytes, ...], Callable[[], _Decompressor]], ...] = (
    ("gzip", (b"\x1f\x8b\x08",), _core.Gunzip),
    ("zstd", (b"\x28\xb5\x2f\xfd", *(bytes([0x50 + i]) + b"\x2a\x4d\x18" for i in range(16))), zstd.ZstdDecompressor),
    ("xz", (b"\xfd7zXZ\x00",), _xz),
    ("lz4", (b"\x04\x22\x4d\x18",), _Lz4),
    (
        "bz2",
        tuple(b"BZh%d" % i + magic for i in range(1, 10) for magic in (b"1AY&SY", b"\x17rE8P\x90")),
        bz2.BZ2Decompressor,
    ),
)


def compression(beginning: bytes) -> str | None:
    """Return what a file was compressed with, by its first bytes.

    >>> compression(b"\\x1f\\x8b\\x08\\x00"), compression(b"user=7 action=login")
    ('gzip', None)
    """
    return next((name for name, signatures, _ in _KINDS if beginning.startswith(signatures)), None)


def check_ratio(given: int, taken: int) -> None:
    """See that a file does not become so much more than it is that it holds no log.

    Raises:
        RefusedError: It does.
    """
    if given > FREE and given > _RATIO * taken:
        raise RefusedError(f"it becomes more than {_RATIO} times as much as it is, as no log does")


def is_begun(beginning: bytes) -> bool:
    """Is this less than the signature of a compressed file, but the beginning of one?

    >>> is_begun(b"\\x1f"), is_begun(b""), is_begun(b"us")
    (True, False, False)
    """
    return beginning != b"" and any(
        len(beginning) < len(each) and each.startswith(beginning) for _, signatures, _ in _KINDS for each in signatures
    )


def blocks(read: Callable[[int], bytes], most: int) -> Iterator[bytes]:
    """Decompress a file, in blocks of at most 2 MiB.

    Args:
        read: Gives the next bytes of the file, at most so many; none at its end.
        most: Bytes of the file; what it grows by meanwhile is left out.

    Raises:
        One of `BROKEN`: The file is damaged, ends too early, or would become too much.
    """
    left, given = most, 0

    def more() -> bytes:
        nonlocal left
        data = read(min(_READ, left))
        left -= len(data)
        return data

    data = more()
    kind = compression(data)
    while data:
        one = _begin(data, kind)
        while not one.eof:
            out = one.decompress(data, _WRITE)
            given += len(out)
            check_ratio(given, most - left)
            if out:
                yield out
            data = b""
            if not one.eof and one.needs_input and len(out) < _WRITE and not (data := more()):
                raise EOFError(TOO_EARLY)
        # Streams may stand one after the other, and zeros after the last.
        data = one.unused_data.lstrip(b"\0")
        while len(data) < SIGNATURE and (new := more()):
            data = (data + new).lstrip(b"\0")


def _begin(data: bytes, kind: str | None) -> _Decompressor:
    for name, signatures, begin in _KINDS:
        # Another kind after the first is what no tool would show.
        if name == kind and data.startswith(signatures):
            return begin()
    raise ValueError("what stands after it is not compressed in the same way")

"""The bytes of a file, whatever it was compressed with: by its content, never by its name.

>>> import gzip, io
>>> data = gzip.compress(b"a line\\n")
>>> list(blocks(io.BytesIO(data).read, len(data)))
[b'a line\\n']
"""

import bz2
import contextlib
import functools
import importlib
import io
import lzma
import sys
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from tallystick import _core

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

__all__ = ["BROKEN", "SIGNATURE", "TOO_EARLY", "RefusedError", "blocks", "check_ratio", "compression", "is_begun"]


class RefusedError(ValueError):
    """Bytes that are not read, though they are not damaged: the reason is its text."""


SIGNATURE = 10  # bytes at the beginning of a file that say what it was compressed with
BROKEN = (EOFError, lzma.LZMAError, zlib.error, zstd.ZstdError, ValueError, OSError)
"""What decompressing raises for bytes that are not what they should be, in archives, too."""

TOO_EARLY = "it ends too early"
"""What is said of a compressed file that was cut."""

_READ = 2**16  # compressed bytes at a time
UNPACKED = 2**21  # bytes that they may become at a time
_MEMORY = 2**28  # bytes that a decompressor may take
_FRAME = 2**22  # compressed bytes of a frame that is looked at as a whole
_FRAMES = 2**20  # compressed bytes of frames that are decompressed together, unless one has more
_HELD = 2**24  # bytes that these may become
_MOST_THREADS = 8
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


def blocks(read: Callable[[int], bytes], most: int, threads: int = 0) -> Iterator[bytes]:
    """Decompress a file, in blocks of some MiB.

    Args:
        read: Gives the next bytes of the file, at most so many; none at its end.
        most: Bytes of the file; what it grows by meanwhile is left out.
        threads: By how many whole frames of zstd are decompressed side by side, before they are asked for: the blocks
            do not depend on their number. 0 to decompress no more than is asked for.

    Raises:
        One of `BROKEN`: The file is damaged, ends too early, or would become too much.
    """
    source, given = _Source(read, most), 0
    kind = compression(bytes(source.peek(SIGNATURE)[:SIGNATURE]))
    for block in _frames(source, threads) if kind == "zstd" and threads else _streams(source, kind):
        given += len(block)
        check_ratio(given, source.taken)
        if block:
            yield block


class _Source:
    """The bytes of a file, looked at before they are taken."""

    def __init__(self, read: Callable[[int], bytes], most: int) -> None:
        self._read, self._left, self._most = read, most, most
        self._held, self._at = b"", 0

    @property
    def taken(self) -> int:
        """How many bytes were read."""
        return self._most - self._left

    def peek(self, size: int) -> memoryview:
        """Return what comes next, at least so many bytes; fewer only at the end."""
        if len(self._held) - self._at < size:
            parts, have = [self._held[self._at :]], len(self._held) - self._at
            while have < size and (data := self._next()):
                parts.append(data)
                have += len(data)
            self._held, self._at = b"".join(parts), 0
        return memoryview(self._held)[self._at :]

    def take(self, size: int) -> bytes:
        """Take bytes that were looked at."""
        self._at += size
        return self._held[self._at - size : self._at]

    def more(self) -> bytes:
        """Take the next bytes; none at the end."""
        return self.take(min(_READ, len(self._held) - self._at)) if self._at < len(self._held) else self._next()

    def put_back(self, data: bytes) -> None:
        """Have bytes come once more."""
        self._held, self._at = data + self._held[self._at :], 0

    def goes_on(self) -> bool:
        """Does anything come but zeros, which may stand after what was compressed? These are passed over."""
        while data := self.peek(1):
            if data[0]:
                return True
            self.take(len(data) - len(bytes(data).lstrip(b"\0")))
        return False

    def _next(self) -> bytes:
        data = self._read(min(_READ, self._left))
        self._left -= len(data)
        return data


def _streams(source: _Source, kind: str | None) -> Iterator[bytes]:
    """Decompress streams that stand one after the other."""
    while source.goes_on():
        yield from _stream(source, kind)


def _stream(source: _Source, kind: str | None) -> Iterator[bytes]:
    one = _begin(bytes(source.peek(SIGNATURE)[:SIGNATURE]), kind)
    data = source.more()
    while not one.eof:
        yield (out := one.decompress(data, UNPACKED))
        data = b""
        if not one.eof and one.needs_input and len(out) < UNPACKED and not (data := source.more()):
            raise EOFError(TOO_EARLY)
    source.put_back(one.unused_data)


def _frames(source: _Source, threads: int) -> Iterator[bytes]:
    """Decompress frames of zstd side by side. One that is long, cut or damaged is decompressed as it comes.

    Where frames end is seen by the frames themselves: the table of those that can be searched is not believed.
    """
    running: deque[tuple[list[bytes], Callable[[], list[bytes]]]] = deque()
    with _pool(threads) as pool:
        while True:
            frames = list(_whole_frames(source))
            if frames:
                work = functools.partial(_unpacked, frames)
                running.append((frames, work if pool is None else pool.submit(work).result))
            while running and (len(running) > threads or not frames):
                those, result = running.popleft()
                yield from (done := result())
                rest = b"".join(those[len(done) :])
                yield from _streams(_Source(io.BytesIO(rest).read, len(rest)), "zstd")
                del those, result, done, rest
            if not frames:
                if not source.goes_on():
                    return
                yield from _stream(source, "zstd")


def _pool(threads: int) -> "AbstractContextManager[ThreadPoolExecutor | None]":
    if threads == 1:
        return contextlib.nullcontext()
    from concurrent.futures import ThreadPoolExecutor  # only here: other commands start faster without it

    return ThreadPoolExecutor(min(threads, _MOST_THREADS), thread_name_prefix="tallystick zstd")


def _whole_frames(source: _Source) -> Iterator[bytes]:
    """Take the next frames, some of them; none where the next one is no whole frame as far as it is looked at."""
    size = 0
    while size < _FRAMES and source.goes_on() and (length := _frame(source)):
        size += length
        yield source.take(length)


def _frame(source: _Source) -> int:
    """Return how long the next frame is; 0 if it is long, cut or damaged."""
    want, had = SIGNATURE, -1
    while want <= _FRAME and had < len(held := source.peek(want)):
        with contextlib.suppress(zstd.ZstdError):
            return zstd.get_frame_size(held)
        want, had = max(2 * len(held), _READ), len(held)
    return 0


def _unpacked(frames: list[bytes]) -> list[bytes]:
    """Return what frames hold, one by one, up to one that is damaged or holds too much."""
    found: list[bytes] = []
    left = _HELD
    with contextlib.suppress(zstd.ZstdError):
        for frame in frames:
            one = zstd.ZstdDecompressor()
            data = one.decompress(frame, left)
            if not one.eof:
                break
            found.append(data)
            left -= len(data)
    return found


def _begin(data: bytes, kind: str | None) -> _Decompressor:
    for name, signatures, begin in _KINDS:
        # Another kind after the first is what no tool would show.
        if name == kind and data.startswith(signatures):
            return begin()
    raise ValueError("what stands after it is not compressed in the same way")

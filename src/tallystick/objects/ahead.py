"""Reads objects before they are asked for: several ranges at a time, in the order in which they will be read.

A store answers each request after some hundredths of a second, however small it is; so many are under way at once. No
more bytes are held than `MOST`.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from tallystick.objects.store import Object

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

__all__ = ["MOST", "PIECE", "Ahead", "Ranges"]

PIECE = 4 * 2**20  # bytes of a range
MOST = 64 * 2**20  # bytes of ranges that are under way or wait to be taken
_REQUESTS = 24  # at a time
_LEAST = 2**16  # bytes that are read where nobody said that they would be


class Ahead:
    """What will be read, and what is under way."""

    def __init__(self, most: int = MOST) -> None:
        """Begin with nothing.

        Args:
            most: Bytes that are held at most.
        """
        self._most = most
        self._pool: ThreadPoolExecutor | None = None
        self._left: deque[tuple[Object, int, int]] = deque()  # objects, and from where to where nothing is under way
        self._planned: set[tuple[str, str, int]] = set()
        self._running: deque[tuple[Object, int, int, Future[bytes]]] = deque()
        self._held = 0

    def plan(self, wanted: Iterable[tuple[Object, int, int | None]]) -> None:
        """Say what will be read next, each object from an offset to another one, or to its end; what was planned before
        is forgotten.
        """
        self._drop()
        ranges = ((one, offset, one.size if end is None else end) for one, offset, end in wanted)
        self._left = deque((one, offset, end) for one, offset, end in ranges if offset < end)
        self._planned = {one.identity for one, *_ in self._left}

    def take(self, wanted: Object, start: int) -> bytes | None:
        """Return the bytes of an object from an offset on, if they were planned; None if they were not.

        Raises:
            OSError: They could not be read.
        """
        if wanted.identity not in self._planned:
            return None
        while True:
            self._fill()
            if not self._running:
                self._planned.discard(wanted.identity)
                return None
            one, begin, end, future = self._running[0]
            if one.identity == wanted.identity and begin > start:
                return None  # it was read already; it comes again
            if one.identity == wanted.identity and begin < start:
                self._forget(wanted.identity)  # it is read here and there
                return None
            self._running.popleft()
            self._held -= end - begin
            if (one.identity, begin) == (wanted.identity, start):
                return future.result()
            future.cancel()  # nobody wanted it after all, nor what comes after it in that object
            if one.identity != wanted.identity and self._left and self._left[0][0].identity == one.identity:
                self._left.popleft()

    def _fill(self) -> None:
        from concurrent.futures import ThreadPoolExecutor  # only here: other commands start faster without it

        while len(self._running) < _REQUESTS and (self._held < self._most - PIECE or not self._running):
            if not self._left:
                break
            one, start, until = self._left.popleft()
            end = min(start + PIECE, until)
            if end < until:
                self._left.appendleft((one, end, until))
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_REQUESTS, thread_name_prefix="tallystick objects")
            self._running.append((one, start, end, self._pool.submit(one.read, start, end)))
            self._held += end - start

    def _forget(self, identity: tuple[str, str, int]) -> None:
        """Plan nothing of an object any more."""
        self._planned.discard(identity)
        self._left = deque(each for each in self._left if each[0].identity != identity)
        kept: deque[tuple[Object, int, int, Future[bytes]]] = deque()
        for one, begin, end, future in self._running:
            if one.identity == identity:
                future.cancel()
                self._held -= end - begin
            else:
                kept.append((one, begin, end, future))
        self._running = kept

    def _drop(self) -> None:
        cancelled = [future.cancel() or future.done() for *_, future in self._running]
        if self._pool is not None and not all(cancelled):  # what is tried again and again must not hold others up
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
        self._running.clear()
        self._held = 0

    def close(self) -> None:
        """Read nothing any more."""
        self._drop()
        self._left, self._planned = deque(), set()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


class Ranges:
    """The bytes of an object, asked for from the beginning to the end, or here and there.

    Attributes:
        reached: Up to which byte it was read.
    """

    def __init__(self, one: Object, ahead: Ahead, seen: Callable[[int, bytes], None] | None = None) -> None:
        """Take the object, what reads ahead, and what is given each piece that is read, with its offset."""
        self._one, self._ahead, self._seen = one, ahead, seen
        self._held, self._begin, self.reached = b"", 0, 0

    def read(self, offset: int, size: int) -> bytes:
        """Read bytes at an offset; fewer only at the end.

        Raises:
            OSError: They cannot be read, or it is another object by now.
        """
        size = min(size, self._one.size - offset)
        if size <= 0:
            return b""
        if not self._begin <= offset <= self._begin + len(self._held):
            self._held, self._begin = b"", offset
        parts, end = [self._held], self._begin + len(self._held)
        while end < offset + size:
            piece = self._ahead.take(self._one, end)
            if piece is None:
                piece = self._one.read(end, min(max(offset + size, end + _LEAST), self._one.size))
            if self._seen is not None:
                self._seen(end, piece)
            parts.append(piece)
            end += len(piece)
        if offset - self._begin >= PIECE:  # what is before may be asked for once more, when it is seen what it is
            parts[0] = parts[0][offset - self._begin :]
            self._begin = offset
        self._held = b"".join(parts) if len(parts) > 1 else parts[0]
        self.reached = max(self.reached, offset + size)
        at = offset - self._begin
        return self._held[at : at + size]

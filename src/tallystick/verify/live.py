"""A file that grows: up to where it was read, and lines of it that were not given yet.

>>> covered(b"user=7 tally=abcdefgh.1.0.3.6.CQkJCQkJCQkJCQkJCQkJCQ\\n", (1, 0, 4))
53
"""

import time
from contextlib import suppress

from tallystick import _core
from tallystick.verify.inputs import Input
from tallystick.verify.positions import At
from tallystick.verify.streams import BROKEN

__all__ = ["MOST_HELD", "ONCE", "Live", "covered", "first_claimed", "unwrapped"]

ONCE = 8 * 2**20
"""Bytes of a file that a round takes, unless the lines that a checkpoint covers are longer."""

MOST_HELD = 2**28
"""Bytes that wait for the checkpoint that covers them."""

_LONGEST = 2**24 + 2**20  # bytes of a line
_CONTEXT = 2**16  # bytes
_MARK = 64  # bytes before the place up to which a file was read
_START: At = (0, 0, 0)


class Live:
    """A file that grows.

    Attributes:
        path: Its path.
        text: Whole lines that were not given yet, as they were before a carrier wrapped them.
        context: Lines before these, as far as they may matter for them.
        changed: When something came last.
        is_over: Nothing more comes: the file was removed, or is a copy.
    """

    def __init__(
        self, path: str, envelope: "_core.Envelope | None", text: bytes = b"", *, is_over: bool = False
    ) -> None:
        """Begin at the beginning of a file, or with lines of one that is over."""
        self.path, self._envelope, self.is_over = path, envelope, is_over
        self.text, self.context = text, b""
        self._mark, self._size, self._left, self._most = b"", -1, False, ONCE
        self._begin()
        self.changed = time.monotonic()

    def _begin(self) -> None:
        self._offset = 0
        self._unwrapper = _unwrapper(self._envelope)

    def skip(self, one: Input, size: int) -> None:
        """Take what was given already as read, up to its last whole line, with its end as context."""
        back = _CONTEXT
        while (start := max(0, size - back)) and b"\n" not in one.excerpt(start, back)[: size - start]:
            back *= 2
        self._offset = start + (one.excerpt(start, back)[: size - start].find(b"\n") + 1 if start else 0)
        while self._offset < size and self._read(one, size):
            self.context = self._end_of(self.context + self.text)
            self.text = b""

    def start_at(self, offset: int) -> None:
        """Begin with the line at an offset."""
        self._offset = offset

    def is_new(self, one: Input) -> bool:
        """Is something there that was not given yet?"""
        return bool(self.text) or self._left or one.size != self._size

    def first(self, one: Input, log_id: str) -> At:
        """Return the position that the first line of a log claims that was not given yet."""
        if self.text:
            return first_claimed(self.text[:_CONTEXT], log_id)
        data, size = b"", _CONTEXT
        with suppress(*BROKEN):  # it is reported where it is read
            while b"\n" not in data and len(data) < min(one.size - self._offset, _LONGEST):
                data = one.excerpt(self._offset, min(size, one.size - self._offset))
                size *= 4
        return first_claimed(unwrapped(data[: data.rfind(b"\n") + 1], self._envelope), log_id)

    def fill(self, one: Input) -> bool:
        """Read what is new, unless much is waiting; is more there?"""
        self.path, size = one.path, self._size
        if one.size == size and not self._left:
            return False
        self._size = one.size
        if one.size < self._offset or one.excerpt(self._offset - len(self._mark), len(self._mark)) != self._mark:
            self._begin()  # it was truncated, and may have grown since
            self._mark = b""
        while len(self.text) < self._most and self._read(one, one.size):
            self.changed = time.monotonic()
        self._left = self._offset < one.size and len(self.text) >= self._most
        return self._left

    def _read(self, one: Input, size: int) -> bool:
        data = one.excerpt(self._offset, min(ONCE, size - self._offset))
        end = data.rfind(b"\n") + 1
        if not end and len(data) == ONCE:
            data = one.excerpt(self._offset, min(_LONGEST, size - self._offset))
            end = data.rfind(b"\n") + 1 or (len(data) if len(data) == _LONGEST else 0)
        if not end:
            return False
        data = data[:end]
        self._offset += end
        self._mark = data[-_MARK:]
        text = self._unwrapper.feed(data, end, False).text() if self._unwrapper else data
        self.text += text if text.endswith(b"\n") or not text else text + b"\n"
        return True

    def wait(self) -> bool:
        """Let more come before lines are given that no checkpoint covers yet; has that an end?"""
        if len(self.text) >= self._most:
            self._most *= 2
        return len(self.text) >= MOST_HELD

    def given(self, end: int, *, newest: bool) -> None:
        """Note that the lines up to an end were given; the newest ones stay as context."""
        self.context = self._end_of(self.context + self.text[:end]) if newest else b""
        self.text = self.text[end:]
        if end:
            self._most = ONCE

    @staticmethod
    def _end_of(text: bytes) -> bytes:
        return text[text.find(b"\n", len(text) - _CONTEXT - 1) + 1 :] if len(text) > _CONTEXT else text


def covered(text: bytes, at: At, *, is_over: bool = False) -> int:
    """Return where the lines of a text end that come up to a checkpoint, by what they claim.

    Args:
        text: Whole lines.
        at: The position of the checkpoint.
        is_over: Nothing more comes after them, so that the last of them may be one that was broken off.
    """
    end = len(text)
    while end:
        start = text.rfind(b"\n", 0, end - 1) + 1
        claimed = _core.claimed_position(text[start:end].removesuffix(b"\n"))
        if claimed is not None and claimed[1] <= at:
            return len(text)
        if claimed is not None or not is_over:
            break
        end = start
    if is_over and not end:
        return len(text)
    end = len(text)
    while (start := text.rfind(b"tallystick/v1 checkpoint ", 0, end)) >= 0:
        line = text[start : text.find(b"\n", start) + 1]
        claimed = _core.claimed_position(line.removesuffix(b"\n"))
        if claimed is not None and claimed[1] <= at:
            return start + len(line)
        end = start
    return 0


def first_claimed(text: bytes, log_id: str) -> At:
    """Return the first position of a log that a line claims; before all others where none does."""
    claims = (_core.claimed_position(line) for line in text.splitlines())
    return next((claim[1] for claim in claims if claim is not None and claim[0] == log_id), _START)


def unwrapped(data: bytes, envelope: "_core.Envelope | None") -> bytes:
    """Return whole lines as they were before a carrier wrapped them."""
    unwrapper = _unwrapper(envelope)
    return unwrapper.feed(data, len(data), False).text() if unwrapper is not None and data else data


def _unwrapper(envelope: "_core.Envelope | None") -> "_core.Unwrapper | None":
    return _core.Unwrapper(envelope) if envelope is not None and envelope.unwraps else None

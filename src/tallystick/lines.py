"""From bytes to lines: what comes in pieces is sealed line by line, at the moment at which a line is whole.

A line that is longer than an entry may be is split, and the log says so (spec section 1: 2^24 bytes).
"""

from typing import Protocol

__all__ = ["MAX_ENTRY", "Splitter"]

MAX_ENTRY = 2**24


class Writer(Protocol):
    """What a splitter needs of a log."""

    def write_lines(self, data: bytes) -> int:
        """Seal the complete lines of some bytes; return how many bytes that were."""
        ...

    def notice(self, kind: str, text: str) -> None:
        """Have the log itself say something."""
        ...


class Splitter:
    """Puts the pieces of one stream together and hands whole lines to a log.

    >>> class Shown:
    ...     def write_lines(self, data):
    ...         print(data)
    ...         return len(data)
    >>> splitter = Splitter(Shown())
    >>> splitter.feed(b"one\\ntw")
    b'one\\n'
    >>> splitter.feed(b"o\\n")
    b'two\\n'
    >>> splitter.feed(b"no line end")
    >>> splitter.finish()
    b'no line end\\n'
    """

    def __init__(self, log: Writer, *, longest: int = MAX_ENTRY) -> None:
        """Take the log that lines go to, and the length in bytes above which a line is split."""
        self._log, self._longest = log, longest
        self._rest = bytearray()
        self._parts = 0
        self._split = 0

    def feed(self, data: bytes) -> None:
        """Take the next piece of the stream."""
        first = data.find(b"\n")
        if self._rest and not self._parts and 0 <= first <= self._longest - len(self._rest):
            # The line that waited goes in one write with those after it.
            data, self._rest = bytes(self._rest) + data, bytearray()
        elif self._rest or (first if first >= 0 else len(data)) > self._longest:
            self._rest += data if first < 0 else data[: first + 1]
            self._cut()
            if first < 0:
                return
            self._end_line()
            data = data[first + 1 :]
        end = data.rfind(b"\n") + 1
        if end:
            self._whole(data if end == len(data) else data[:end])
        self._rest += data[end:]
        self._cut()

    def finish(self) -> None:
        """Take the end of the stream: what stands after the last line end is a line, too."""
        if self._rest or self._parts:
            self._rest += b"\n"
            self._cut()
            self._end_line()

    def _whole(self, data: bytes) -> None:
        if len(data) <= self._longest:
            self._log.write_lines(data)
            return
        for line in data[:-1].split(b"\n"):
            self._rest += line + b"\n"
            self._cut()
            self._end_line()

    def _cut(self) -> None:
        """Seal parts of a line that is too long; what stays is as long as an entry may be."""
        # A CR before the line end is no part of the entry, so one byte more may still be an entry.
        while len(self._rest) > self._longest and self._size() > self._longest:
            if not self._parts:
                self._say(f"a line of more than {self._longest} bytes follows in parts")
            # The CR is the one that sealing drops: a part may end in a CR of its own.
            self._log.write_lines(bytes(self._rest[: self._longest]) + b"\r\n")
            del self._rest[: self._longest]
            self._parts += 1
            self._split += self._longest

    def _end_line(self) -> None:
        self._log.write_lines(bytes(self._rest))
        if self._parts:
            self._say(f"end of the line of {self._split + self._size()} bytes in {self._parts + 1} parts")
        self._rest.clear()
        self._parts = self._split = 0

    def _size(self) -> int:
        """Return the length of the entry that stands here, without its line end."""
        end = self._rest[-2:]
        return len(self._rest) - len(end) + len(end.removesuffix(b"\n").removesuffix(b"\r"))

    def _say(self, what: str) -> None:
        self._log.notice("split", what)

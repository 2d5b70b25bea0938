"""Copies that end in the middle of a line: the line stands whole in another file (spec section 9)."""

import contextlib
from collections.abc import Iterator, Sequence

from tallystick import _core
from tallystick.verify.inputs import Input
from tallystick.verify.streams import BROKEN

__all__ = ["Copies"]

_LONGEST = 2**24 + 2**20  # bytes of a line that is compared
_FILES = 64  # files whose first line is compared
_PLACES = 64  # places that are looked at for one line
_SIZE = 2**26  # bytes of these


class Copies:
    """Looks for lines in the files that were read."""

    def __init__(self, inputs: Sequence[Input], chunks: Sequence[_core.Chunk], log_ids: Sequence[str]) -> None:
        """Take the files, which must be open, and what was read of them."""
        self._inputs, self._chunks, self._log_ids = inputs, chunks, log_ids

    def has(self, end: _core.BrokenEnd) -> bool:
        """Is the broken end of a file the beginning of the line that stands there in another file?"""
        place = end.place
        broken = self._inputs[place.file].excerpts([place.offset], _LONGEST).get(place.offset)
        return bool(broken) and any(line.startswith(broken) for line in self._lines_there(end) if broken)

    def _lines_there(self, end: _core.BrokenEnd) -> Iterator[bytes]:
        """Give the lines of other files that stand where a file ends, as their carriers wrote them."""
        file = end.place.file
        if not end.sought:  # it breaks off within its first line
            others = [one for number, one in enumerate(self._inputs) if number != file]
            for other in others[:_FILES]:
                yield from other.excerpts([0], _LONGEST).values()
            return
        places, size = _PLACES, _SIZE
        for log, wanted in end.sought:
            seal = f"{self._log_ids[log]}.{wanted[0]}.{wanted[1]}.{wanted[2]}.".encode()
            for chunk in self._likely_first(file, log, wanted):
                places, size = places - 1, size - chunk.size
                if places < 0 or size < 0:
                    return
                yield from self._lines_with(chunk, log, seal)

    def _likely_first(self, file: int, log: int, at: tuple[int, int, int]) -> list[_core.Chunk]:
        """Return the chunks of other files with lines of a log, those first in which a line should stand.

        In a file whose lines are not in order, its first and last line say little.
        """
        chunks = [one for one in self._chunks if one.file != file and any(edge[0] == log for edge in one.edges)]
        return sorted(chunks, key=lambda one: not _holds(one, log, at))

    def _lines_with(self, chunk: _core.Chunk, log: int, seal: bytes) -> Iterator[bytes]:
        """Give the lines of a chunk in which the beginning of a seal stands."""
        one = self._inputs[chunk.file]
        offset = next(place.offset for number, _, place, _ in chunk.edges if number == log)
        data = b""
        with contextlib.suppress(*BROKEN):  # it may have been moved meanwhile
            data = one.excerpt(offset, chunk.size)
        if seal not in data:  # the file is compressed, and must be read from its beginning
            data = next((read.data for read in one.again() if read.number == chunk.chunk), b"")
        found = data.find(seal)
        while found >= 0:
            end = data.find(b"\n", found)
            end = end if end >= 0 else len(data)
            yield data[data.rfind(b"\n", 0, found) + 1 : end]
            found = data.find(seal, end)


def _holds(chunk: _core.Chunk, log: int, at: tuple[int, int, int]) -> bool:
    """Could a line stand in a chunk, by its first and last line of that log?"""
    return any(number == log and first <= at <= last for number, first, _, last in chunk.edges)

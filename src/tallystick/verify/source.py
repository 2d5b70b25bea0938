"""What a judgement starts from: the merged summary, and what the caller brings along."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tallystick import _core
from tallystick.verify.inputs import Input

__all__ = ["At", "Demand", "Source", "Where", "behind", "dotted"]

At = tuple[int, int, int]
"""Chain, epoch, index."""

Where = tuple[int, int]
"""Number of a file, byte offset in it."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What the caller brings along and asks for.

    Args:
        heads: Head text by log id.
        bad_heads: Why there is no head to meet although there should be one, by log id.
        pins: Pin texts; a pin is the position and hash of a statement that was verified before, or got elsewhere.
        start: First chain that must be there, if the caller names one.
        allow: Kinds that the caller allows: `duplicate`, `reordered`, `open end`.
    """

    heads: dict[str, bytes] = field(default_factory=dict)
    bad_heads: dict[str, str] = field(default_factory=dict)
    pins: tuple[bytes, ...] = ()
    start: int | None = None
    allow: frozenset[str] = frozenset()


class Source:
    """The merged summary, and the files that it came from."""

    def __init__(self, summary: _core.Summary, keys: _core.Keys, inputs: Sequence[Input]) -> None:
        """Take what was scanned; the inputs must stay open."""
        self.summary, self.keys = summary, keys
        self.chunks: list[_core.Chunk] = summary.chunks()
        self._inputs = inputs
        self._by_file: dict[int, list[_core.Chunk]] = {}
        self._lines_before: dict[tuple[int, int], int] = {}
        for chunk in self.chunks:
            others = self._by_file.setdefault(chunk.file, [])
            last = others[-1] if others else None
            before = self._lines_before[last.file, last.chunk] + last.lines if last else 0
            self._lines_before[chunk.file, chunk.chunk] = before
            others.append(chunk)

    def chunks_of(self, file: int) -> Sequence[_core.Chunk]:
        """Return the chunks of a file, in order."""
        return self._by_file.get(file, [])

    def line(self, place: _core.Place) -> tuple[str, int]:
        """Return the path and the line number, from 1, of a place."""
        return self._inputs[place.file].path, self._lines_before[place.file, place.chunk] + place.line + 1

    def texts(self, place: _core.Place, count: int) -> list[bytes]:
        """Return the beginnings of some lines, from a place on, without line ends."""
        data = self._inputs[place.file].excerpt(place.offset, 4096 * count)
        return data.split(b"\n")[:count]

    def ends_in_lf(self, file: int) -> bool:
        """Is the last line of a file whole?"""
        one = self._inputs[file]
        return one.size > 0 and one.excerpt(one.size - 1, 1) == b"\n"


def dotted(at: At) -> str:
    """Return a position as text."""
    return ".".join(map(str, at))


def behind(at: At) -> At:
    """Return the position behind a line, in its epoch; index 65,535 is the last that a seal can name."""
    return at[0], at[1], min(at[2] + 1, 65_535)

"""What a judgement starts from: the merged summary, and what the caller brings along."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tallystick import _core

__all__ = ["At", "Demand", "Source", "behind", "dotted"]

At = tuple[int, int, int]


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


@dataclass(frozen=True, slots=True)
class Source:
    """The merged summary with the names of its files."""

    summary: _core.Summary
    keys: _core.Keys
    paths: Sequence[str]
    chunks: Sequence[_core.Chunk]
    lines_before: dict[tuple[int, int], int]

    def line(self, place: _core.Place) -> tuple[str, int]:
        """Return the path and the line number, from 1, of a place."""
        return self.paths[place.file], self.lines_before[place.file, place.chunk] + place.line + 1


def dotted(at: At) -> str:
    """Return a position as text."""
    return ".".join(map(str, at))


def behind(at: At) -> At:
    """Return the position behind a line, in its epoch."""
    return at[0], at[1], at[2] + 1

"""What a judgement starts from: the merged summary, and what the caller brings along."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tallystick import _core
from tallystick.verify.heads import Heads
from tallystick.verify.inputs import Input
from tallystick.verify.keys import labels
from tallystick.verify.report import Finding
from tallystick.verify.strangers import blanked

if TYPE_CHECKING:
    from tallystick.verify.pins import Pin
    from tallystick.verify.unseen import Unseen

__all__ = ["At", "Demand", "Source", "Where", "behind", "dotted", "quoted", "with_excerpts"]

At = tuple[int, int, int]
"""Chain, epoch, index."""

Where = tuple[int, int]
"""Number of a file, byte offset in it."""

_EXCERPT = 160  # bytes
_BEGINNING = 512  # bytes


@dataclass(frozen=True, slots=True)
class Demand:
    """What the caller brings along and asks for.

    Args:
        heads: The heads to meet.
        pins: Pins; a pin is the position and hash of a statement that was verified before, or got elsewhere.
        start: First chain that must be there, if the caller names one.
        expect: Labels of logs that must be there.
        allow: Kinds that the caller allows.
        subset: Lines were filtered out, so gaps are told and not judged.
        last: Last chain that must be there, if the caller names one.
        unread: What could not be read, or not to its end: what is absent may stand there.
        doubled: Positions at which a duplicate is excepted, first and last, by label of the log.
    """

    heads: Heads = field(default_factory=Heads)
    pins: "tuple[Pin, ...]" = ()
    start: int | None = None
    expect: frozenset[str] = frozenset()
    allow: frozenset[str] = frozenset()
    subset: bool = False
    last: int | None = None
    unread: "tuple[Unseen, ...]" = ()
    doubled: Mapping[str, Sequence[tuple[At, At]]] = field(default_factory=dict)


class Source:
    """The merged summary, and the files that it came from."""

    def __init__(self, summary: _core.Summary, keys: _core.Keys, inputs: Sequence[Input]) -> None:
        """Take what was scanned; the inputs must stay open."""
        self.summary, self.keys, self.labels = summary, keys, labels(keys)
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

    def files(self) -> Iterable[int]:
        """Return the numbers of all files."""
        return range(len(self._inputs))

    def input(self, file: int) -> Input:
        """Return a file, which may be read once more."""
        return self._inputs[file]

    def chunks_of(self, file: int) -> Sequence[_core.Chunk]:
        """Return the chunks of a file, in order."""
        return self._by_file.get(file, [])

    def at(self, finding: Finding, place: _core.Place | None) -> Finding:
        """Return a finding with the place where it was made."""
        if place is None:
            return finding
        path, line = self._inputs[place.file].path, self._line(place)
        return replace(finding, path=path, line=line, offset=place.offset)

    def beginning(self, event: _core.Event) -> bytes:
        """Return the beginning of an event's first line, longer than the core keeps it where that is cheap."""
        kept = event.texts[0] if event.texts else b""
        if not kept.startswith(b"{"):  # of other lines, what is kept is enough for all that is looked for
            return kept
        read = self._inputs[event.place.file].excerpt(event.place.offset, min(event.length, _BEGINNING))
        return read if read.startswith(kept) else kept  # else it is compressed, or came out of an envelope

    def lacking(self, event: _core.Event) -> str | None:
        """Say which parts of a bad line are missing, if it is one of which a carrier's file lacks some."""
        place, text = event.place, event.texts[0] if event.texts else b""
        held = self._inputs[place.file].lacking
        return next(
            (what for *at, begins, what in held if at == [place.chunk, place.line] and text[:64] == begins), None
        )

    def only_foreign(self, log: int) -> bool:
        """Are sealed lines here, but none of a log whose key is at hand, and none that claims to be of this one?"""
        if any(self.summary.chains(number, False) for number in range(len(self.keys.logs()))):
            return False
        events = self.summary.events()
        mine = self.summary.counts(log).narrowed or any(event.log == log for event in events)
        return not mine and any(event.kind == "foreign" for event in events)

    def is_first(self, place: _core.Place) -> bool:
        """Is this the first line of its file?"""
        return self._line(place) == 1

    def is_last(self, place: _core.Place) -> bool:
        """Is this the last line of its file?"""
        return self._line(place) == self._last_line(place.file)

    def _last_line(self, file: int) -> int:
        last = self._by_file[file][-1]
        return self._lines_before[file, last.chunk] + last.lines

    def _line(self, place: _core.Place) -> int:
        return self._lines_before[place.file, place.chunk] + place.line + 1

    def breaks_off(self, place: _core.Place, count: int) -> bool:
        """Is the last of some lines the one within which a file could not be read any further?"""
        one = self._inputs[place.file]
        return bool(one.trouble) and not one.ends_in_lf and self._line(place) + count - 1 == self._last_line(place.file)

    def ends_in_lf(self, file: int) -> bool:
        """Is the last line of a file whole?"""
        return self._inputs[file].ends_in_lf


def with_excerpts(findings: Sequence[Finding], inputs: Sequence[Input]) -> list[Finding]:
    """Return findings with the beginnings of the lines that they were made at; the inputs must still be open."""
    wanted: dict[str, list[int]] = {}
    for finding in findings:
        if finding.path is not None and finding.offset is not None and finding.excerpt is None:
            wanted.setdefault(finding.path, []).append(finding.offset)
    found = {one.path: one.excerpts(wanted[one.path], _EXCERPT) for one in inputs if one.path in wanted}
    quotes = {(path, at): quoted(text) for path, texts in found.items() for at, text in texts.items()}
    return [
        finding
        if finding.excerpt is not None or finding.path is None or finding.offset is None
        else replace(finding, excerpt=quotes.get((finding.path, finding.offset)))
        for finding in findings
    ]


def dotted(at: At) -> str:
    """Return a position as text."""
    return ".".join(map(str, at))


def behind(at: At) -> At:
    """Return the position behind a line, in its epoch; index 65,535 is the last that a seal can name."""
    return at[0], at[1], min(at[2] + 1, 65_535)


def quoted(text: bytes) -> str:
    """Return the beginning of a line as text in which nothing makes a terminal or browser do anything, without secrets.

    >>> quoted(b"user=7\\x1b[2J\\xff")
    'user=7\\\\x1b[2J\\\\xff'
    """
    decoded = text[:_EXCERPT].decode("utf-8", "backslashreplace")
    return blanked(
        "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in decoded),
        cut=len(text) >= _EXCERPT,
    )

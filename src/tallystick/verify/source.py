"""The facts of a verification, and the files that they came from."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace

from tallystick import _core
from tallystick.verify.inputs import Input
from tallystick.verify.keys import labels
from tallystick.verify.report import Finding

__all__ = ["Source"]

_BEGINNING = 512  # bytes


class Source:
    """The facts, and the files that they came from."""

    def __init__(
        self, facts: _core.Facts, keys: _core.Keys, inputs: Sequence[Input], chunks: Sequence[_core.Chunk]
    ) -> None:
        """Take what was scanned, chunks in order; the inputs must stay open."""
        self.facts, self.keys, self.labels = facts, keys, labels(keys)
        self.chunks = chunks
        self._inputs = inputs
        self._counted: dict[int, tuple[dict[int, int], int]] = {}  # what `_lines` returned

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
        if any(self.facts.chains(number, False) for number in range(len(self.keys.logs()))):
            return False
        events = self.facts.events()
        mine = self.facts.counts(log).narrowed or any(event.log == log for event in events)
        return not mine and any(event.kind == "foreign" for event in events)

    def is_first(self, place: _core.Place) -> bool:
        """Is this the first line of its file?"""
        return self._line(place) == 1

    def is_last(self, place: _core.Place) -> bool:
        """Is this the last line of its file?"""
        return self._line(place) == self._last_line(place.file)

    def _last_line(self, file: int) -> int:
        return self._lines(file)[1]

    def _line(self, place: _core.Place) -> int:
        return self._lines(place.file)[0][place.chunk] + place.line + 1

    def _lines(self, file: int) -> tuple[dict[int, int], int]:
        """Return how many lines of a file are before each of its chunks, and how many there are: only where asked."""
        if file not in self._counted:
            before, lines = dict[int, int](), 0
            begin, end = (bisect_left(self.chunks, one, key=lambda chunk: chunk.file) for one in (file, file + 1))
            for chunk in self.chunks[begin:end]:
                before[chunk.chunk] = lines
                lines += chunk.lines
            self._counted[file] = before, lines
        return self._counted[file]

    def breaks_off(self, place: _core.Place, count: int) -> bool:
        """Is the last of some lines the one within which a file could not be read any further?"""
        one = self._inputs[place.file]
        return bool(one.trouble) and not one.ends_in_lf and self._line(place) + count - 1 == self._last_line(place.file)

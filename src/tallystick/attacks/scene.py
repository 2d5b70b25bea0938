"""A sealed log as an intruder finds it, and what he needs to find his way in it.

>>> line = b"user=7 tally=aaaaaaaa.1.0.5.6.AAAAAAAAAAAAAAAAAAAAAA"
>>> scene = Scene((line, line), head=b"")
>>> scene.position(0), text_of(line)
((1, 0, 5), b'user=7')
>>> scene.spliced(0, 1).lines == (line,)
True
"""

import enum
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

from tallystick import _core
from tallystick.errors import ReportError

__all__ = [
    "Attack",
    "Field",
    "ImpossibleError",
    "Position",
    "Scene",
    "SealText",
    "changeable",
    "edited",
    "seal_of",
    "text_of",
    "with_field",
]

Position = tuple[int, int, int]

_LETTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


class Field(enum.IntEnum):
    """A field of a seal."""

    LOG_ID = 0
    CHAIN = 1
    EPOCH = 2
    INDEX = 3
    LENGTH = 4
    TAG = 5


@dataclass(frozen=True, slots=True)
class SealText:
    """The seal at the end of a line.

    Args:
        line: The line.
        start: Where the seal begins, with the blank or comma that joins it to the text.
        places: Where each field begins and ends.
    """

    line: bytes
    start: int
    places: Sequence[tuple[int, int]]

    def __getitem__(self, field: Field) -> bytes:
        """Return the text of a field."""
        start, end = self.places[field]
        return self.line[start:end]

    @property
    def position(self) -> Position:
        """The position that the seal claims."""
        return int(self[Field.CHAIN]), int(self[Field.EPOCH]), int(self[Field.INDEX])


class ImpossibleError(ReportError):
    """This attack cannot be played on this log; the message says why."""


def seal_of(line: bytes) -> SealText | None:
    """Return the seal at the end of a line; None if there is none, or the line is a redacted one."""
    found = _core.seal_text(line)
    return SealText(line, *found) if found is not None else None


def text_of(line: bytes) -> bytes:
    """Return a sealed line without its seal."""
    found = seal_of(line)
    if found is None:
        return line
    return line[: found.start] + (b"}" if line[found.start :].lstrip(b",").startswith(b'"') else b"")


def with_field(line: bytes, field: Field, value: bytes) -> bytes:
    """Return a sealed line with another value in one field of its seal."""
    found = seal_of(line)
    assert found is not None
    start, end = found.places[field]
    return line[:start] + value + line[end:]


def changeable(line: bytes) -> int:
    """Return a place in the text of a line at which another byte makes it say something else, JSON included.

    Raises:
        ImpossibleError: There is none.
    """
    text = text_of(line)
    for at, (one, other) in enumerate(pairwise(text), 1):
        # A letter after a letter is no exponent; after a backslash it could be another spelling of the same.
        if one in _LETTERS and other in _LETTERS and b"\\" not in text[max(0, at - 7) : at]:
            return at
    if not text or text.startswith(b"{"):
        raise ImpossibleError("there is no line with a word in it")
    return 0


def edited(line: bytes) -> bytes:
    """Return a line with another letter in its text."""
    at = changeable(line)
    return line[:at] + (b"y" if line[at : at + 1] == b"x" else b"x") + line[at + 1 :]


@dataclass(frozen=True)
class Scene:
    """A sealed log as the intruder finds it, or as he leaves it.

    Args:
        lines: Its lines, without line ends, oldest first.
        head: Its head; empty if it is not known.
        older_head: A head that it had before its newest chain; empty if none was kept.
        breaks: Where another file begins: numbers of lines, ascending.
        log_id: Whose lines are looked at; None for those of any log.
        expected_at: Positions of which one must be reported.
        expected_line: The line that must be reported.
        remark: What must be known to judge the result.
    """

    lines: tuple[bytes, ...]
    head: bytes
    older_head: bytes = b""
    breaks: tuple[int, ...] = ()
    log_id: bytes | None = None
    expected_at: tuple[Position, ...] = ()
    expected_line: int | None = None
    remark: str | None = None

    @cached_property
    def positions(self) -> tuple[Position | None, ...]:
        """The position in the seal of each line; None for a line without a seal of this log."""
        return tuple(self._position(line) for line in self.lines)

    def _position(self, line: bytes) -> Position | None:
        found = seal_of(line)
        if found is None or (self.log_id is not None and found[Field.LOG_ID] != self.log_id):
            return None
        return found.position

    def position(self, index: int) -> Position:
        """Return the position in the seal of a line."""
        at = self.positions[index]
        if at is None:
            raise ReportError(f"line {index + 1} has no seal, so there is nothing to play the intruder with")
        return at

    def statement(self, index: int) -> list[bytes] | None:
        """Return the words of the statement in a line, if it is a control line by all that can be seen."""
        return _core.statement_words(self.lines[index]) if self.positions[index] is not None else None

    @cached_property
    def _words(self) -> dict[int, bytes]:
        """The kind of each statement, by its line."""
        return {i: words[1] for i in range(len(self.lines)) if (words := self.statement(i))}

    @cached_property
    def controls(self) -> tuple[int, ...]:
        """Which lines are openings and checkpoints."""
        return tuple(i for i, word in self._words.items() if word != b"notice")

    @cached_property
    def notices(self) -> tuple[int, ...]:
        """Which lines are notices."""
        return tuple(i for i, word in self._words.items() if word == b"notice")

    @cached_property
    def _controls(self) -> frozenset[int]:
        return frozenset(self._words)

    def entries(self) -> Iterator[int]:
        """Give which lines are entries of the application."""
        return (i for i, at in enumerate(self.positions) if at is not None and i not in self._controls)

    def chain(self, number: int) -> tuple[int, int]:
        """Return the first line of a chain and the one after its last."""
        lines = [i for i, at in enumerate(self.positions) if at is not None and at[0] == number]
        return lines[0], lines[-1] + 1

    def chains(self) -> list[int]:
        """Return the numbers of the chains."""
        return sorted({at[0] for at in self.positions if at is not None})

    def file_of(self, index: int) -> int:
        """Return the number of the file in which a line stands."""
        return bisect_right(self.breaks, index)

    def files(self) -> list[tuple[bytes, ...]]:
        """Return the lines of each file."""
        ends = (0, *self.breaks, len(self.lines))
        return [self.lines[start:end] for start, end in pairwise(ends)]

    def file_end(self, index: int) -> int:
        """Return the number of the line after the last one of the file in which a line stands."""
        return (*self.breaks, len(self.lines))[self.file_of(index)]

    @cached_property
    def victim(self) -> int:
        """An entry in the middle of the log with another one after it, and its chain around them, in one file."""
        entries = list(self.entries())
        middle = len(entries) // 2
        for index in (*entries[middle:], *reversed(entries[:middle])):
            if self._is_victim(index):
                return index
        raise ImpossibleError(
            "the log is too short to play the intruder with", hint="take one of 20 lines or more, not all the same"
        )

    def _is_victim(self, index: int) -> bool:
        if index == 0 or index + 2 >= len(self.lines) or self.file_of(index - 1) != self.file_of(index + 2):
            return False
        chain, epoch, at = self.position(index)
        later = self.positions[index + 2]  # a line at the end of a chain may rightly be torn
        around = [self.positions[i] for i in (index - 1, index, index + 1)]
        if (
            around != [(chain, epoch, at - 1), (chain, epoch, at), (chain, epoch, at + 1)]
            or index + 1 in self._controls
        ):
            return False
        if later is None or later[0] != chain or text_of(self.lines[index]) == text_of(self.lines[index + 1]):
            return False
        for line in self.lines[index : index + 2]:
            found, text = seal_of(line), text_of(line)
            if found is None or int(found[Field.LENGTH]) != len(text):
                return False  # a carrier put something before it, or rewrote it
            try:
                changeable(line)
            except ImpossibleError:
                return False
        return True

    def spliced(self, start: int, end: int, *new: bytes) -> "Scene":
        """Return the scene with other lines in the place of some; lines put between two files go to the first."""

        def moved(at: int) -> int:
            if at < start or at == start < end:
                return at
            return at + len(new) - (end - start) if at >= end else start

        return replace(
            self,
            lines=self.lines[:start] + new + self.lines[end:],
            breaks=tuple(moved(at) for at in self.breaks),
        )

    def changed(self, index: int, line: bytes) -> "Scene":
        """Return the scene with one line changed, which must be reported."""
        return self.spliced(index, index + 1, line).expecting(line=index)

    def without(self, keep: Callable[[int], bool]) -> "Scene":
        """Return the scene with those lines only of which `keep` says so."""
        kept = [i for i in range(len(self.lines)) if keep(i)]
        breaks = tuple(bisect_left(kept, at) for at in self.breaks)
        return replace(self, lines=tuple(self.lines[i] for i in kept), breaks=breaks)

    def expecting(self, *at: Position, line: int | None = None, remark: str | None = None) -> "Scene":
        """Return the scene with what a verifier must report: one of some positions, or a line."""
        return replace(self, expected_at=at, expected_line=line, remark=remark)


@dataclass(frozen=True, slots=True)
class Attack:
    """One way to doctor a log.

    Args:
        name: What the intruder does.
        expected: Kinds of findings; a verifier that holds V and the head must report one of them.
        doctor: Makes the doctored scene; ImpossibleError says that it cannot be played on this log.
    """

    name: str
    expected: frozenset[str]
    doctor: Callable[[Scene], Scene]

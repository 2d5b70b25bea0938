"""A sealed log as an intruder finds it, and what he needs to find his way in it.

>>> line = b"user=7 tally=aaaaaaaa.1.0.5.6.AAAAAAAAAAAAAAAAAAAAAA"
>>> scene = Scene((line, line), head=b"")
>>> scene.position(0), text_of(line)
((1, 0, 5), b'user=7')
>>> scene.spliced(0, 1).lines == (line,)
True
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

from tallystick.errors import ReportError

__all__ = ["Attack", "ImpossibleError", "Position", "Scene", "changeable", "edited", "seal_of", "text_of", "with_field"]

Position = tuple[int, int, int]

_SEAL = re.compile(
    rb'(?: ?tally=|,?"tally":")([a-z2-7]{8})\.([0-9]+)\.([0-9]+)\.([0-9]+)\.([0-9]+)\.([\w-]{22})(?:"\})?[ \t\r]*\Z'
)
_STATEMENT = re.compile(rb'(?:\{"tallystick":")?(tallystick/v1 (?:open|checkpoint) [!-~ ]+?)(?:"\})?\Z')
_PAIR = re.compile(rb"[A-Za-z](?=[A-Za-z])")


class ImpossibleError(ReportError):
    """This attack cannot be played on this log; the message says why."""


def seal_of(line: bytes) -> re.Match[bytes] | None:
    """Find the seal at the end of a line: groups are log id, chain, epoch, index, length and tag."""
    start = line.rfind(b"tally")
    return _SEAL.search(line, max(0, start - 2)) if start >= 0 else None


def text_of(line: bytes) -> bytes:
    """Return a sealed line without its seal."""
    found = seal_of(line)
    if found is None:
        return line
    return line[: found.start()] + (b"}" if line[found.start() :].lstrip(b",").startswith(b'"') else b"")


def with_field(line: bytes, group: int, value: bytes) -> bytes:
    """Return a sealed line with another value in one field of its seal."""
    found = seal_of(line)
    assert found is not None
    return line[: found.start(group)] + value + line[found.end(group) :]


def changeable(line: bytes) -> int:
    """Return a place in the text of a line at which another byte makes it say something else, JSON included.

    Raises:
        ImpossibleError: There is none.
    """
    text = text_of(line)
    for found in _PAIR.finditer(text):
        # A letter behind a letter is no exponent; behind a backslash it could be another spelling of the same.
        if b"\\" not in text[max(0, found.start() - 6) : found.end()]:
            return found.end()
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
        told_at: Positions of which one must be told.
        told_line: The line that must be told.
        remark: What must be known to judge the result.
    """

    lines: tuple[bytes, ...]
    head: bytes
    older_head: bytes = b""
    breaks: tuple[int, ...] = ()
    log_id: bytes | None = None
    told_at: tuple[Position, ...] = ()
    told_line: int | None = None
    remark: str | None = None

    @cached_property
    def positions(self) -> tuple[Position | None, ...]:
        """The position in the seal of each line; None for a line without a seal of this log."""
        return tuple(self._position(line) for line in self.lines)

    def _position(self, line: bytes) -> Position | None:
        found = seal_of(line)
        if found is None or (self.log_id is not None and found[1] != self.log_id):
            return None
        return int(found[2]), int(found[3]), int(found[4])

    def position(self, index: int) -> Position:
        """Return the position in the seal of a line."""
        at = self.positions[index]
        if at is None:
            raise ReportError(f"line {index + 1} has no seal, so there is nothing to play the intruder with")
        return at

    def statement(self, index: int) -> list[bytes] | None:
        """Return the words of the statement in a line, if it is a control line by all that can be seen."""
        at = self.positions[index]
        if at is None or b"tallystick/v1 " not in self.lines[index][:32]:
            return None
        found = _STATEMENT.fullmatch(text_of(self.lines[index]))
        words = found[1].split(b" ") if found else []
        # An application may log anything, also what looks like a statement of another place.
        return words if len(words) >= 9 and words[4] == b"%d" % at[0] else None

    @cached_property
    def controls(self) -> tuple[int, ...]:
        """Which lines are control lines."""
        return tuple(i for i in range(len(self.lines)) if self.statement(i))

    @cached_property
    def _controls(self) -> frozenset[int]:
        return frozenset(self.controls)

    def entries(self) -> Iterator[int]:
        """Give which lines are entries of the application."""
        return (i for i, at in enumerate(self.positions) if at is not None and i not in self._controls)

    def chain(self, number: int) -> tuple[int, int]:
        """Return the first line of a chain and the one behind its last."""
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
        """Return the number of the line behind the last one of the file in which a line stands."""
        return (*self.breaks, len(self.lines))[self.file_of(index)]

    @cached_property
    def victim(self) -> int:
        """An entry in the middle of the log with another one behind it, and its chain around them, in one file."""
        entries = list(self.entries())
        middle = len(entries) // 2
        for index in (*entries[middle:], *reversed(entries[:middle])):
            if self._is_victim(index):
                return index
        raise ImpossibleError(
            "the log is too short to play the intruder with; take one of 20 lines or more, not all the same"
        )

    def _is_victim(self, index: int) -> bool:
        if index == 0 or index + 2 >= len(self.lines) or self.file_of(index - 1) != self.file_of(index + 2):
            return False
        chain, epoch, at = self.position(index)
        behind = self.positions[index + 2]  # what stands at the end of a chain may be torn by right
        around = [self.positions[i] for i in (index - 1, index, index + 1)]
        if (
            around != [(chain, epoch, at - 1), (chain, epoch, at), (chain, epoch, at + 1)]
            or index + 1 in self._controls
        ):
            return False
        if behind is None or behind[0] != chain or text_of(self.lines[index]) == text_of(self.lines[index + 1]):
            return False
        for line in self.lines[index : index + 2]:
            found, text = seal_of(line), text_of(line)
            if found is None or int(found[5]) != len(text):
                return False  # a carrier put something before it, or wrote it anew
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
        """Return the scene with one line changed, which must be told."""
        return self.spliced(index, index + 1, line).telling(line=index)

    def without(self, keep: Callable[[int], bool]) -> "Scene":
        """Return the scene with those lines only of which `keep` says so."""
        kept = [i for i in range(len(self.lines)) if keep(i)]
        breaks = tuple(bisect_left(kept, at) for at in self.breaks)
        return replace(self, lines=tuple(self.lines[i] for i in kept), breaks=breaks)

    def telling(self, *at: Position, line: int | None = None, remark: str | None = None) -> "Scene":
        """Return the scene with what a verifier must tell of it: one of some positions, or a line."""
        return replace(self, told_at=at, told_line=line, remark=remark)


@dataclass(frozen=True, slots=True)
class Attack:
    """One way to doctor a log.

    Args:
        name: What the intruder does.
        told: Kinds of findings; a verifier that holds V and the head must tell one of them.
        doctor: Makes the doctored scene; ImpossibleError says that it cannot be played on this log.
    """

    name: str
    told: frozenset[str]
    doctor: Callable[[Scene], Scene]

"""What one witness has not received yet, and what proves that it goes on from what it has.

>>> backlog = Backlog()
>>> backlog.is_empty, backlog.reached
(True, (0, 0, 0))
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from tallystick import _core
from tallystick.writer.witnesses.wire import MOST_BYTES, Item

__all__ = ["At", "Backlog", "Text"]

At = tuple[int, int, int]

_MOST_WAITING = 2**24  # bytes of texts: those of some 40 chains
_MOST_SENT = MOST_BYTES // 2  # bytes of texts at once; proofs take room, too
_MOST_SHOWN = 256  # texts that are remembered as this writer's own


@dataclass
class Text:
    """A text for witnesses.

    Args:
        text: The text itself.
        tree: The leaves of its epoch, for a proof; None where no head of that epoch was signed.
    """

    text: bytes
    tree: _core.EpochTree | None = None

    @cached_property
    def said(self) -> _core.ShownText:
        """What it says."""
        return _core.parse_shown(self.text)

    @property
    def is_head(self) -> bool:
        """Is it a signed head, and no statement?"""
        return self.said.verb == _core.Verb.HEAD

    @property
    def epoch(self) -> tuple[int, int]:
        """Its chain and epoch."""
        return self.said.chain, self.said.epoch


class Backlog:
    """The texts that wait for one witness, in the order of the log.

    State: what waits, what is on its way, what was on its way without an answer, the texts that were shown last, the
    newest text that the witness has, the `open` of the newest chain.
    Invariant: of heads only the newest waits, since it contains the others; the leaves of an epoch are kept only while
    the witness may know a part of it. One thread at a time uses it.
    """

    def __init__(self) -> None:
        self._waiting: deque[Text] = deque()
        self._flying: list[Text] = []
        self._unsure: list[Text] = []
        self._shown: dict[bytes, Text] = {}
        self._size = 0
        self._newest: Text | None = None
        self._opened: Text | None = None
        self._receipt = b""
        self._refused = 0
        self.reached: At = (0, 0, 0)
        """Up to where the witness has the log of this writer."""
        self.lost = 0
        """How many texts were given up: too many waited, or nothing could prove that they go on."""

    @property
    def is_empty(self) -> bool:
        """Is there nothing that the witness has not received?"""
        return not self._waiting and not self._flying

    def add(self, texts: Iterable[Text]) -> None:
        """Have further texts wait, the newest last."""
        known = {one.epoch for one in (self._newest, *self._flying, *self._unsure) if one is not None}
        for one in texts:
            if self._waiting and self._waiting[-1].is_head:
                self._size -= len(self._waiting.pop().text)
            if one.said.verb == _core.Verb.OPEN:
                self._opened = one
            self._waiting.append(one if one.is_head or one.epoch in known else Text(one.text))
            self._size += len(one.text)
        while self._size > _MOST_WAITING and self._waiting[0].said.chain != self._waiting[-1].said.chain:
            self._size -= len(self._waiting.popleft().text)
            self.lost += 1

    def take(self) -> list[Item]:
        """Return what is to be shown next: as much as one request takes."""
        items, size, before = list[Item](), 0, self._newest
        if self._unsure and before is not None and self._receipt:
            # It tells a witness that was put back to an older memory what it has forgotten.
            items.append(Item(before.text, receipt=self._receipt))
        while self._waiting and (not size or size + len(self._waiting[0].text) <= _MOST_SENT):
            one = self._waiting.popleft()
            items.append(Item(one.text, _proof(before, one)))
            size += len(one.text)
            self._flying.append(one)
            self._shown[one.text] = Text(one.text)
            before = one
        self._size -= size
        while len(self._shown) > _MOST_SHOWN:
            del self._shown[next(iter(self._shown))]
        return items

    def unanswered(self) -> None:
        """Note that no answer came: what was on its way may have been received, or not."""
        # A head that was not the last text is contained in what follows it.
        self._unsure = [*self._unsure[-1:], *self._flying]
        self._return([one for one in self._flying if not (one.is_head and self._waiting)])

    def accepted(self, text: bytes | None, receipt: bytes) -> bool:
        """Note that everything was accepted that was on its way.

        Args:
            text: The newest text that the witness has.
            receipt: Its receipt for that.

        Returns:
            Whether the newest text is one of this writer. If it is not, somebody else shows texts of this log, and
            nothing says that the two agree.
        """
        flying, self._flying, self._refused = self._flying, [], 0
        return self._note(text, receipt, flying)

    def contradicted(self) -> None:
        """Note that the witness has a text that contradicts one that was on its way: that one is not shown again."""
        self._return(self._flying[1:])

    def refused(self, text: bytes | None, receipt: bytes) -> bool:
        """Note that a text was refused, and nothing that was on its way after it was looked at.

        Args:
            text: The newest text that the witness has; None where it has none.
            receipt: Its receipt for that.

        Returns:
            As `accepted`.
        """
        flying, self._flying = self._flying, []
        before = None if self._newest is None else self._newest.text
        mine = self._note(text, receipt, flying)
        at = next((number + 1 for number, one in enumerate(flying) if one.text == text), 0)
        rest, newest = flying[at:], self._newest
        self._refused = self._refused + 1 if text == before else 0
        if not rest:
            return mine
        first = rest[0]
        begins = newest is None or newest.said.chain < first.said.chain
        if begins and self._opened is not None and self._opened.said.chain == first.said.chain and self._refused < 2:
            if first is not self._opened:
                rest.insert(0, self._opened)
        elif first.tree is None or self._refused:
            # Nothing more can be proved of it: what follows is accepted with a gap.
            del rest[0]
            self.lost += 1
        self._return(rest)
        return mine

    def _note(self, text: bytes | None, receipt: bytes, flying: list[Text]) -> bool:
        """Note what a witness has."""
        self._unsure, self._receipt = [], receipt
        if text is None:
            self._newest = None
            return True
        ours = [one for one in (self._newest, *flying) if one is not None]
        mine = next((one for one in ours if one.text == text), None) or self._shown.get(text)
        self._newest = mine or Text(text)
        if mine is not None:
            self.reached = max(self.reached, mine.said.until)
        # Before it accepts the `open`, a witness has what earlier writers showed.
        return mine is not None or self._opened is None or self._newest.said.chain < self._opened.said.chain

    def _return(self, texts: list[Text]) -> None:
        """Have texts wait again, before those that wait."""
        self._flying = []
        self._waiting.extendleft(reversed(texts))
        self._size += sum(len(one.text) for one in texts)


def _proof(before: Text | None, one: Text) -> list[bytes]:
    """Return what proves that a text goes on from another one; nothing where nothing does, or nothing need."""
    if before is None or one.tree is None or before.epoch != one.epoch or one.said.n < before.said.n:
        return []
    return one.tree.proof(before.said.n, one.said.n) or []

"""What was verified is remembered, so that a later run reads only what is new (spec section 7).

Of each file a run keeps a record: which file it was and how it could be seen that it was touched, digests of what it
held, and what the scan found in it, as a mergeable summary. The next run looks at each file:

- Untouched, by its size and times: nothing is read.
- Longer: what was added is read, and the last parts before it, to see that lines were appended and nothing else.
- Anything else, be it renamed, compressed, copied or written to: all of it is read. If it holds the same as before, by
  the digests, what the scan found still counts; if not, it is scanned like a new file.

So a file that is not there counts for nothing, whatever is remembered of it: verdict and findings are those of a run
that reads everything. What somebody changed so that no time or size shows it is found when it is read again, which each
byte is within a period (`due`).

A service that verifies all day holds the same in memory from one look to the next, and writes it now and then: what was
not written when it ends is read again.
"""

import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TypeAlias

from tallystick import _core
from tallystick.errors import FormatError
from tallystick.verify.encodings import PEEK
from tallystick.verify.inputs import Input
from tallystick.verify.memory.checks import Check
from tallystick.verify.memory.due import Aged, due, due_in
from tallystick.verify.memory.gathered import Gathered, Origin
from tallystick.verify.memory.given import Given
from tallystick.verify.memory.holder import Holder, Stored
from tallystick.verify.memory.match import Match, Recalled
from tallystick.verify.memory.merged import Merged, Room
from tallystick.verify.memory.record import Piece, Record, sha256
from tallystick.verify.memory.shelf import Shelf
from tallystick.verify.paths import Identity
from tallystick.verify.remote import Remote
from tallystick.verify.report import Remembered

__all__ = ["AnyShelf", "Check", "Gathered", "Memory", "Room", "packed", "whole"]

AnyShelf: TypeAlias = Shelf | Given

_TRIED = 3  # records that are held against an input that was not seen to be untouched
_MS = 1_000_000  # ns


def packed(summary: _core.Summary) -> bytes:
    """Return the form in which a directory holds a summary: R stands for each tree that it covers."""
    return summary.to_memory()


def whole(summary: _core.Summary) -> bytes:
    """Return the form in which a partial result holds a summary: with the trees, so that R is computed once more."""
    return _core.Summary.from_memory(summary.to_bytes(), 0).to_bytes()


class Memory:
    """What earlier runs found, and what this one does.

    Attributes:
        effort: Bytes of what a file held that are read again where it has grown, from its end on, and as many others
            that were not for long; None for two chunks at its end.
    """

    def __init__(
        self,
        shelf: "AnyShelf",
        period: float | None,
        context: str,
        keys: _core.Keys,
        stored: Callable[[_core.Summary], bytes],
        room: Room | None = None,
    ) -> None:
        """Take what is remembered.

        Args:
            shelf: The records.
            period: Seconds within which each remembered byte is read again; None for never.
            context: Digest of all that a scan depends on but the files.
            keys: The logs.
            stored: Gives the form in which a summary is kept.
            room: Memory for what looks to come share; None where this is the only one.
        """
        self._shelf, self._stored = shelf, stored
        self._period, self._context, self._keys = period, context, keys
        self._forgotten: set[Identity] = set()
        self._elsewhere = False  # whether what is due of objects was read elsewhere
        self.effort: int | None = None
        self._now = 0  # ms since 1970
        self._known = _core.Summary()  # of inputs of which nothing is read
        self._whole: dict[int, Record] = {}  # of inputs of which nothing is read; there may be very many
        self._recalled: dict[int, Recalled] = {}  # of the others
        self._gathered: dict[int, Gathered] = {}
        self._records: dict[int, Record] = {}
        self._kept: Sequence[Record] = ()  # what is remembered of the inputs of the last look
        self._merged = Merged(keys, room)

    @property
    def settled(self) -> _core.Settled | None:
        """What is merged and judged of what the inputs hold, and is in no summary; None for nothing."""
        return self._merged.settled

    def recall(self, inputs: Sequence[Input]) -> Mapping[int, Gathered]:
        """Look what is remembered of some inputs.

        Returns:
            Those of which something can be remembered, by their numbers. Each begins with what is remembered of it, and
            goes on where `start` says.
        """
        self._whole, self._recalled, self._gathered, self._records = {}, {}, {}, {}
        self._known = _core.Summary()
        self._merged.begin()
        now = time.time_ns()
        self._now = self._now if self._elsewhere else now // _MS
        with self._shelf.reading():
            self._recall_all(inputs, now)
        return self._gathered

    def unknown(self, inputs: Sequence[Input]) -> list[Input]:
        """Return the objects that must be read: they may be read elsewhere, which `learn` then takes."""
        now = time.time_ns()
        self._now, self._elsewhere, matches = now // _MS, False, []
        objects = [one for one in inputs if isinstance(one.file, Remote) and not one.is_member]
        with self._shelf.reading():
            for one in objects:
                if (origin := self._origin(one, now)) is not None and (found := self._matches(one, origin)):
                    matches.append(found)
        first = (match for match, *_ in self._with_due(matches))
        known = {match.one.number for match in first if match.is_whole and match.doubtful == frozenset()}
        self._elsewhere = True
        return [one for one in objects if one.number not in known]

    def learn(self, records: Iterable[Record], unknown: Iterable[Input]) -> None:
        """Take what was found elsewhere just now.

        Args:
            records: What was found.
            unknown: The objects that were to be read there; those of which nothing was found are read here.
        """
        learnt: list[Record] = []
        for record in records:
            with suppress(FormatError):  # its maker vouches for what is none
                learnt.append(self._own(record))
        self._shelf.learn(learnt)
        urls = {record.holder.url for record in learnt if isinstance(record.holder, Stored)}
        self._forgotten |= {one.identity for one in unknown if one.path not in urls}

    def _own(self, record: Record) -> Record:
        """Return a record as it would have been found here, now."""
        parts = [replace(part, looked=self._now) for part in record.all_parts]
        summaries = [record.summary, *(piece.summary for piece in record.pieces)]
        if self._stored is not whole:  # in which form they come
            summaries = [self._stored(_core.Summary.from_memory(one, 0)) for one in summaries]
        settled = len(record.parts)
        pieces = tuple(map(Piece, parts[settled:], summaries[1:]))
        return replace(record, parts=tuple(parts[:settled]), summary=summaries[0], pieces=pieces)

    def _recall_all(self, inputs: Sequence[Input], now: int) -> None:
        matches = []
        origins: dict[int, Origin] = {}
        for one in inputs:
            if (origin := self._origin(one, now)) is None:
                continue
            origins[one.number] = origin
            if one.identity not in self._forgotten:
                matches += [found] if (found := self._matches(one, origin)) else []
        candidates = self._with_due(matches)
        del matches
        candidates.reverse()
        while candidates:
            any(self._recall(match, origins) for match in candidates.pop())
        for one in inputs:
            if (left := origins.get(one.number)) is not None and one.number not in self._gathered:
                self._gathered[one.number] = Gathered(one, left, self._now, self._stored)
        if self._merged.settled is None:
            self._fetch()

    def _origin(self, one: Input, now: int) -> Origin | None:
        """Return which input it is; None for one of which nothing is remembered: it is short, or none of a file."""
        if isinstance(one.file, Remote) and not one.is_member:
            there = one.file.object
            stored = Stored(there.url, there.size, there.etag or "", there.changed, there.version or "")
            return Origin(self._context, "", stored)
        if isinstance(one.file, Remote) or one.is_member or one.file.is_copy or len(one.beginning) < PEEK:
            return None
        try:
            holder = Holder.of_file(one.file.descriptor(), now)
        except OSError:  # it is reported where it is read
            return None
        return Origin(self._context, sha256(one.beginning).hex(), holder)

    def _matches(self, one: Input, origin: Origin) -> list[Match]:
        found: list[Match] = []
        for record in self._shelf.about(origin):
            match = Match.of(one, record, origin.holder, 2 * one.chunk if self.effort is None else self.effort)
            found += [match] if match is not None else []
            if len(found) == _TRIED or (match is not None and match.doubtful is not None):
                break
        return found

    def _with_due(self, matches: Sequence[list[Match]]) -> list[list[Match]]:
        """Return the same, with the parts that must be read again because it was long ago."""
        if self._period is None:
            return list(matches)
        aged = []
        for number, (match, *_) in enumerate(matches):
            if self._elsewhere and isinstance(match.holder, Stored):
                continue
            begin = 0
            for index, part in enumerate(match.parts):
                if match.doubtful is not None and index not in match.doubtful:
                    age = (self._now - part.looked) / 1000
                    # Nobody knows how long ago something was read if that is still to come.
                    aged.append(Aged((number, index), part.end - begin, age if age >= 0 else self._period))
                begin = part.end
        again: dict[int, list[int]] = {}
        for number, index in {*due(aged, self._period), *self._more(matches, aged)}:
            again.setdefault(number, []).append(index)
        due_now = list(matches)
        for number, indexes in again.items():
            match, *rest = matches[number]
            due_now[number] = [match.also(indexes), *rest]
        return due_now

    def _more(self, matches: Sequence[list[Match]], aged: Sequence[Aged[tuple[int, int]]]) -> list[tuple[int, int]]:
        """Return what is read again because a file is written to, so that no time shows what else was done to it."""
        left, more = self.effort or 0, []
        for one in sorted(aged, key=lambda one: -one.age) if left else ():
            if matches[one.key[0]][0].has_grown and one.size <= left:
                left -= one.size
                more.append(one.key)
        return more

    def _recall(self, match: Match, origins: dict[int, Origin]) -> bool:
        """Take what is remembered of an input for what it holds, if it still does; one that is known needs no more."""
        recalled = match.checked(self._now)
        if recalled is None:
            return False
        number, summaries = match.one.number, recalled.record.summaries
        lasting = recalled.lasting
        elsewhere = self._merged.has(number, lasting)
        found = [_core.Summary() for _ in lasting if elsewhere]
        try:
            found += [_core.Summary.from_memory(one, number) for one in summaries[len(found) :]]
        except FormatError as error:
            self._shelf.damaged(match.record, str(error))
            return False
        if not all(summary.is_within(self._keys) for summary in found):
            return False
        self._merged.recall(number, lasting)
        gathered = Gathered(match.one, origins[number], self._now, self._stored)
        gathered.recall(recalled, found, elsewhere=elsewhere)
        if recalled.is_whole and not elsewhere:
            gathered.merge_into(self._known)
            del origins[number]
        else:
            self._gathered[number] = gathered
        if recalled.is_whole:
            self._whole[number] = recalled.record
        else:
            self._recalled[number] = recalled
        self._shelf.use(match.record)
        return True

    def start(self, one: Input) -> tuple[int, int] | None:
        """Return with which chunk the reading of an input begins, and where; None if nothing of it is read."""
        if one.number in self._whole:
            return None
        recalled = self._recalled.get(one.number)
        return recalled.start if recalled is not None else (0, 0)

    def check(self, one: Input) -> Check | None:
        """Have an input that is read after all read in the chunks that are remembered; return what compares them."""
        recalled, record = self._recalled.get(one.number), self._whole.get(one.number)
        if recalled is not None:
            record = recalled.record
        if record is None:
            return None
        one.ends = [part.end for part in record.all_parts]
        return Check(record.all_parts)

    def complete(self, whole: _core.Summary) -> None:
        """Put together what is remembered of each input, all of which were read, and put it into a summary.

        What is merged already is not in it: that is `settled`.
        """
        if any(gathered.lacks for gathered in self._gathered.values()):
            self._fetch()
        whole.merge(self._known)
        for number, gathered in self._gathered.items():
            if (record := gathered.record()) is not None:
                self._records[number] = record
            gathered.merge_into(whole)

    def _fetch(self) -> None:
        """Merge what is remembered of each input by itself: not all that was merged is as it was."""
        self._merged.forget()
        for number, gathered in self._gathered.items():
            if gathered.is_elsewhere:
                record = self._whole.get(number)
                lasting = record.summaries if record is not None else self._recalled[number].lasting
                gathered.fetch([_core.Summary.from_memory(one, number) for one in lasting])

    def is_wanted(self, one: Input, mode: _core.Mode) -> bool:
        """Must an input be read for a later pass?"""
        record = self._whole.get(one.number, self._records.get(one.number))
        if record is None or not record.is_whole:
            return True
        return any(mode.wants(_core.Summary.from_memory(one, 0)) for one in record.summaries)

    def forget(self, one: Input) -> None:
        """Remember nothing of an input: it holds something else now, though nothing showed it."""
        self._forgotten.add(one.identity)

    def keep(self) -> Remembered:
        """Take what was found for what is remembered from now on; return what this run did not read."""
        self._kept = [*self._whole.values(), *self._records.values()]
        self._shelf.keep(self._kept)
        self._merged.keep()
        self._forgotten.clear()
        self._elsewhere = False
        records = itertools.chain(self._whole.values(), (one.record for one in self._recalled.values()))
        old = [part for record in records for part in _sizes(record) if part[1] < self._now]
        size, looked = sum(size for size, _ in old), [at for _, at in old]
        self._whole, self._recalled, self._gathered, self._known = {}, {}, {}, _core.Summary()
        vouched = any(with_v for _, _, with_v, *_ in self._keys.logs())
        return Remembered(size, min(looked, default=None), vouched)

    @property
    def due_in(self) -> float:
        """Seconds from the last look on after which a byte is read again that is remembered; infinity for never."""
        if self._period is None:
            return math.inf
        parts = (part for record in self._kept for part in _sizes(record))
        return due_in([Aged(0, size, (self._now - at) / 1000) for size, at in parts], self._period)

    @property
    def is_written(self) -> bool:
        """Would nothing have to be read again if this process ended now?"""
        return not self._shelf.has_new

    def write(self) -> Sequence[str]:
        """Write what is remembered, for the next process; return what was of no use or could not be kept, and why."""
        self._shelf.write()
        lost, self._shelf.lost = self._shelf.lost, []
        return lost


def _sizes(record: Record) -> Iterator[tuple[int, int]]:
    """Give the bytes of each part of a record, and when they were read, ms since 1970."""
    begin = 0
    for part in record.all_parts:
        yield part.end - begin, part.looked
        begin = part.end

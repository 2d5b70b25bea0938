"""A verification whose objects are scanned elsewhere: what is to be done, who gets which keys, and what came back.

An engine gets a `Job`: it has the shares of `shares` carried out wherever it likes, answers those who ask for keys, and
hands in what they found. Whatever is not handed in, or does not hold, is read here: so the findings are those of one
run, whatever becomes of a share.
"""

import contextlib
import itertools
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from tallystick import _core
from tallystick.errors import FormatError
from tallystick.verify.inputs import Input
from tallystick.verify.memory import whole
from tallystick.verify.memory.holder import Stored
from tallystick.verify.memory.partial import Partial
from tallystick.verify.memory.record import DamagedError, Part, Record
from tallystick.verify.partials import believed
from tallystick.verify.remote import Remote
from tallystick.verify.shares import MOST_CHAINS, Chain, Left, Piece, Plan, Share
from tallystick.verify.streams import BROKEN

__all__ = ["Batch", "Engine", "Job"]

RANGE = 256 * 2**20
"""Bytes of a large object that are one piece."""

LEAST_SHARE = 2**20
"""Bytes of a share, unless it is the last one."""

_SHARE = 64 * 2**20  # bytes of a share, where there are many
_FEWEST = 64  # shares, where there is enough for them
_MOST_PIECES = 512  # of a share
_EDGE = 2**16  # bytes before the end of a range in which its last line ends

Batch = tuple[Piece, ...]


@dataclass(slots=True)
class _Late:
    """A piece that waits for statements of chains."""

    piece: Piece
    lacking: tuple[Chain, ...]


class Job:
    """What is scanned elsewhere.

    Attributes:
        plan: What each share depends on.
        troubles: Why pieces could not be read elsewhere, each once.
    """

    def __init__(self, plan: Plan, keys: _core.Keys, progress: Callable[[int], None]) -> None:
        """Begin with nothing.

        Args:
            plan: What each share depends on.
            keys: The keys: those of single chains are given to those who ask.
            progress: Called with the bytes of each piece that was scanned.
        """
        self.plan, self._keys, self._progress = plan, keys, progress
        self.troubles: dict[str, int] = {}
        self._chains = {n: (first, last) for n, (*_, with_v, _, first, last) in enumerate(keys.logs()) if with_v}
        self._public = _core.KeyReader().keys([(text, False) for text, _ in plan.logs])
        self._numbers = {log_id: number for number, (_, log_id, *_) in enumerate(keys.logs())}
        self._authentic: set[Chain] = set()
        self._lock = threading.Lock()
        self._late: list[_Late] = []
        self._whole: list[Record] = []
        self._ranges: dict[Stored, dict[int, Record]] = {}

    # -- what is to be done

    def batches(self, wanted: Iterable[Input]) -> list[Batch]:
        """Return the shares of all objects among some inputs."""
        pieces = [
            piece
            for one in wanted
            if isinstance(one.file, Remote) and not one.is_member
            for piece in self._pieces(one, one.file)
        ]
        most = min(max(sum(piece.size for piece in pieces) // _FEWEST, LEAST_SHARE), _SHARE)
        made: list[list[Piece]] = [[]]
        size = 0
        for piece in pieces:
            if made[-1] and (size + piece.size > most or len(made[-1]) >= _MOST_PIECES):
                made.append([])
                size = 0
            made[-1].append(piece)
            size += piece.size
        return [tuple(batch) for batch in made if batch]

    def _pieces(self, one: Input, file: Remote) -> list[Piece]:
        there = file.object
        held = Stored(there.url, there.size, there.etag or "", there.changed, there.version or "")
        if held.size < 2 * RANGE or self.plan.digests or not one.is_plain:
            return [Piece(held)]
        try:
            ends = [self._line_end(one, at) for at in range(RANGE, held.size - RANGE + 1, RANGE)]
        except BROKEN:
            return [Piece(held)]
        edges = [0, *sorted({end for end in ends if end}), held.size]
        self._ranges[held] = {}
        return [Piece(held, start, end) for start, end in itertools.pairwise(edges)]

    @staticmethod
    def _line_end(one: Input, at: int) -> int:
        """Return where the last line ends before a place; 0 where it is too long for that to be seen."""
        return at - _EDGE + end if (end := one.excerpt(at - _EDGE, _EDGE).rfind(b"\n") + 1) else 0

    def late(self) -> list[Batch]:
        """Return shares of what could not be judged before, for chains of which statements came only later.

        No share may be under way any more. What is not among them is read here.
        """
        with self._lock:
            waiting, self._late = self._late, []
            ready = [late for late in waiting if self._authentic.issuperset(late.lacking)]
        if len(ready) < len(waiting):
            self._note("no statement of their chains was found", len(waiting) - len(ready))
        batches: list[Batch] = []
        chains: set[Chain] = set()
        for late in sorted(ready, key=lambda late: late.lacking):
            if not batches or len(chains | set(late.lacking)) > MOST_CHAINS or len(batches[-1]) >= _MOST_PIECES:
                batches.append(())
                chains = set()
            batches[-1] = (*batches[-1], late.piece)
            chains |= set(late.lacking)
        return batches

    # -- who gets which keys

    def answer(self, reader: bytes, wanted: Sequence[Chain], lines: Sequence[bytes]) -> bytes:
        """Encrypt keys for somebody: of chains of which an authentic statement was shown, by him or by others.

        Args:
            reader: For whom they are encrypted.
            wanted: Chains that he wants the keys of.
            lines: Lines with statements of them.
        """
        with self._lock:
            for line in sorted(lines, key=lambda line: self._claim(line) or (0, 0))[: 4 * MOST_CHAINS]:
                if (claim := self._claim(line)) is not None and self._is_authentic(line, claim):
                    self._authentic.add(claim)
            granted = [chain for chain in sorted(set(wanted)) if chain in self._authentic]
        return self._keys.carry(reader, granted[:MOST_CHAINS])

    def _claim(self, line: bytes) -> Chain | None:
        claimed = _core.claimed_position(line)
        if claimed is None or (number := self._numbers.get(claimed[0])) not in self._chains:
            return None
        first, last = self._chains[number]
        return (number, claimed[1][0]) if first <= claimed[1][0] <= last else None

    def _is_authentic(self, line: bytes, claim: Chain) -> bool:
        """Does a line hold a statement that P proves? Each may lead to the chain root of the next generation."""
        if claim in self._authentic:
            return True
        data = line + b"\n"
        found = _core.scan(self._public, _core.Mode.all(), data, len(data), file=0, chunk=0, offset=0)
        return claim in found.stated()

    # -- what came back

    def take(self, batch: Batch, share: Share | None) -> list[Batch]:
        """Take what was found in a share; return shares of what was left that can be carried out now.

        Args:
            batch: Its pieces.
            share: What became of it; None where nothing did.
        """
        if share is None:
            self._note("those who scanned them ended", len(batch))
            return []
        try:
            partial = Partial.of(share.partial, self._keys)
        except DamagedError as error:
            self._note(str(error), len(batch))
            return []
        if (partial.context, partial.logs) != (self.plan.context, tuple(text for text, _ in self.plan.logs)):
            self._note(f"version {partial.program} of the program scanned them", len(batch))
            return []
        wanted = {(piece.held, piece.end): piece for piece in batch}
        for record in believed(partial, self._keys).records:
            self._take_record(record, wanted)
        return self._again(batch, share.left)

    def _take_record(self, record: Record, wanted: dict[tuple[Stored, int | None], Piece]) -> None:
        if not isinstance(record.holder, Stored):
            return
        held = record.holder
        if (piece := wanted.get((held, None))) is not None:
            self._whole.append(record)
        elif (piece := wanted.get((held, record.end))) is not None and piece.start < record.all_parts[0].end:
            self._ranges[held][piece.start] = record
        else:
            return
        self._progress(piece.size)

    def _again(self, batch: Batch, left: Collection[Left]) -> list[Batch]:
        again = []
        for one in left:
            piece = batch[one.number]
            if one.lacking:
                self._late.append(_Late(piece, one.lacking))
            elif one.full and len(batch) > 1:
                again.append(piece)
            else:
                self._note(one.trouble or f"they hold more than {MOST_CHAINS} chains", 1)
        if len(again) == len(batch):  # none of them got on
            return [(piece,) for piece in again]
        return [tuple(again)] if again else []

    def _note(self, why: str, count: int) -> None:
        self.troubles[why] = self.troubles.get(why, 0) + count

    def records(self) -> Iterator[Record]:
        """Give what was found, object by object."""
        yield from self._whole
        for held, ranges in self._ranges.items():
            with contextlib.suppress(FormatError):  # its maker vouches for what is none: it is read here
                if (record := _joined(held, ranges)) is not None:
                    yield record


Engine = Callable[[Job, Sequence[Batch]], None]
"""Has the shares of a job carried out, and hands in what was found."""


def _joined(held: Stored, ranges: dict[int, Record]) -> Record | None:
    """Return the record of an object, of those of its ranges; None where one is lacking."""
    at, summary = 0, _core.Summary()
    parts: list[Part] = []
    last: Record | None = None
    for start in sorted(ranges):
        last = ranges[start]
        if start != at or not last.is_whole:
            return None
        for stored in last.summaries:
            summary.merge(_core.Summary.from_memory(stored, 0, len(parts)))
        parts += last.all_parts
        at = last.end
    if last is None or at != held.size:
        return None
    return replace(last, parts=tuple(parts), summary=whole(summary), pieces=(), length=at)

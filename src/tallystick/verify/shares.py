"""A share of a verification that is carried out elsewhere: objects, or ranges of them, scanned into a partial result.

A worker has no key at first. Where lines claim a chain, it asks for its C, and shows a statement of it; so it holds the
keys of chains that the archive has, `MOST_CHAINS` at most, and never V. What it could not judge without another key is
left, and it says so.
"""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from tallystick import _core
from tallystick.errors import ReportError
from tallystick.objects import Address, Ahead, Object, connect
from tallystick.verify.columns import Column
from tallystick.verify.digest import Digest
from tallystick.verify.inputs import Chunk, Input, named_envelope
from tallystick.verify.memory import Gathered, whole
from tallystick.verify.memory.context import program
from tallystick.verify.memory.gathered import Origin
from tallystick.verify.memory.holder import Stored
from tallystick.verify.memory.partial import Partial
from tallystick.verify.memory.record import Record, sha256
from tallystick.verify.remote import Remote

__all__ = ["MOST_CHAINS", "Ask", "Chain", "Left", "Piece", "Plan", "Share", "carry_out_share"]

MOST_CHAINS = 64
"""Chains whose keys one share is given, at most."""

_AHEAD = 24 * 2**20  # bytes that are read ahead for one share
_SHOWN = 2  # statements of a chain that are shown
_LOOKED_AT = 10_000  # mentions of statements in a chunk that are looked at
_WORD = b"tallystick/v1 "

Chain = tuple[int, int]
"""Number of a log, and of a chain of it."""

Ask = Callable[[bytes, Sequence[Chain], Sequence[bytes]], bytes]
"""Asks for keys: for whom they are encrypted, which are wanted, and lines that show them; gives `Keys.carry`."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a scan depends on but the inputs. Nothing of it is secret.

    Args:
        logs: Public key of each log, and whether there is a secret one.
        excepted: Lines that are excepted, as the core takes them.
        added: Names of members that a carrier added.
        envelope: What a carrier wrapped lines in.
        field: Name of the field that holds them.
        context: Digest of all that.
        digests: Take the SHA-256 of whole objects.
    """

    logs: tuple[tuple[str, bool], ...]
    excepted: tuple[tuple[tuple[int, tuple[int, int, int]] | None, bytes], ...]
    added: tuple[str, ...]
    envelope: str | None
    field: str | None
    context: str
    digests: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """An object, or whole lines of one.

    Args:
        held: The object.
        start: Where the first line begins.
        end: Where the last one ends; None for the end of the object.
    """

    held: Stored
    start: int = 0
    end: int | None = None

    @property
    def size(self) -> int:
        """Bytes of it, as they are stored."""
        return (self.held.size if self.end is None else self.end) - self.start


@dataclass(frozen=True, slots=True)
class Left:
    """A piece of which nothing was found.

    Args:
        number: Its number in the share.
        lacking: Chains without a statement that was known then.
        full: Its chains would have been too many for one share.
        trouble: Why it could not be read, if so.
    """

    number: int
    lacking: tuple[Chain, ...] = ()
    full: bool = False
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Share:
    """What became of a share: a partial result, and what was left."""

    partial: bytes
    left: tuple[Left, ...]


class _LackingError(Exception):
    """Lines claim chains whose keys were not given."""

    def __init__(self, chains: Collection[Chain]) -> None:
        super().__init__()
        self.chains = tuple(sorted(chains))


class _FullError(Exception):
    """Lines claim more chains than one share is given keys of."""


@dataclass(slots=True)
class _Worker:
    """Scans pieces, one after the other, with the keys that it has by then."""

    plan: Plan
    ask: Ask
    ahead: Ahead = field(default_factory=lambda: Ahead(_AHEAD))
    reader: _core.KeyReader = field(default_factory=_core.KeyReader)
    keys: _core.Keys = field(init=False)
    envelope: _core.Envelope | None = field(init=False)
    column: Column | None = field(init=False)

    def __post_init__(self) -> None:
        self.envelope = named_envelope(self.plan.envelope, self.plan.field)
        self.column = Column.named(self.plan.envelope, self.plan.field)
        self._take(None)

    def _take(self, message: bytes | None) -> None:
        self.keys = self.reader.keys(self.plan.logs, message)
        self.keys.add_members(list(self.plan.added))
        self.keys.except_lines(list(self.plan.excepted))

    def scanned(self, piece: Piece) -> Record | str:
        """Scan a piece; return why it could not be read, if so.

        Raises:
            _LackingError: A key is lacking.
            _FullError: Too many would be needed.
        """
        try:
            return self._scanned(piece)
        except _LackingError as lacking:
            # The end of an epoch with long lines may stand far behind them.
            if not (lines := self._statements_in(piece, set(lacking.chains))):
                raise
            self._get(set(lacking.chains), lines)
        return self._scanned(piece)

    def _scanned(self, piece: Piece) -> Record | str:
        one = self._input(piece)
        origin = Origin(self.plan.context, "", piece.held)
        gathered = Gathered(one, origin, time.time_ns() // 1_000_000, whole, begin=piece.start)
        for chunk in one.chunks((0, piece.start), piece.end):
            digest = sha256(memoryview(chunk.data)[: chunk.end])
            gathered.take(chunk, self._scan(chunk), digest)
        return gathered.record() or one.trouble or "what was found in it does not last"

    def _input(self, piece: Piece) -> Input:
        one = Input(Remote(_object(piece.held), self.ahead), self.envelope, later=True, column=self.column)
        if self.plan.digests and piece.end is None:
            one.file.digest = Digest()
        return one

    def _scan(self, chunk: Chunk) -> _core.Summary:
        while True:
            found = chunk.given_to(_core.scan, self.keys, _core.Mode.all(), self.envelope)
            if not (wanted := set(found.narrowed())):
                return found
            self._get(wanted, _statements(chunk, wanted, self._numbers))

    def _get(self, wanted: set[Chain], lines: Sequence[bytes]) -> None:
        had = set(self.keys.scope())
        if len(had | wanted) > MOST_CHAINS:
            raise _FullError
        self._take(self.ask(self.reader.public, sorted(had | wanted), lines))
        if lacking := wanted - set(self.keys.scope()):
            raise _LackingError(lacking)

    @property
    def _numbers(self) -> dict[str, int]:
        return {log_id: number for number, (_, log_id, *_) in enumerate(self.keys.logs())}

    def _statements_in(self, piece: Piece, wanted: set[Chain]) -> list[bytes]:
        lines: list[bytes] = []
        for chunk in self._input(piece).chunks((0, piece.start), piece.end):
            lines += (found := _statements(chunk, wanted, self._numbers))
            wanted = wanted - {_claim(line, self._numbers) for line in found}
            if not wanted:
                break
        return lines


def carry_out_share(plan: Plan, pieces: Sequence[Piece], ask: Ask) -> Share:
    """Scan some pieces.

    Args:
        plan: What the scan depends on.
        pieces: What is read.
        ask: Asks for keys.
    """
    began = time.time_ns() // 1_000_000
    records: list[Record] = []
    left: list[Left] = []
    worker = _Worker(plan, ask)
    worker.ahead.plan((_object(piece.held), piece.start, piece.end) for piece in pieces)
    try:
        for number, piece in enumerate(pieces):
            try:
                found = worker.scanned(piece)
            except _LackingError as lacking:
                left.append(Left(number, lacking=lacking.chains))
            except _FullError:
                left.append(Left(number, full=True))
            except ReportError as error:
                left.append(Left(number, trouble=str(error)))
            else:
                if isinstance(found, Record):
                    records.append(found)
                else:
                    left.append(Left(number, trouble=found))
    finally:
        worker.ahead.close()
    made = Partial(program(), tuple(worker.keys.public_keys()), (), plan.context, (), began, tuple(records))
    return Share(made.to_bytes(worker.keys), tuple(left))


def _object(held: Stored) -> Object:
    store = connect(Address.of(held.url).root)
    return Object(store, held.url, held.size, held.etag or None, held.version or None, held.changed)


def _statements(chunk: Chunk, wanted: Collection[Chain], numbers: dict[str, int]) -> list[bytes]:
    """Return lines that look like statements of some chains: a few of each."""
    found: dict[Chain, list[bytes]] = {chain: [] for chain in wanted}
    for line in _mentions(chunk.data, chunk.end):
        claim = _claim(line, numbers)
        if claim in found and len(found[claim]) < _SHOWN:
            found[claim].append(line)
    return [line for lines in found.values() for line in lines]


def _mentions(data: bytes, end: int) -> Iterator[bytes]:
    """Give the lines that mention a statement."""
    at = data.find(_WORD, 0, end)
    for _ in range(_LOOKED_AT):
        if at < 0:
            break
        begin, to = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", at, end)
        to = end if to < 0 else to
        yield data[begin:to]
        at = data.find(_WORD, to, end)


def _claim(line: bytes, numbers: dict[str, int]) -> Chain | None:
    claimed = _core.claimed_position(line)
    return (numbers[claimed[0]], claimed[1][0]) if claimed is not None and claimed[0] in numbers else None

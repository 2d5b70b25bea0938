"""Copies that end in the middle of a line: the line stands whole in another file (spec section 9)."""

import contextlib
from collections.abc import Iterator, Sequence

from tallystick import _core
from tallystick.verify.judge.facts import LogFacts
from tallystick.verify.judge.view import LogView
from tallystick.verify.positions import At, after
from tallystick.verify.source import Source
from tallystick.verify.streams import BROKEN

__all__ = ["MOST", "ends_within_copy"]

MOST = 64
"""Broken ends that are looked into: somebody may have made many of them, and each costs a few reads."""

_LONGEST = 2**24 + 2**20  # bytes of a line that is compared
_PLACES = 8  # places that are looked at for one line


def ends_within_copy(source: Source, logs: Sequence[LogView], event: _core.Event) -> bool:
    """Is a bad line the broken end of a file, whose bytes are the beginning of the line that stands there elsewhere?

    Args:
        source: What was read.
        logs: The logs.
        event: The bad line.
    """
    file = event.place.file
    if event.count != 1 or not source.is_last(event.place) or source.ends_in_lf(file):
        return False
    broken = source.input(file).excerpts([event.place.offset], _LONGEST).get(event.place.offset)
    return bool(broken) and any(line.startswith(broken) for line in _lines_there(source, logs, file) if broken)


def _lines_there(source: Source, logs: Sequence[LogView], file: int) -> Iterator[bytes]:
    """Give the lines of other files that stand where a file ends, as their carriers wrote them."""
    last = {log: at for chunk in source.chunks_of(file) for log, _, _, at in chunk.edges}
    if not last:  # it breaks off within its first line
        others = [number for number in source.files() if number != file]
        for number in others[:MOST]:
            yield from source.input(number).excerpts([0], _LONGEST).values()
        return
    looked = 0
    for log, at in last.items():
        wanted = _next(source, logs[log].facts, at)
        seal = f"{logs[log].facts.log_id}.{wanted[0]}.{wanted[1]}.{wanted[2]}.".encode()
        for chunk in source.chunks:
            if chunk.file != file and looked < _PLACES and _holds(chunk, log, wanted):
                looked += 1
                yield from _lines_with(source, chunk, log, seal)


def _next(source: Source, log: LogFacts, at: At) -> At:
    """Return the position that comes after one, as far as the lines here tell."""
    statement = source.summary.statement_at(log.number, at)
    if statement is not None and statement.ending == "continues":
        return at[0], at[1] + 1, 0
    facts = log.chains.get(at[0])  # None: its lines are statements that cannot be proved
    if facts is None or at == facts.last:
        return next((chain for chain in log.numbers if chain > at[0]), at[0]), 0, 0
    return after(at)


def _holds(chunk: _core.Chunk, log: int, at: At) -> bool:
    """Could a line stand in a chunk, by its first and last line of that log?"""
    return any(number == log and first <= at <= last for number, first, _, last in chunk.edges)


def _lines_with(source: Source, chunk: _core.Chunk, log: int, seal: bytes) -> Iterator[bytes]:
    """Give the lines of a chunk in which the beginning of a seal stands."""
    one = source.input(chunk.file)
    offset = next(place.offset for number, _, place, _ in chunk.edges if number == log)
    data = b""
    with contextlib.suppress(*BROKEN):  # it may have been moved meanwhile
        data = one.excerpt(offset, chunk.size)
    if seal not in data:  # the file is compressed, and must be read from its beginning
        data = next((read.data for read in one.again() if read.number == chunk.chunk), b"")
    found = data.find(seal)
    while found >= 0:
        end = data.find(b"\n", found)
        end = end if end >= 0 else len(data)
        yield data[data.rfind(b"\n", 0, found) + 1 : end]
        found = data.find(seal, end)

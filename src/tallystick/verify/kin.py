"""Lines of the logs before and after a known one, each rekeyed into the next: where they need a key (spec section 9).

A log that was rekeyed names its successor in a notice before its end, and the successor names it right after an opening
before which no head counts a line. Lines of a predecessor need its key as long as they stand before the known log's
first line in their file, if that is such an opening; lines of a successor need its key after the known log's last line
in their file. In a file without any line of the known log both do. At other places nobody sealed for them, and they are
unsealed lines as any others.

>>> kin = Kin({(0, "oedhcsck"): Span(Kind.PREDECESSOR, end=(2, 7, 900)), (1, "oedhcsck"): Span(Kind.PREDECESSOR)})
>>> [kin.needs("oedhcsck", file, spot) for file, spot in ((0, (2, 6, 800)), (0, (2, 8, 990)), (1, (0, 0, 0)))]
[<Kind.PREDECESSOR: 'predecessor'>, None, <Kind.PREDECESSOR: 'predecessor'>]
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from tallystick import _core
from tallystick.verify.adopted import Adopted
from tallystick.verify.catalogue import Kind
from tallystick.verify.positions import At

__all__ = ["Kin", "Span", "read_kin"]

_Spot = tuple[int, int, int]  # chunk, line and offset within a file
_START: _Spot = (-1, 0, 0)
_END: _Spot = (2**63, 0, 0)


@dataclass(frozen=True, slots=True)
class Span:
    """The part of a file in which lines of one log need its key.

    Args:
        kind: Is it a predecessor or a successor?
        start: The last line of the logs that it follows.
        end: The first line of the logs that follow it.
        count: How many lines of it stand between the two.
    """

    kind: Kind
    start: _Spot = _START
    end: _Spot = _END
    count: int = 0


@dataclass(frozen=True, slots=True)
class Kin:
    """Where lines of logs before and after known ones need a key that is not at hand.

    Args:
        spans: By file and log id.
    """

    spans: Mapping[tuple[int, str], Span]

    def needs(self, log_id: str | None, file: int, spot: _Spot) -> Kind | None:
        """Return what a line of a log is where it needs that log's key; None where it does not."""
        span = self.spans.get((file, log_id)) if log_id is not None else None
        return span.kind if span is not None and span.start < spot < span.end else None

    def of_event(self, event: _core.Event) -> Kind | None:
        """The same of a group of lines, which ends at any line of a known log."""
        if event.kind != "foreign":
            return None
        return self.needs(event.log_id, event.place.file, _spot(event.place))

    def counts(self) -> dict[Kind, int]:
        """Return how many such lines there are of each kind."""
        kinds = (Kind.PREDECESSOR, Kind.SUCCESSOR)
        return {kind: sum(span.count for span in self.spans.values() if span.kind is kind) for kind in kinds}


def read_kin(facts: _core.Facts, newest: Sequence[int], adopted: Sequence[Adopted]) -> Kin:
    """Look for the logs before and after known ones, and for where those begin and end in each file.

    Args:
        facts: What was found.
        newest: The last chain of each log that is here, 0 where none is.
        adopted: What logs adopted; files that begin so are judged as such.
    """
    named = {log: facts.kin(log) for log in range(len(newest))}
    chunks = facts.chunks() if any(before or after for before, after, _ in named.values()) else []
    files: dict[int, list[_core.Chunk]] = {}
    for chunk in chunks:
        files.setdefault(chunk.file, []).append(chunk)
    judged = {file for each in adopted for file in each.files}
    spans: dict[tuple[int, str], Span] = {}
    for log, (before, after, since) in named.items():
        for file, its in files.items():
            if file not in judged:
                end = _first_line(its, log, partial(facts.is_first, log))
                for log_id in before:
                    span = spans.setdefault((file, log_id), Span(Kind.PREDECESSOR))
                    spans[file, log_id] = replace(span, kind=Kind.PREDECESSOR, end=min(span.end, end))
            # Chains after the one that names a successor: that one was given up.
            if since is not None and newest[log] == since[0]:
                start = _last_line(its, log, since)
                for log_id in after:
                    span = spans.setdefault((file, log_id), Span(Kind.SUCCESSOR))
                    spans[file, log_id] = replace(span, start=max(span.start, start))
    return Kin(
        {
            (file, log_id): replace(span, count=_count(files[file], log_id, span))
            for (file, log_id), span in spans.items()
        }
    )


def _spot(place: _core.Place) -> _Spot:
    """Return where in its file something stands."""
    return place.chunk, place.line, place.offset


def _first_line(chunks: Iterable[_core.Chunk], log: int, is_first: Callable[[int], bool]) -> _Spot:
    """Return where in a file a log opens; before all of it where another line of the log is the first there."""
    for chunk in chunks:
        for number, (chain, *rest), place, _ in chunk.edges:
            if number == log:
                return _spot(place) if rest == [0, 0] and is_first(chain) else _START
    return _END


def _last_line(chunks: Iterable[_core.Chunk], log: int, since: At) -> _Spot:
    """Return where in a file a log ends; after all of it where that is before the log names its successor."""
    found = _START
    for chunk in chunks:
        last = {number: at for number, _, _, at in chunk.edges}.get(log)
        for number, place, _ in chunk.ends:
            if number == log and last is not None:
                found = _spot(place) if last >= since else _END
    return found


def _count(chunks: Sequence[_core.Chunk], log_id: str, span: Span) -> int:
    """Count the lines of a log in a part of a file."""
    return max(0, _count_before(chunks, log_id, span.end) - _count_before(chunks, log_id, span.start))


def _count_before(chunks: Sequence[_core.Chunk], log_id: str, spot: _Spot) -> int:
    """Count the lines of a log before a line at which a known log begins or ends."""
    total = 0
    for chunk in chunks:
        if chunk.chunk < spot[0]:
            total += chunk.strange[2].get(log_id, 0)
        elif chunk.chunk == spot[0]:
            total += next(ids for at, ids in _marks(chunk) if at == spot).get(log_id, 0)
    return total


def _marks(chunk: _core.Chunk) -> Iterator[tuple[_Spot, Mapping[str, int]]]:
    """Give the lines of a chunk before which lines of logs that are not known were counted by log id."""
    for _, place, (_, _, ids) in [*chunk.starts, *chunk.ends]:
        yield _spot(place), ids

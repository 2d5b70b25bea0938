"""From chains to the tracks of a time line: which chains share a row, and where on the axis each epoch lies.

The axis is claimed time where the claims make sense, and lines otherwise: the writer of a log can claim any time, and
a drawing must stay readable.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tallystick.reports.words import number, plural, when
from tallystick.verify.report import ChainReport, EpochReport

__all__ = ["Span", "Track", "lay_out"]

_Absent = tuple[int, int]  # first and last of chains that are not here
_Item = ChainReport | _Absent

_USUAL = 4096  # lines of an epoch, as a writer makes them by default
_SHORTEST = 2000  # ms that an axis of time covers at least
_LONGEST = 50 * 366 * 86_400_000  # ms that an axis of time covers at most


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch on the axis: an epoch, a chain, or what is absent between them.

    Args:
        start: Where it begins, in ms since 1970 or in lines.
        end: Where it ends.
        state: `whole`, `part`, `open` or `gap`.
        title: What is said about it.
        chain: Its chain, the first one if there are several.
        epoch: Its first epoch.
        lines: Lines of its first epoch, if it has one only.
        epochs: Epochs that it covers.
    """

    start: float
    end: float
    state: str
    title: str
    chain: int
    epoch: int
    lines: int
    epochs: int = 1


@dataclass(frozen=True, slots=True)
class Track:
    """A row: chains `first` to `last`, of which so many are here."""

    label: str
    first: int
    last: int
    chains: int
    spans: tuple[Span, ...]

    def at(self, chain: int, epoch: int, index: int) -> float:
        """Return where a position lies on the axis."""
        after = bisect_right(self.spans, (chain, epoch), key=lambda span: (span.chain, span.epoch))
        span = self.spans[max(after - 1, 0)]
        if span.chain != chain or epoch < span.epoch:
            return span.start if (chain, epoch) < (span.chain, span.epoch) else span.end
        within = min(index / max(span.lines if span.epochs == 1 else _USUAL, 1), 1.0)
        return span.start + (span.end - span.start) * min((epoch - span.epoch + within) / span.epochs, 1.0)


def lay_out(chains: Sequence[ChainReport], named: Sequence[int], rows: int) -> tuple[list[Track], str]:
    """Return the tracks, and what the axis shows: `time` or `lines`.

    Args:
        chains: The chains that are here, in order.
        named: Chains that findings are about; these may be absent.
        rows: At most so many tracks.
    """
    if not chains:
        return [], "lines"
    items = list(_items(chains, max(named, default=0)))
    share = -(-len(items) // max(rows, 1))
    # Along time, rows of many short chains would be a staircase of specks.
    axis = "time" if share == 1 and _tells_time(chains) else "lines"
    rows_of = [items[at : at + share] for at in range(0, len(items), share)]
    if axis == "time":
        spans = list(_all_by_time(items))
    else:
        typical = _typical(chains)
        spans = [list(_row_by_lines(part, typical, folded=share > 1)) for part in rows_of]
    return [_track(part, own) for part, own in zip(rows_of, spans, strict=True)], axis


def _track(part: Sequence[_Item], spans: Sequence[Span]) -> Track:
    first, last = _first(part[0]), _last(part[-1])
    label = f"chain {first}" if first == last else f"{first}–{last}"
    return Track(label, first, last, sum(isinstance(item, ChainReport) for item in part), tuple(spans))


def _all_by_time(items: Sequence[_Item]) -> Iterator[list[Span]]:
    """Give the spans of each item; what is absent lasts from the chain before it to the one behind it."""
    place: float | None = None
    for item, following in zip(items, [*items[1:], None], strict=True):
        if isinstance(item, ChainReport):
            spans = list(_by_time(item))
        else:
            until = _began(following) if isinstance(following, ChainReport) else place
            spans = [_absent(item, float(until or 0) if place is None else place, float(until or 0))]
        place = spans[-1].end
        yield spans


def _row_by_lines(part: Sequence[_Item], typical: float, *, folded: bool) -> Iterator[Span]:
    """Give the spans of a row, which begins at 0; folded, a chain is one of them."""
    place = 0.0
    for item in part:
        if isinstance(item, ChainReport):
            spans = list(_by_lines(item, place, typical))
            spans = [_folded(spans, item)] if folded else spans
        else:
            spans = [_absent(item, place, place + typical)]
        yield from spans
        place = spans[-1].end


def _items(chains: Sequence[ChainReport], newest: int) -> Iterator[_Item]:
    """Give the chains, and the ranges of chains that are not here."""
    next_ = 1
    for chain in chains:
        if chain.chain > next_:
            yield next_, chain.chain - 1
        yield chain
        next_ = chain.chain + 1
    if newest >= next_:
        yield next_, newest


def _first(item: _Item) -> int:
    return item.chain if isinstance(item, ChainReport) else item[0]


def _last(item: _Item) -> int:
    return item.chain if isinstance(item, ChainReport) else item[1]


def _began(chain: ChainReport) -> int | None:
    if chain.opened is not None:
        return chain.opened
    return next((epoch.time for epoch in chain.epochs if epoch.time is not None), None)


def _tells_time(chains: Sequence[ChainReport]) -> bool:
    """Do all chains claim times, in order, over a span that can be drawn?"""
    times: list[int] = []
    for chain in chains:
        began = _began(chain)
        if began is None:
            return False
        times.append(began)
        times += [epoch.time for epoch in chain.epochs if epoch.time is not None]
    return _SHORTEST <= times[-1] - times[0] <= _LONGEST and times == sorted(times)


def _typical(chains: Sequence[ChainReport]) -> float:
    """Return how many lines an epoch has here on average: what is absent is drawn as long as that."""
    epochs = [epoch for chain in chains for epoch in chain.epochs]
    return max(sum(map(_size, epochs)) / max(len(epochs), 1), 1.0)


def _size(epoch: EpochReport) -> int:
    return max(epoch.expected or 0, epoch.lines, 1)


def _absent(item: _Absent, start: float, end: float) -> Span:
    """Return the span of chains that are not here."""
    first, last = item
    who = f"chain {first} is" if first == last else f"chains {first} to {last} are"
    return Span(start, max(start, end), "gap", f"{who} not here", first, 0, 1)


def _by_lines(chain: ChainReport, place: float, typical: float) -> Iterator[Span]:
    next_ = 0
    for epoch in chain.epochs:
        if epoch.epoch > next_:
            yield _gap(chain, next_, epoch.epoch - 1, place, place + typical)
            place += typical
        yield _span(chain, epoch, place, place + _size(epoch))
        place += _size(epoch)
        next_ = epoch.epoch + 1
    if not chain.epochs:
        title = f"chain {chain.chain}: {plural(chain.lines, 'line')}"
        yield Span(place, place + max(chain.lines, 1), "open", title, chain.chain, 0, chain.lines)


def _by_time(chain: ChainReport) -> Iterator[Span]:
    began = float(_began(chain) or 0)
    next_ = 0
    for epoch in chain.epochs:
        ended = float(epoch.time) if epoch.time is not None else began
        if epoch.epoch > next_:  # nobody knows when it ended; it gets its share of the time between
            absent = epoch.epoch - next_
            middle = began + (ended - began) * absent / (absent + 1)
            yield _gap(chain, next_, epoch.epoch - 1, began, middle)
            began = middle
        yield _span(chain, epoch, began, ended)
        began = ended
        next_ = epoch.epoch + 1
    if not chain.epochs:
        yield Span(began, began, "open", f"chain {chain.chain}", chain.chain, 0, chain.lines)


def _gap(chain: ChainReport, first: int, last: int, start: float, end: float) -> Span:
    who = f"epoch {first} is" if first == last else f"epochs {first} to {last} are"
    return Span(start, end, "gap", f"{who} not here", chain.chain, first, 1, last - first + 1)


def _span(chain: ChainReport, epoch: EpochReport, start: float, end: float) -> Span:
    if epoch.expected is None:
        state, told = "open", f"{plural(epoch.lines, 'line')}, no checkpoint"
    elif epoch.lines < epoch.expected:
        state, told = "part", f"{number(epoch.lines)} of {plural(epoch.expected, 'line')}"
    else:
        state, told = "whole", plural(epoch.lines, "line")
    time = f", {when(epoch.time)}" if epoch.time is not None else ""
    title = f"epoch {chain.chain}.{epoch.epoch}: {told}{time}"
    return Span(start, end, state, title, chain.chain, epoch.epoch, _size(epoch))


def _folded(spans: Sequence[Span], chain: ChainReport) -> Span:
    """Return the spans of a chain as one."""
    states = {span.state for span in spans}
    state = "part" if states & {"part", "gap"} else "open" if "open" in states else "whole"
    opened = f", opened {when(chain.opened)}" if chain.opened is not None else ""
    title = f"chain {chain.chain}: {plural(chain.lines, 'line')}, {chain.ending or 'no end here'}{opened}"
    epochs = chain.epochs[-1].epoch + 1 if chain.epochs else 1
    return Span(spans[0].start, spans[-1].end, state, title, chain.chain, 0, chain.lines, epochs)

"""Where the blocks and marks of a log's time line stand: a row for each chain, a block for each epoch.

Pure geometry, in units of the drawing. What is drawn is bounded, whatever the report holds: many chains share a row,
many epochs a block, many findings a mark.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tallystick.reports.axis import Tick, line_ticks, time_ticks
from tallystick.reports.tracks import Span, Track, lay_out
from tallystick.reports.words import number, plural
from tallystick.verify.report import Finding, LogReport, Weight

__all__ = ["ROWS", "WIDTH", "Block", "Mark", "Row", "Timeline", "timeline", "timelines"]

WIDTH = 760
"""Width of the part with the blocks."""

ROWS = 32
"""Rows in all time lines of a report."""

_BLOCKS = 1600  # blocks in a time line
_MARKS = 640  # marks in a time line
_BIN = 10.0  # marks of a weight that are nearer than this are one
_SEAM = 0.8  # between blocks that touch
_SHORTEST = 6.0  # a range that is drawn as one
_TOLD = 4  # findings that the words on a mark name
_WORST = ("whole", "open", "part", "gap")


@dataclass(frozen=True, slots=True)
class Block:
    """Epochs or chains: `whole`, `part` (lines are missing), `open` (no checkpoint is here) or `gap` (absent)."""

    x: float
    width: float
    state: str
    title: str


@dataclass(frozen=True, slots=True)
class Mark:
    """Findings near to each other: a sign, and a bar where some are about a range.

    Args:
        x: Where the sign stands.
        reach: Where the bar begins and ends; None without one.
        weight: Their weight.
        title: What they are.
        first: Number of the first of them.
    """

    x: float
    reach: tuple[float, float] | None
    weight: Weight
    title: str
    first: int


@dataclass(frozen=True, slots=True)
class Row:
    """One chain, or a few."""

    label: str
    blocks: tuple[Block, ...]
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """A drawing.

    Args:
        rows: Its rows, from the top.
        axis: What it is drawn along: `time` or `lines`.
        shared: Chains that share a row at most.
        ticks: Ticks of the axis.
        notes: What is to be said about it.
    """

    rows: tuple[Row, ...]
    axis: str
    shared: int
    ticks: tuple[Tick, ...]
    notes: tuple[str, ...]


def timelines(logs: Sequence[LogReport], findings: Sequence[Finding]) -> list[Timeline | None]:
    """Return the time line of each log, none for those beyond what can be drawn.

    Args:
        logs: The logs of a report.
        findings: Its findings, in its order.
    """
    by_log: dict[str, list[tuple[int, Finding]]] = {}
    for number_, finding in enumerate(findings, 1):
        if finding.log is not None:
            by_log.setdefault(finding.log, []).append((number_, finding))
    share = max(ROWS // max(len(logs), 1), 1)
    drawn = [timeline(log, by_log.get(log.name, []), share) for log in logs[:ROWS]]
    return [*drawn, *[None] * (len(logs) - len(drawn))]


def timeline(log: LogReport, findings: Sequence[tuple[int, Finding]], rows: int = ROWS) -> Timeline | None:
    """Return the time line of a log; None if its chains are not known.

    Args:
        log: The log.
        findings: The findings about this log, each with its number in the report.
        rows: At most so many rows.
    """
    placed = [(number_, finding, place) for number_, finding in findings if (place := _place(finding.position))]
    # Chains behind the last one are absent if a finding says so; any other could be a lie of a line that was changed.
    told = len(log.by_chain) == log.chains
    absent = [place[0] for _, finding, place in placed if told and finding.kind in ("missing", "truncated")]
    tracks, axis = lay_out(log.by_chain, absent, rows)
    if not tracks:
        return None
    start = min(span.start for track in tracks for span in track.spans)
    length = max(span.end for track in tracks for span in track.spans) - start or 1
    scale = WIDTH / length
    drawn: list[Row] = []
    lost = len(findings)
    for track in tracks:
        here = [(n, finding, place) for n, finding, place in placed if track.first <= place[0] <= track.last]
        lost -= len(here)
        blocks = _blocks(track, start, scale, max(_BLOCKS // len(tracks), 20))
        drawn.append(Row(track.label, blocks, _marks(track, here, start, scale, max(_MARKS // len(tracks), 12))))
    ticks = time_ticks(start, length, scale) if axis == "time" else line_ticks(length, scale)
    shared = max(track.chains for track in tracks)
    return Timeline(tuple(drawn), axis, shared, ticks, tuple(_notes(log, shared, lost)))


def _notes(log: LogReport, shared: int, lost: int) -> Iterator[str]:
    if shared > 1:
        yield f"There are many chains, so up to {shared} of them share a row, and a block is a chain."
    if len(log.by_chain) < log.chains:
        yield f"Only the first {number(len(log.by_chain))} of {number(log.chains)} chains are drawn."
    if lost:
        verb = "has" if lost == 1 else "have"
        yield f"{plural(lost, 'finding')} about this log {verb} no place here; the table has all."


def _place(position: str | None, rest: tuple[int, int] = (0, 0)) -> tuple[int, int, int] | None:
    """Return chain, epoch and index of a position; the rest of it is put where a `*` stands."""
    whole = (position or "").removesuffix(".*")
    parts = whole.split(".")
    if (len(parts) == 3) == (whole != position) or not all(part.isascii() and part.isdigit() for part in parts):
        return None
    chain, epoch, index = [*map(int, parts), *rest[len(parts) - 1 :]]
    return chain, epoch, index


def _blocks(track: Track, start: float, scale: float, most: int) -> tuple[Block, ...]:
    """Return the blocks of a row, those together that could not be told apart, and those beyond the most."""
    step = -(-len(track.spans) // most)
    groups: list[list[Span]] = []
    for span in track.spans:
        group = groups[-1] if groups else []
        narrow = group and (span.end - group[0].start) * scale < 3 and group[0].state == span.state
        touching = group and span.start <= group[-1].end
        if group and touching and (narrow or len(group) < step):
            group.append(span)
        else:
            groups.append([span])
    blocks = []
    for group in groups[: 2 * most]:
        x = (group[0].start - start) * scale
        state = max((span.state for span in group), key=_WORST.index)
        width = max((group[-1].end - group[0].start) * scale, 6.0 if state == "gap" else 2.0)
        title = group[0].title if len(group) == 1 else f"{group[0].title} … {group[-1].title}"
        drawn = max(width - _SEAM, 0.8)
        blocks.append(Block(round(min(x, WIDTH - width), 1), round(drawn, 1), state, title))
    return tuple(blocks)


def _marks(
    track: Track,
    findings: Sequence[tuple[int, Finding, tuple[int, int, int]]],
    start: float,
    scale: float,
    most: int,
) -> tuple[Mark, ...]:
    """Return the marks of a row; the worst last, so that they lie on top."""
    points = []
    for number_, finding, place in findings:
        x = (track.at(*place) - start) * scale
        end = _place(finding.to, (255, 65_535))
        width = max((track.at(*end) - start) * scale - x, 0.0) if end and end >= place else 0.0
        points.append((x, width, number_, finding))
    size = _BIN
    while True:
        bins: dict[tuple[int, Weight], list[tuple[float, float, int, Finding]]] = {}
        for point in points:
            bins.setdefault((int(point[0] / size), point[3].weight), []).append(point)
        if len(bins) <= most or size > WIDTH:
            break
        size *= 2
    order = [Weight.NOTE, Weight.INCOMPLETE, Weight.FAILED]
    marks = [
        Mark(
            round(min(max(group[0][0], 0), WIDTH), 1),
            _reach([(x, min(x + width, WIDTH)) for x, width, _, _ in group if width >= _SHORTEST]),
            weight,
            _told([finding for _, _, _, finding in group]),
            group[0][2],
        )
        for (_, weight), group in bins.items()
    ]
    return tuple(sorted(marks, key=lambda mark: (order.index(mark.weight), mark.x)))


def _reach(ranges: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    """Return where ranges begin and end together."""
    if not ranges:
        return None
    return round(min(start for start, _ in ranges), 1), round(max(end for _, end in ranges), 1)


def _told(findings: Sequence[Finding]) -> str:
    words = [
        f"{finding.kind} {finding.position}" + (f" to {finding.to}" if finding.to else "")
        for finding in findings[:_TOLD]
    ]
    if len(findings) > _TOLD:
        words.append(f"and {number(len(findings) - _TOLD)} more")
    return f"{findings[0].weight.value}: {', '.join(words)}"

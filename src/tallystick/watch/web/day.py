"""The day of a log as a strip of colour: pure geometry, in units of the drawing.

The strip has a cell for each ten minutes, and each cell the worst of its states: a failure of a second is seen. States
differ in height as well as in colour. Words say how long each state lasted, to the second.

>>> hour = 3_600_000
>>> bands = [Band(0, 23 * hour, State.OK), Band(23 * hour, 24 * hour, State.FAILED)]
>>> strip(bands, 24 * hour).words
'ok 23 h, failed 1 h'
>>> [(piece.x, piece.width, piece.state.value) for piece in strip(bands, 24 * hour).pieces]
[(0, 138, 'ok'), (138, 6, 'failed')]
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tallystick.reports.axis import Tick, time_ticks
from tallystick.watch.standing import Band, State
from tallystick.watch.web.words import ORDER, age

__all__ = ["CELLS", "DAY", "Piece", "Strip", "strip", "ticks"]

DAY = 86_400_000  # ms
CELLS = 144
"""Width of the strip."""

_CELL = DAY // CELLS
_HEIGHTS = {
    State.OK: 4,
    State.NEVER: 6,
    State.SILENT: 8,
    State.STALE: 10,
    State.INCOMPLETE: 12,
    State.FAILED: 16,
}


@dataclass(frozen=True, slots=True)
class Piece:
    """Cells of one state: where they begin, how many they are, and how high they stand."""

    x: int
    width: int
    height: int
    state: State


@dataclass(frozen=True, slots=True)
class Strip:
    """A day: its pieces, and what it says in words."""

    pieces: tuple[Piece, ...]
    words: str


def strip(bands: Sequence[Band], now: int) -> Strip:
    """Return the strip of the day before a time.

    Args:
        bands: The states, in order.
        now: When the day ends, ms since 1970.
    """
    start = now - DAY
    cells: list[State | None] = [None] * CELLS
    lasted: dict[State, int] = {}
    for band in bands:
        begin, end = max(band.begin, start), min(band.end, now)
        if begin > end or band.end <= start:
            continue
        lasted[band.state] = lasted.get(band.state, 0) + end - begin
        first = min((begin - start) // _CELL, CELLS - 1)
        for at in range(first, max(first + 1, -(-(end - start) // _CELL))):
            cells[at] = _worse(cells[at], band.state)
    words = ", ".join(f"{state.value} {age(lasted[state])}" for state in reversed(ORDER) if state in lasted)
    return Strip(tuple(_pieces(cells)), words or "nothing is known")


def ticks(now: int) -> tuple[Tick, ...]:
    """Return the ticks under the strip of the day before a time."""
    return time_ticks(now - DAY, DAY, CELLS / DAY)


def _worse(one: State | None, other: State) -> State:
    return other if one is None else min(one, other, key=ORDER.index)


def _pieces(cells: Sequence[State | None]) -> list[Piece]:
    pieces: list[Piece] = []
    before: State | None = None
    for at, state in enumerate(cells):
        if state is not None and state is before:
            last = pieces.pop()
            pieces.append(Piece(last.x, last.width + 1, last.height, state))
        elif state is not None:
            pieces.append(Piece(at, 1, _HEIGHTS[state], state))
        before = state
    return pieces

"""Ticks under a time line: at round times in UTC, or at round numbers of lines.

>>> [tick.label for tick in line_ticks(450, 1.0)]
['0', '100', '200', '300', '400']
>>> [tick.label for tick in time_ticks(0, 7_200_000, 0.0001)]
['1970-01-01 00:00', '00:30', '01:00', '01:30', '02:00']
"""

import datetime
from dataclasses import dataclass

from tallystick.reports.words import number

__all__ = ["Tick", "line_ticks", "time_ticks"]

_MOST = 6
_SECOND, _MINUTE, _HOUR, _DAY = 1000, 60_000, 3_600_000, 86_400_000
_STEPS = [
    *(n * _SECOND for n in (1, 2, 5, 10, 15, 30)),
    *(n * _MINUTE for n in (1, 2, 5, 10, 15, 30)),
    *(n * _HOUR for n in (1, 2, 3, 6, 12)),
    *(n * _DAY for n in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 50_000)),
]


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on the axis, and what stands there."""

    x: float
    label: str


def time_ticks(start: float, length: float, scale: float) -> tuple[Tick, ...]:
    """Return ticks from a time in ms since 1970, over so many ms."""
    step = next((step for step in _STEPS if length / step <= _MOST), None)
    if step is None:
        return ()
    ticks = []
    day = ""
    at = -(-int(start) // step) * step
    while at <= start + length:
        try:
            moment = datetime.datetime.fromtimestamp(at / 1000, datetime.UTC)
        except (OverflowError, ValueError, OSError):
            return ()
        date = moment.strftime("%Y-%m-%d")
        clock = "" if step >= _DAY else moment.strftime("%H:%M:%S" if step < _MINUTE else "%H:%M")
        label = clock if clock and date == day else f"{date} {clock}".rstrip()
        ticks.append(Tick(round((at - start) * scale, 1), label))
        day = date
        at += step
    return tuple(ticks)


def line_ticks(length: float, scale: float) -> tuple[Tick, ...]:
    """Return ticks over so many lines."""
    step = 1
    while length / step > _MOST:
        step = step * 5 // 2 if str(step)[0] == "2" else step * 2  # 1, 2, 5, 10, …
    return tuple(Tick(round(at * scale, 1), number(at)) for at in range(0, int(length) + 1, step))

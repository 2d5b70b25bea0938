"""Anchors of a log: the head, the pins and the receipts that say how far it reached (spec sections 6, 7 and 11).

They are resolved once: the core decides with them which lines are torn and from where on a log is judged, and judging
holds the lines against them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tallystick import _core
from tallystick.verify.expectations import Expectations
from tallystick.verify.heads import Head
from tallystick.verify.pins import Pin
from tallystick.verify.positions import At, after
from tallystick.verify.witnesses import Shown

__all__ = ["Anchors", "resolve"]


@dataclass(frozen=True, slots=True)
class Anchors:
    """Head, pins and receipts of one log.

    Args:
        head: Its head; None without one.
        head_holds: Does its mac hold? None where that cannot be checked.
        pins: Pins of chains that the key covers.
        pins_outside: Number of pins of other chains.
        received: Texts that witnesses received, of chains that the key covers.
    """

    head: Head | None = None
    head_holds: bool | None = None
    pins: tuple[Pin, ...] = ()
    pins_outside: int = 0
    received: tuple[Shown, ...] = ()

    @property
    def counted(self) -> At | None:
        """The position that an authentic head counts up to, once a line was written."""
        return self.head.at if self.head is not None and self.head_holds and self.head.at[0] > 0 else None

    @property
    def marks(self) -> list[At]:
        """The positions up to which pins, witnesses and the head count lines."""
        pinned = [after(pin.at) for pin in self.pins] + [one.until for one in self.received]
        return pinned if self.counted is None else [*pinned, self.counted]


def resolve(keys: _core.Keys, expected: Expectations) -> Sequence[Anchors]:
    """Return the anchors of each log, by its number, among all that the caller brings along.

    Args:
        keys: The logs, after their lines were scanned: then the chain roots are known that receipts hang on.
        expected: What the caller brings along and asks for.
    """
    return [
        _of_log(keys, number, log_id, (first, last), expected)
        for number, (_, log_id, _, _, first, last) in enumerate(keys.logs())
    ]


def _of_log(keys: _core.Keys, number: int, log_id: str, covers: tuple[int, int], expected: Expectations) -> Anchors:
    head = expected.heads.found.get(log_id)
    holds = keys.head_holds(number, head.text) if head is not None else None
    mine = [pin for pin in expected.pins if pin.log_id == log_id]
    pins = tuple(pin for pin in mine if covers[0] <= pin.at[0] <= covers[1])
    shown = (one for one in expected.witnesses.shown if one.log == number and one.counts(keys))
    received = tuple(one for one in shown if covers[0] <= one.parsed.chain <= covers[1])
    return Anchors(head, holds, pins, len(mine) - len(pins), received)

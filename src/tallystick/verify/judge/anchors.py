"""Anchors of one log: the head and the pins that say how far it reached (spec sections 6 and 7)."""

from dataclasses import dataclass

from tallystick import _core
from tallystick.verify.expectations import Expectations
from tallystick.verify.judge.facts import LogFacts
from tallystick.verify.pins import Pin
from tallystick.verify.positions import At, after
from tallystick.verify.witnesses import Shown

__all__ = ["Anchors", "Pinned"]


@dataclass(frozen=True, slots=True)
class Pinned:
    """A statement that was pinned: its position, its hash, and the pin."""

    at: At
    digest: bytes
    pin: Pin


@dataclass(frozen=True, slots=True)
class Anchors:
    """Head and pins of one log.

    Args:
        head: Position up to which the head counts, and the hash that it names; None without a head.
        head_holds: Does its mac hold? None where that cannot be checked.
        pins: Pins of chains that the key covers.
        pins_outside: Number of pins of other chains.
        received: Texts that witnesses received, of chains that the key covers.
    """

    head: tuple[At, bytes] | None
    head_holds: bool | None
    pins: tuple[Pinned, ...]
    pins_outside: int
    received: tuple[Shown, ...] = ()

    @classmethod
    def of(cls, log: LogFacts, expected: Expectations) -> "Anchors":
        """Return the anchors of a log among all that the caller brings along."""
        head, holds = None, None
        if (text := expected.heads.texts.get(log.log_id)) is not None:
            head = _core.parse_head(text)[1:]
            holds = log.source.keys.head_holds(log.number, text) if log.with_v else None
        parsed = ((*_core.parse_pin(pin.text), pin) for pin in expected.pins)
        mine = [Pinned(at, digest, pin) for log_id, at, digest, pin in parsed if log_id == log.log_id]
        covered = tuple(pinned for pinned in mine if log.covers_chain(pinned.at[0]))
        shown = (one for one in expected.witnesses.shown if one.log == log.number and one.counts(log.source.keys))
        received = tuple(one for one in shown if log.covers_chain(one.parsed.chain))
        return cls(head, holds, covered, len(mine) - len(covered), received)

    @property
    def counted(self) -> At | None:
        """The position that an authentic head counts up to, once a line was written."""
        return self.head[0] if self.head is not None and self.head_holds and self.head[0][0] > 0 else None

    @property
    def marks(self) -> list[At]:
        """The positions up to which pins, witnesses and the head count lines."""
        pinned = [after(pinned.at) for pinned in self.pins] + [one.until for one in self.received]
        return pinned if self.counted is None else [*pinned, self.counted]

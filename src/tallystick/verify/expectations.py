"""What a caller expects of the logs: heads and pins to meet, a first and a last chain, what is allowed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tallystick.verify.heads import Heads
from tallystick.verify.pins import Pin
from tallystick.verify.positions import At
from tallystick.verify.unseen import Unseen
from tallystick.verify.witnesses import Witnesses

__all__ = ["Expectations", "Retention"]


@dataclass(frozen=True, slots=True)
class Retention:
    """For how long a log is kept at least, as the caller knows.

    Args:
        seconds: The period.
        now: The caller's clock, ms since 1970.
    """

    seconds: float
    now: int


@dataclass(frozen=True, slots=True)
class Expectations:
    """What the caller brings along and asks for.

    Args:
        heads: The heads to meet.
        pins: Pins; a pin is the position and hash of a statement that was verified before, or obtained elsewhere.
        start: First chain that must be there, if the caller names one.
        expect: Labels of logs that must be there.
        allow: Kinds that the caller allows.
        subset: Lines were filtered out, so gaps are reported and not judged.
        last: Last chain that must be there, if the caller names one.
        unread: Files that could not be read, or not to their end: what is absent may stand there.
        witnesses: Signed texts to meet, and what witnesses say of the ends.
        retention: For how long the log is kept at least; None where the caller does not say.
        duplicates: Positions at which a duplicate is excepted, first and last, by label of the log.
    """

    heads: Heads = field(default_factory=Heads)
    pins: tuple[Pin, ...] = ()
    start: int | None = None
    expect: frozenset[str] = frozenset()
    allow: frozenset[str] = frozenset()
    subset: bool = False
    last: int | None = None
    unread: tuple[Unseen, ...] = ()
    duplicates: Mapping[str, Sequence[tuple[At, At]]] = field(default_factory=dict)
    witnesses: Witnesses = field(default_factory=Witnesses)
    retention: Retention | None = None

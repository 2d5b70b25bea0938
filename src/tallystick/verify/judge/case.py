"""A case: everything that is judged, what was found and what was expected."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from tallystick import _core
from tallystick.verify.adopted import Adopted
from tallystick.verify.expectations import Expectations
from tallystick.verify.judge.view import LogView
from tallystick.verify.kin import Kin
from tallystick.verify.looking import Unread
from tallystick.verify.source import Source

__all__ = ["Case"]

_NONE = Kin({})


@dataclass(frozen=True, slots=True)
class Case:
    """Everything that is judged.

    Args:
        source: The merged summary, and the files.
        logs: The logs, by their numbers.
        duplicates: Positions that were seen more than once.
        torn: Numbers of the events that are torn lines.
        unread: What was not read.
        expected: What the caller expects.
        adopted: What logs adopted, and which files begin so.
        kin: Where lines of the logs before and after known ones need a key that is not at hand.
    """

    source: Source
    logs: Sequence[LogView]
    duplicates: Sequence[_core.Duplicate]
    torn: AbstractSet[int]
    unread: Sequence[Unread]
    expected: Expectations
    adopted: Sequence[Adopted] = ()
    kin: Kin = _NONE

    def is_adopted(self, place: _core.Place) -> bool:
        """Does a line stand in what a log adopted, unchanged?"""
        return any(each.covers(place) for each in self.adopted)

    @property
    def is_known(self) -> bool:
        """Is a line of a log here whose key is at hand?"""
        return any(log.facts.chains for log in self.logs)

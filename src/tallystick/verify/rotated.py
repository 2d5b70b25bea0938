"""Lines whose parts a rotation left in two files: the end of one and the beginning of another (spec section 9).

Nothing says which file goes on in which. The seal does: it says how long its line is.

>>> one, other = Rotated(), Rotated()
>>> one.last = [(b"stdout", 0, b"user=7 ")]
>>> other.first = [(b"stdout", 0, b"a tally=abcdefgh.1.0.1.8.CQkJCQkJCQkJCQkJCQkJCQ")]
>>> rejoin([other, one]), one.goes_on, other.carried
(True, [(b'stdout', 0)], [(b'stdout', 0, b'user=7 ')])
"""

from collections.abc import Sequence

from tallystick import _core

__all__ = ["Rotated", "rejoin"]

_MOST = 2**28  # bytes that are put together to try whether they are one line

Loose = tuple[bytes, int, bytes]
"""Name of a stream, a letter that distinguishes it from others of that name, and a part of a line."""


class Rotated:
    """What one file shares with others.

    Attributes:
        first: Parts with which streams begin, if they are no whole lines.
        last: Parts that the end of the file left waiting.
        carried: Parts at the end of other files, with which this one goes on.
        goes_on: Streams whose last part goes on in another file.
    """

    __slots__ = ("carried", "first", "goes_on", "last")

    def __init__(self) -> None:
        """Know of nothing."""
        self.first: Sequence[Loose] = ()
        self.last: Sequence[Loose] = ()
        self.carried: Sequence[Loose] = ()
        self.goes_on: Sequence[tuple[bytes, int]] = ()

    def unwrapper(self, envelope: _core.Envelope) -> _core.Unwrapper:
        """Return what takes the lines of this file out of their envelope."""
        return _core.Unwrapper(envelope, self.carried, self.goes_on)

    def note(self, unwrapper: _core.Unwrapper) -> None:
        """Note what the end of the file left."""
        self.first, self.last = unwrapper.loose()


def rejoin(files: Sequence[Rotated]) -> bool:
    """Find out which parts of different files are one line; is there any?"""
    left, found = _MOST, False
    ends = [(file, end) for file in files for end in file.last]
    for file in files:
        for stream, kind, text in file.first:
            for other, end in ends:
                if other is file or end[:2] != (stream, kind) or end[:2] in other.goes_on or not text:
                    continue
                left -= len(end[2]) + len(text)
                if left > 0 and _core.are_one(end[2], text):
                    file.carried = [*file.carried, end]
                    other.goes_on = [*other.goes_on, end[:2]]
                    found = True
                    break
    return found

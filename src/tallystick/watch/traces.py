"""Whether anything moved at an entry, without a look: what its files, directories, heads and keys show of themselves.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as place:
...     trace = Trace.of([place], [])
...     before = trace.seen()
...     open(f"{place}/audit.log", "w").close()
...     before == trace.seen(), trace.directories == {place}
(False, True)
"""

import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tallystick.verify.marks import Mark, are_settled, mark
from tallystick.verify.paths import listed

__all__ = ["Trace"]

_MOST = 10_000  # directories that are watched for one entry


@dataclass(frozen=True, slots=True)
class Trace:
    """What is looked at.

    Args:
        places: Files and directories.
        directories: Of these, the directories.
        listed: How many of the places, from the first on, are what is verified and its directories; 0 where a pattern
            can come to mean something in other directories.
    """

    places: tuple[str, ...]
    directories: frozenset[str]
    listed: int = 0

    @classmethod
    def of(cls, paths: Iterable[str], others: Iterable[str]) -> "Trace":
        """Return where something can move.

        Args:
            paths: What is verified, as `verify` takes it.
            others: Files of keys, heads and exceptions.
        """
        paths = list(paths)
        files = [os.path.abspath(found.path) for found in listed(paths).files]
        files += [os.path.realpath(path) for path in files if os.path.islink(path)]  # the kernel says it of these
        directories: dict[str, None] = {}
        for path in map(os.path.abspath, paths):
            if os.path.isdir(path):
                directories.update((place, None) for place, _, _ in os.walk(path))
            else:
                directories[_there(os.path.dirname(path))] = None
        directories.update((os.path.dirname(path), None) for path in files)
        kept = list(directories)[:_MOST]
        watched = [os.path.abspath(path) for path in others]
        heads = [_there(os.path.dirname(path)) for path in watched]
        meant = dict.fromkeys([*kept, *files])
        count = 0 if any(glob.has_magic(os.path.dirname(path)) for path in paths) else len(meant)
        return cls(tuple(dict.fromkeys([*meant, *watched, *heads])), frozenset([*kept, *heads]), count)

    def seen(self) -> tuple[Mark, ...]:
        """Return what changes when something moves."""
        return tuple(map(mark, self.places))

    def is_same(self, before: Sequence[Mark], now: Sequence[Mark]) -> bool:
        """Are these places all there are, since no file came or went between two moments?

        Args:
            before: What was seen of them at the first one.
            now: What was seen of them at the second one.
        """
        pairs = zip(self.places[: self.listed], before, now, strict=False)
        return bool(self.listed and before) and all(
            old == new or (old[:2] == new[:2] and place not in self.directories) for place, old, new in pairs
        )

    def is_settled(self, marks: Sequence[Mark], now: int) -> bool:
        """Must it show in its directories if a file comes or goes from now on?

        Args:
            marks: What was seen of the places.
            now: A time before, ns since 1970.
        """
        pairs = zip(self.places[: self.listed], marks, strict=False)
        return are_settled((one for place, one in pairs if place in self.directories), now)

    def grown(self, before: Sequence[Mark]) -> int:
        """Return how many bytes longer files are now than they were.

        Args:
            before: What was seen of them.
        """
        more: dict[Mark, int] = {}
        for place, old in zip(self.places, before, strict=True):
            if len(old) > 1 and place not in self.directories and (new := mark(place))[:2] == old[:2]:
                more[old[:2]] = new[2] - old[2]
        return sum(max(0, size) for size in more.values())


def _there(path: str) -> str:
    """Return the nearest directory above that is there and is no pattern."""
    while path != "/" and (glob.has_magic(path) or not os.path.isdir(path)):
        path = os.path.dirname(path)
    return path or "/"

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

from tallystick.verify.paths import listed

__all__ = ["Mark", "Trace"]

Mark = tuple[int, ...]
"""Device, inode, size and times of a file; or only the number of the error that says why there are none."""

_WHOLE = 5  # numbers of a mark of something that is there
_MOST = 10_000  # directories that are watched for one entry


@dataclass(frozen=True, slots=True)
class Trace:
    """What is looked at.

    Args:
        places: Files and directories.
        directories: Of these, the directories.
    """

    places: tuple[str, ...]
    directories: frozenset[str]

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
        return cls(tuple(dict.fromkeys([*kept, *files, *watched, *heads])), frozenset([*kept, *heads]))

    def seen(self) -> tuple[Mark, ...]:
        """Return what changes when something moves."""
        return tuple(map(_seen, self.places))

    def grown(self, before: Sequence[Mark]) -> int:
        """Return how many bytes longer files are now than they were.

        Args:
            before: What was seen of them.
        """
        pairs = zip(self.places, before, self.seen(), strict=True)
        files = {
            new[:2]: (old, new) for place, old, new in pairs if place not in self.directories and old[:2] == new[:2]
        }
        return sum(max(0, new[2] - old[2]) for old, new in files.values() if len(old) == len(new) == _WHOLE)


def _seen(path: str) -> Mark:
    try:
        status = os.stat(path)
    except OSError as error:
        return (error.errno or 0,)
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _there(path: str) -> str:
    """Return the nearest directory above that is there and is no pattern."""
    while path != "/" and (glob.has_magic(path) or not os.path.isdir(path)):
        path = os.path.dirname(path)
    return path or "/"

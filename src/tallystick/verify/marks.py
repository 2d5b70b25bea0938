"""What changes when a file or a directory does, as far as its status shows it.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as place:
...     before = mark(place)
...     open(f"{place}/audit.log", "w").close()
...     before == mark(place), mark(f"{place}/nothing")
(False, (2,))
"""

import os
from collections.abc import Iterable
from typing import TypeAlias

__all__ = ["TICK", "Mark", "are_settled", "mark", "settled"]

Mark: TypeAlias = tuple[int, ...]
"""Device, inode, size and times of a file; or only the number of the error that says why there are none."""

TICK = 100_000_000  # ns: more than one tick of any kernel's clock
_COARSE = 2_100_000_000  # ns: file systems that count whole seconds, or every other one
_SECOND = 1_000_000_000  # ns


def mark(path: str | os.PathLike[str]) -> Mark:
    """Return the mark of what is at a path."""
    try:
        status = os.stat(path)
    except OSError as error:
        return (error.errno or 0,)
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def settled(written: int, changed: int, now: int) -> bool:
    """Must any later change of something show in its times?

    Within one tick of a file system's clock two changes have the same time.

    Args:
        written: When it was written last, ns since 1970.
        changed: When anything about it was changed last, ns since 1970.
        now: A time before these were asked for, ns since 1970.
    """
    tick = TICK if written % _SECOND or changed % _SECOND else _COARSE
    return now - max(written, changed) > tick


def are_settled(marks: Iterable[Mark], now: int) -> bool:
    """Must any later change show in these marks?

    Args:
        marks: The marks.
        now: A time before they were taken, ns since 1970.
    """
    return all(settled(one[3], one[4], now) for one in marks if len(one) > 1)

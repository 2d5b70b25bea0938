"""Which files are meant by what was named: directories, patterns and links; and what among them is passed over.

Nothing is opened here. A directory is looked at once, however many links lead to it, so links in a circle come to
an end. Pipes and devices are read only where somebody named them: among other files they could hold a run up for ever.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as place:
...     open(f"{place}/audit.log", "w").close()
...     os.mkfifo(f"{place}/pipe")
...     found = listed([place])
>>> [os.path.basename(one.path) for one in found.files], [(os.path.basename(p), why) for p, why in found.passed]
(['audit.log'], [('pipe', 'a pipe, socket or device among files, not read; name it to read it')])
"""

import errno
import fnmatch
import glob
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from tallystick.errors import reason

__all__ = ["COMPRESSED", "STDIN", "Found", "Identity", "Listing", "advice", "listed"]

STDIN = "-"
COMPRESSED = (".gz", ".zst", ".xz", ".bz2", ".lz4")
"""What names of compressed files end in, as rotation adds it; what is in a file is seen by its content."""

Identity: TypeAlias = tuple[int, int] | tuple[str, str, int]
"""What tells a file from others: device and inode; an object, its URL and what is there."""

_ROTATED = re.compile(r"\..+\.[0-9]{10}(?:-[0-9]+)?\.(?:gz|zst)\.new")
_NO_FILE = "a pipe, socket or device among files, not read; name it to read it"
_LINK = "a link to a directory, not followed; name it if it leads to files of the log"
_AGAIN = "a link to a directory that was looked at before"
_UNFINISHED = "an unfinished copy, not read: a compression that goes on, or that a crash broke off"
_TEMPORARY = "a temporary file by its name (.tmp), not read; name it to read it"


@dataclass(frozen=True, slots=True)
class Found:
    """A file that is meant.

    Args:
        path: Its path.
        identity: Its device and inode, or what tells an object from others; None for standard input, and where there
            is none.
        named: It was named by itself.
        changed: When it was changed last, in ns since 1970.
        size: Its bytes.
    """

    path: str
    identity: Identity | None
    named: bool
    changed: int = 0
    size: int = 0


@dataclass(slots=True)
class Listing:
    """What one look gave: files by their paths; what cannot be read, what is not there, what is known from before only,
    and what was passed over, each with the reason; `as_of` also with the time, ms since 1970.

    `vanished` says that something went while it was looked at.
    """

    files: list[Found] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)
    absent: list[tuple[str, str]] = field(default_factory=list)
    as_of: list[tuple[str, str, int]] = field(default_factory=list)
    passed: list[tuple[str, str]] = field(default_factory=list)
    vanished: bool = False

    def cannot_read(self, path: str, error: OSError) -> None:
        """Note what cannot be looked at."""
        self.unread.append((path, f"{reason(error)}; {advice(error)}"))

    def meet(self, path: str, status: os.stat_result | None, *, named: bool, temporary: bool = True) -> None:
        """Take a file, or pass it over.

        Args:
            path: Its path.
            status: What it is; None for a link that leads nowhere.
            named: It was named by itself.
            temporary: A name of a temporary file is no reason to pass it over: the caller asked for such names.
        """
        if status is None and not named and not os.path.lexists(path):
            self.vanished = True
            return
        if named or status is None:
            pass
        elif not stat.S_ISREG(status.st_mode):
            self.passed.append((path, _NO_FILE))
            return
        elif not temporary and _ROTATED.fullmatch(os.path.basename(path)):
            self.passed.append((path, _UNFINISHED))
            return
        elif not temporary and path.endswith(".tmp"):
            self.passed.append((path, _TEMPORARY))
            return
        if status is None:
            self.files.append(Found(path, None, named))
        else:
            identity = (status.st_dev, status.st_ino)
            self.files.append(Found(path, identity, named, status.st_mtime_ns, status.st_size))


def listed(paths: Iterable[str]) -> Listing:
    """Look up what is meant.

    Args:
        paths: Files, directories (all files in them, at any depth), patterns with `*`, `?`, `[…]` and `**`, or `-`.
    """
    listing = Listing()
    for path in dict.fromkeys(paths):
        if path == STDIN:
            listing.files.append(Found(path, None, named=True))
        elif (status := _status(path)) is not None and stat.S_ISDIR(status.st_mode):
            _take_directory(path, listing)
        elif status is None and not os.path.lexists(path):
            _take_absent(path, listing)
        else:
            listing.meet(path, status, named=True)
    listing.files.sort(key=lambda found: found.path)
    return listing


def _take_directory(path: str, listing: Listing) -> None:
    before = len(listing.files) + len(listing.unread)
    for place, status in _walk(path, listing):
        listing.meet(place, status, named=False, temporary=False)
    if len(listing.files) + len(listing.unread) == before:
        listing.absent.append((path, "there is no file in this directory; name another one"))


def _take_absent(path: str, listing: Listing) -> None:
    """Take what a pattern means; or, for a file that is not there any more, what it was compressed to meanwhile."""
    if glob.has_magic(path):
        before = len(listing.files) + len(listing.unread)
        asked = path.endswith((".tmp", ".new"))
        for place, status in _Pattern(path, listing).matches():
            listing.meet(place, status, named=False, temporary=asked)
        if len(listing.files) + len(listing.unread) == before:
            listing.absent.append((path, "no file has such a name; check the pattern"))
        return
    for form in COMPRESSED:
        if (status := _status(path + form)) is not None:
            listing.meet(path + form, status, named=True)
            return
    listing.files.append(Found(path, None, named=True))  # to open it says what is wrong


def _walk(path: str, listing: Listing) -> Iterator[tuple[str, os.stat_result | None]]:
    """Give all files at any depth. Links to files are followed, links to directories are not."""
    left = [path]
    while left:
        place = left.pop()
        for entry in _entries(place, listing):
            if entry.is_dir(follow_symlinks=False):
                left.append(entry.path)
                continue
            status = _status(entry.path)
            if status is not None and stat.S_ISDIR(status.st_mode):
                listing.passed.append((entry.path, _LINK))
            else:
                yield entry.path, status


class _Pattern:
    """A pattern, part by part. Links are followed, but no directory is looked at twice for the same part."""

    def __init__(self, pattern: str, listing: Listing) -> None:
        self._parts = [part for part in pattern.split("/") if part not in ("", ".")]
        self._begin = "/" if pattern.startswith("/") else ""
        self._listing = listing
        self._seen: set[tuple[int, int, int]] = set()

    def matches(self) -> Iterator[tuple[str, os.stat_result | None]]:
        """Give the files that match; of a directory that matches, all files in it."""
        left = [(self._begin, 0)]
        while left:
            place, number = left.pop()
            if number == len(self._parts):
                yield from _walk(place, self._listing)
                continue
            part, rest = self._parts[number], number + 1
            if not glob.has_magic(part):
                status = _status(path := os.path.join(place, part))
                if status is not None and stat.S_ISDIR(status.st_mode):
                    left.append((path, rest))
                elif rest == len(self._parts) and os.path.lexists(path):
                    yield path, status
                continue
            if self._is_known(place, number):
                continue
            if part == "**":
                # The parts after it may begin right here; after the last `**` every file is meant.
                left += [(place, rest)] if rest < len(self._parts) else []
            yield from self._in_directory(place, number, left)

    def _in_directory(
        self, place: str, number: int, left: list[tuple[str, int]]
    ) -> Iterator[tuple[str, os.stat_result | None]]:
        part, rest = self._parts[number], number + 1
        is_last = rest == len(self._parts)
        fits = _matcher(part)
        for entry in _entries(place or ".", self._listing):
            path = os.path.join(place, entry.name)
            if not fits(entry.name):
                continue
            status = _status(path)
            if status is not None and stat.S_ISDIR(status.st_mode):
                if part == "**" and entry.is_symlink() and self._was_met(status, number):
                    self._listing.passed.append((path, _AGAIN))
                else:
                    left.append((path, number if part == "**" else rest))
            elif is_last:
                yield path, status

    def _is_known(self, place: str, number: int) -> bool:
        """Was a directory looked at before for a part of the pattern? It is from now on."""
        status = _status(place or ".")
        if status is None:
            return True
        known = self._was_met(status, number)
        self._seen.add((status.st_dev, status.st_ino, number))
        return known

    def _was_met(self, status: os.stat_result, number: int) -> bool:
        return (status.st_dev, status.st_ino, number) in self._seen


def _matcher(part: str) -> Callable[[str], bool]:
    """Return what says whether a name fits a part of a pattern; `*` means no hidden files, as in a shell."""
    if part == "**":
        return lambda name: not name.startswith(".")
    fits = re.compile(fnmatch.translate(part)).match
    return lambda name: fits(name) is not None and (part.startswith(".") or not name.startswith("."))


def _entries(place: str, listing: Listing) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(place) as entries:
            return list(entries)
    except FileNotFoundError:
        listing.vanished = True
        return []
    except OSError as error:
        listing.cannot_read(place, error)
        return []


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (OSError, ValueError):
        return None


def advice(error: OSError) -> str:
    """Return what to do about what the operating system said."""
    return {
        errno.ENOENT: "check the name",
        errno.EACCES: "run this as someone who may read it",
        errno.EISDIR: "name a file",
        errno.EMFILE: "allow more open files (ulimit -n)",
        errno.ENOSPC: "make room for a copy of what comes from the pipe, or name a place with TMPDIR",
    }.get(error.errno or 0, "look into the system's log")

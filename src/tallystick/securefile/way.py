"""The way to a file by a path that the user gave: walked once, directory by directory, each of them held open.

Links are followed, as the user expects; but not one that a stranger put into a directory that strangers may write to.
What the kernel refuses with `fs.protected_symlinks` in directories such as /tmp is so refused everywhere.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as path:
...     os.symlink("audit.log", f"{path}/link")
...     with walk(f"{path}/link") as way:
...         way.path == os.path.realpath(f"{path}/audit.log"), way.found
(True, None)
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tallystick.securefile.descriptors import opened
from tallystick.securefile.trouble import RefusedError, user_name

__all__ = ["Way", "hold", "is_open", "walk"]

_LINKS = 40  # as many as Linux follows
_KEPT = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW


@dataclass(frozen=True, slots=True)
class Way:
    """The end of a path.

    Args:
        directory: Descriptor of the directory, open for as long as the block of `walk`.
        name: The name in it.
        path: The whole path, without links.
        found: What is there; None if nothing is. It is no link, but one to a pipe that has no name.
        risk: Why somebody else could have led root here, in words; None if nobody could.
    """

    directory: int
    name: str
    path: str
    found: os.stat_result | None
    risk: str | None


def is_open(directory: os.stat_result) -> bool:
    """May strangers write to a directory? Those are all but root, this user, and members of this process's groups."""
    mode = directory.st_mode
    return bool(
        directory.st_uid not in (0, os.geteuid())
        or mode & stat.S_IWOTH
        or (mode & stat.S_IWGRP and directory.st_gid not in {os.getegid(), *os.getgroups()})
    )


def hold(directory: int) -> int:
    """Return a descriptor of its own for a directory; it can be read and synced where this user may read it."""
    try:
        return opened(".", os.O_RDONLY | os.O_DIRECTORY, within=directory)
    except PermissionError:
        return opened(".", _KEPT, within=directory)


@contextmanager
def walk(path: str | os.PathLike[str], *, through_last: bool = True) -> Iterator[Way]:
    """Walk to the end of a path.

    Args:
        path: The path.
        through_last: Follow its last name, too, where that is a link.

    Raises:
        OSError: A directory on it is not there, or cannot be entered.
        RefusedError: A link on it may be a stranger's.
    """
    walker = _Walker(os.fspath(path), through_last=through_last)
    try:
        yield walker.go()
    finally:
        walker.close()


class _Walker:
    """One walk: where it is, and what is still to go."""

    def __init__(self, path: str, *, through_last: bool) -> None:
        self._asked, self._through_last = path, through_last
        self._left = list(reversed(path.split("/")))
        self._path = "/" if path.startswith("/") else os.getcwd()
        self._here = opened(self._path if path.startswith("/") else ".", _KEPT & ~os.O_NOFOLLOW)
        self._links = 0
        self._risk: str | None = None

    def close(self) -> None:
        """Let go of the directory."""
        os.close(self._here)

    def go(self) -> Way:
        """Walk."""
        while True:
            self._look()
            name = self._left.pop() if self._left else "."
            while self._left and name in ("", "."):
                name = self._left.pop()
            last = not any(part not in ("", ".") for part in self._left)
            if name in ("", ".", ".."):
                if last:
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), self._asked)
                self._enter(name)
                continue
            found = self._at(name)
            if last and not self._through_last:
                return Way(self._here, name, os.path.join(self._path, name), found, self._risk)
            if found is not None and stat.S_ISLNK(found.st_mode) and self._follow(name, found):
                continue
            if last:
                if self._left:  # a slash after it
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), self._asked)
                if found is not None and stat.S_ISLNK(found.st_mode):
                    found = os.stat(name, dir_fd=self._here)
                return Way(self._here, name, os.path.join(self._path, name), found, self._risk)
            self._enter(name)

    def _at(self, name: str) -> os.stat_result | None:
        try:
            return os.stat(name, dir_fd=self._here, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def _enter(self, name: str) -> None:
        try:
            there = opened(name, _KEPT, within=self._here)
        except OSError as error:
            raise OSError(error.errno, os.strerror(error.errno or 0), self._asked) from None
        os.close(self._here)
        self._here, self._path = there, os.path.normpath(os.path.join(self._path, name))

    def _look(self) -> None:
        """Note whether somebody else could lead root elsewhere from this directory."""
        found = os.stat(self._here)
        if self._risk is None and found.st_uid not in (0, os.geteuid()):
            self._risk = f"{self._path} belongs to {user_name(found.st_uid)}"
        if self._risk is None and found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
            self._risk = f"everybody can write to {self._path}"

    def _follow(self, name: str, link: os.stat_result) -> bool:
        """Go where a link leads; False if that has no name: a pipe or a socket."""
        target = os.readlink(name, dir_fd=self._here)
        if not target.startswith("/") and self._path.startswith("/proc/") and ":[" in target:
            return False
        self._refuse_strange(name, link)
        self._links += 1
        if self._links > _LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), self._asked)
        self._left += reversed(target.split("/"))
        if target.startswith("/"):
            os.close(self._here)
            self._here, self._path = opened("/", _KEPT), "/"
        return True

    def _refuse_strange(self, name: str, link: os.stat_result) -> None:
        directory, us = os.stat(self._here), os.geteuid()
        trusted = {0, us} if us == 0 or directory.st_mode & stat.S_IWOTH else {0, us, directory.st_uid}
        if is_open(directory) and link.st_uid not in trusted:
            where = os.path.join(self._path, name)
            raise RefusedError(
                where,
                f"is a symbolic link of {user_name(link.st_uid)}, in a directory that others can write to",
                "name what it leads to",
            )

"""The place of a log: a directory that is held open, the log's name in it, and the files beside it.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as path:
...     place = Place.of(f"{path}/audit.log")
...     os.close(place.begin())
...     place.rename("audit.log", "audit.log.1")
...     os.close(place.append())
...     place.remove("audit.log.1"), place.names()
...     place.close()
(True, ['audit.log'])
"""

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from tallystick.errors import SealError
from tallystick.securefile.acting import Actor
from tallystick.securefile.descriptors import names, opened
from tallystick.securefile.private import is_at
from tallystick.securefile.rights import keep_rights
from tallystick.securefile.trouble import RefusedError, no_link, user_name
from tallystick.securefile.way import hold, is_open, walk

__all__ = ["NEW_LOG", "Place"]

T = TypeVar("T")

NEW_LOG = 0o640
"""Mode of a log that is made, before the umask."""

_APPEND = os.O_APPEND | os.O_NOCTTY


class Place:
    """A directory, by a descriptor, and a name in it; made by `of`.

    Every method that names a file takes a name in the directory, follows no link, and has the rights of the actor.

    Args:
        path: The whole path, without links.
        directory: Descriptor of its directory, which is the place's from now on.
        actor: The user that reads and writes there; None for that of this process.
        found: What is there.
    """

    def __init__(self, path: str, directory: int, actor: Actor | None, found: os.stat_result | None) -> None:
        self.path = path
        self.name = os.path.basename(path)
        self._directory, self._actor = directory, actor
        self._owners = {0, actor.uid if actor else os.geteuid()}
        self.special = found is not None and not stat.S_ISREG(found.st_mode)
        """Is a pipe or a device there, and no file?"""
        if found is not None and not self.special:
            self._owners.add(found.st_uid)  # the user named it: its owner may go on to own it

    @classmethod
    def of(cls, path: str | os.PathLike[str], actor: Actor | None = None) -> "Place":
        """Walk to a path, once; the caller closes the place.

        Args:
            path: The path of the log.
            actor: The user that reads and writes there; None for that of this process.

        Raises:
            OSError: The directory is not there, or something that is not a file is.
            RefusedError: Somebody else has put something there, or could.
            SealError: Root would write in a directory of somebody else.
        """

        def go() -> "Place":
            with walk(path) as way:
                if way.found is not None and stat.S_ISDIR(way.found.st_mode):
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
                place = cls(way.path, hold(way.directory), actor, way.found)
            try:
                if way.risk is not None and actor is None and not place.special and os.geteuid() == 0:
                    raise place._risky(way.risk)
                if way.found is not None:
                    place._refuse_strange(way.found)
            except BaseException:
                place.close()
                raise
            return place

        return actor.call(go) if actor else go()

    def begin(self) -> int:
        """Open what is at the place, or make a file, for the first time."""
        if self.special:
            return self._as(self._special)
        return self.append()

    def _special(self) -> int:
        """Open a pipe or a device; one that nobody reads does not keep this process waiting, deaf to signals."""
        # A pipe that has no name is a link, of a kind that nobody can make.
        if not stat.S_ISFIFO(os.stat(self.name, dir_fd=self._directory).st_mode):
            return opened(self.name, os.O_WRONLY | os.O_NOCTTY, within=self._directory)
        reading = -1
        with suppress(OSError):  # it may only be written
            reading = opened(self.name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY, within=self._directory)
        try:
            fd = opened(self.name, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY, within=self._directory)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            raise RefusedError(
                self.path, "has no reader, and may not be read here", "start its reader first, or let this user read it"
            ) from None
        finally:
            if reading >= 0:
                os.close(reading)
        os.set_blocking(fd, True)
        return fd

    def append(self, like: int | None = None) -> int:
        """Return a descriptor of the file at the place, which is made if it is not there.

        Args:
            like: Descriptor of the file whose owner, group and mode a new one gets.

        Raises:
            OSError: It cannot be opened.
            RefusedError: It is no regular file, or somebody else's.
        """
        return self._as(lambda: self._append(like))

    def _append(self, like: int | None) -> int:
        for _ in range(100):
            with suppress(FileNotFoundError):
                try:
                    return self._existing(self.name, os.O_RDWR | _APPEND)
                except PermissionError:  # one that may only be written is fine, too
                    return self._existing(self.name, os.O_WRONLY | _APPEND)
            with suppress(FileExistsError):
                return self._made(NEW_LOG, like)
        raise RefusedError(self.path, "is made and removed all the time", "find out by whom")

    def replace(self) -> int:
        """Return a descriptor of a new file at the place, which only its owner may read; nothing is there.

        Raises:
            OSError: It cannot be made, or something is there.
        """
        return self._as(lambda: self._made(0o600, None))

    def open(self, name: str) -> int:
        """Return a descriptor of a file, to read it.

        Raises:
            OSError: It cannot be opened.
            RefusedError: It is no regular file, or somebody else's.
        """
        return self._as(lambda: self._existing(name, os.O_RDONLY | os.O_NOCTTY))

    def make(self, name: str) -> int:
        """Return a descriptor of a new file that only its owner may read.

        Raises:
            OSError: It cannot be made, or is there.
        """
        return self._as(lambda: opened(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600, self._directory))

    def rename(self, name: str, new: str) -> None:
        """Give a file another name; one that has that name is replaced."""
        self._as(lambda: os.rename(name, new, src_dir_fd=self._directory, dst_dir_fd=self._directory))

    def remove(self, name: str) -> bool:
        """Remove a file, if it is a regular one of an expected owner; return whether it was.

        Raises:
            OSError: It cannot be removed.
        """
        return self._as(lambda: self._remove(name))

    def _remove(self, name: str) -> bool:
        found = self.look(name)
        if found is None or not stat.S_ISREG(found.st_mode) or found.st_uid not in self._owners:
            return False
        os.unlink(name, dir_fd=self._directory)
        return True

    def names(self) -> list[str]:
        """Return the names of all files."""
        return self._as(lambda: names(self._directory))

    def look(self, name: str) -> os.stat_result | None:
        """Return what a name stands for; None if for nothing."""
        try:
            return os.stat(name, dir_fd=self._directory, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def is_at(self, fd: int) -> bool:
        """Does the name still stand for an open file, and the path for the directory?"""
        try:
            return is_at(fd, self.name, self._directory) and self._is_here()
        except OSError:
            return False

    def _is_here(self) -> bool:
        """Does the path stand for the directory, as far as this user may see that?"""
        try:
            return os.path.samestat(os.stat(os.path.dirname(self.path)), os.stat(self._directory))
        except PermissionError:
            return True

    def sync(self) -> None:
        """Make the names in the directory durable."""
        self._as(lambda: os.fsync(self._directory))

    def renew(self) -> bool:
        """Walk to the place again if its directory was moved or removed; return whether that was done.

        Raises:
            OSError, RefusedError, SealError: As `of`.
        """
        with suppress(FileNotFoundError):
            if self._is_here():
                return False
        other = Place.of(self.path, self._actor)
        self._directory, other._directory = other._directory, self._directory
        other.close()
        return True

    def close(self) -> None:
        """Let go of the directory, once."""
        fd, self._directory = self._directory, -1
        if fd >= 0:
            os.close(fd)

    def _as(self, work: Callable[[], T]) -> T:
        return self._actor.call(work) if self._actor else work()

    def _existing(self, name: str, flags: int) -> int:
        with no_link(name, self._directory):
            # O_NONBLOCK: a named pipe put there must not stop us; it means nothing for regular files.
            fd = opened(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, within=self._directory)
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise RefusedError(self._path_of(name), "is no file any more", "put a file in its place")
            if found.st_uid not in self._owners:
                who = user_name(found.st_uid)
                raise RefusedError(self._path_of(name), f"belongs to {who}", f"find out what {who} did there")
            self._refuse_strange(found, name)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _made(self, mode: int, like: int | None) -> int:
        flags = os.O_RDWR | _APPEND | os.O_CREAT | os.O_EXCL
        fd = opened(self.name, flags, mode if like is None else 0o600, self._directory)
        try:
            if like is not None:
                keep_rights(fd, like)
            self._owners.add(os.fstat(fd).st_uid)  # some file systems give all files to one user
        except BaseException:
            os.close(fd)
            raise
        # A head counts lines of a new file only where the file's name is as safe as they are.
        with suppress(OSError):
            os.fsync(self._directory)
        return fd

    def _risky(self, risk: str) -> SealError:
        """Return the error for root, where somebody else can put another file into the log's place."""
        found = os.stat(self._directory)
        who = user_name(found.st_uid, written=f"{found.st_uid}:{found.st_gid}")
        return SealError(
            f"root would write to {self.path}, but {risk}",
            hint=f"add `--as {who}` to open it as the user of its directory, or choose a directory of root's",
        )

    def _refuse_strange(self, found: os.stat_result, name: str = "") -> None:
        """Refuse a file that a stranger may have put there: another one's, or a second name of one."""
        directory, path = os.stat(self._directory), self._path_of(name or self.name)
        if not is_open(directory):
            return
        trusted = {0, os.geteuid()} if os.geteuid() == 0 else {0, os.geteuid(), directory.st_uid}
        public = directory.st_mode & (stat.S_IWOTH | stat.S_ISVTX)
        if public and found.st_uid not in trusted:
            who = user_name(found.st_uid)
            raise RefusedError(path, f"belongs to {who}, in a directory that others can write to", "name another file")
        if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
            raise RefusedError(
                path, "has another name, in a directory that others can write to", "remove it, or name another file"
            )

    def _path_of(self, name: str) -> str:
        return os.path.join(os.path.dirname(self.path), name)

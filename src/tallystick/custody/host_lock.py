"""A lock that all writers on this host share, for things that they share there.

Only those who may use the guarded thing may take it: a stranger who could take it would stop every log, and one who
could exchange it would let two writers in.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as place, host_lock("tallystick-x.lock", None, 1, place):
...     os.listdir(place)
['tallystick-x.lock']
"""

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tallystick import securefile
from tallystick.errors import CustodyError, reason

__all__ = ["PLACE", "host_lock"]

PLACE = "/run/lock"
_PAUSE = 0.02  # seconds between two tries


@contextmanager
def host_lock(name: str, group: int | None, timeout: float, place: str = PLACE) -> Iterator[None]:
    """Hold a lock as long as the block takes; it ends with the process.

    Args:
        name: Of the lock's file.
        group: The group that may take it, beside root and this user; None for no group.
        timeout: Seconds to wait for another holder.
        place: A directory that is root's or this user's.

    Raises:
        CustodyError: Another one holds it, or somebody else could take or exchange it.
    """
    path = f"{place}/{name}"
    try:
        directory = securefile.opened(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as problem:
        raise CustodyError(
            f"{place}: {reason(problem)}", hint=f"make it, as root: install -d -m 1777 {place}"
        ) from None
    try:
        _refuse_open_place(os.fstat(directory), place)
        fd = _taken(name, directory, group, timeout, path)
        try:
            yield
        finally:
            os.close(fd)
    finally:
        os.close(directory)


def _taken(name: str, directory: int, group: int | None, timeout: float, path: str) -> int:
    until = time.monotonic() + timeout
    while True:
        fd = _opened(name, directory, group, path)
        try:
            _refuse_strange(os.fstat(fd), group, path)
            securefile.lock(fd, wait=False)
            if securefile.is_at(fd, name, directory):  # and nobody has removed it meanwhile
                return fd
        except BlockingIOError:
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        if time.monotonic() > until:
            raise CustodyError(
                f"another process held {path} for {timeout:g} seconds",
                hint=f"fuser {path} says which; end it if it stands still",
            )
        time.sleep(_PAUSE)


def _opened(name: str, directory: int, group: int | None, path: str) -> int:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        try:
            return securefile.opened(name, flags, within=directory)
        except FileNotFoundError:
            _make(name, directory, group)
            return securefile.opened(name, flags, within=directory)
    except OSError as problem:
        if problem.errno == errno.ELOOP:
            raise CustodyError(f"{path} is a symbolic link", hint="find out who made it, and remove it") from None
        owner = f"-g {group}" if group is not None else f"-o {os.geteuid()}"
        raise CustodyError(
            f"{path}: {reason(problem)}", hint=f"give it to this user, as root: install -m 640 {owner} /dev/null {path}"
        ) from None


def _make(name: str, directory: int, group: int | None) -> None:
    """Make the file, in its place only when it is as it must be: others may look at any moment."""
    new = f"{name}.{os.urandom(8).hex()}"
    fd = securefile.opened(new, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, within=directory)
    try:
        if group is not None:
            os.fchown(fd, -1, group)
        os.fchmod(fd, 0o600 if group is None else 0o640)
        with suppress(FileExistsError):  # another one was quicker
            os.link(new, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
    finally:
        os.close(fd)
        os.unlink(new, dir_fd=directory)


def _refuse_open_place(found: os.stat_result, place: str) -> None:
    if found.st_uid not in (0, os.geteuid()) or (found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX):
        raise CustodyError(
            f"{place} lets others exchange files there", hint=f"set it right, as root: chmod 1777 {place}"
        )


def _refuse_strange(found: os.stat_result, group: int | None, path: str) -> None:
    # Only a member can have given a file to the group.
    ours = found.st_uid in (0, os.geteuid()) or (group is not None and found.st_gid == group)
    others = found.st_mode & (0o077 if group is None else 0o027)
    if group is not None and found.st_gid != group:
        others |= found.st_mode & 0o070
    if not stat.S_ISREG(found.st_mode) or not ours or others:
        raise CustodyError(
            f"{path} belongs to others, or is open to them", hint="find out who made it, and remove it as root"
        )

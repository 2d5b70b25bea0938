"""Files in volumes of Kubernetes: their shapes are those of the kubelet, not ours.

*Secret and projected volumes*: `master.key` is a link to `..data/master.key`, and `..data` one to a directory with a
time for its name; files are root's, mode 0400, or 0440 with the group of `fsGroup`. Credentials of systemd are root's,
too. Such a file is taken where nobody but root can write it or put another one in its place.

*Volumes with `fsGroup`*: at each start of a pod all that is in them gets that group, which may read and write it:
0700 becomes 2770, and 0600 becomes 0660. What is ours is made private again, and that is reported.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as d:
...     os.mkdir(f"{d}/store")
...     os.chmod(f"{d}/store", 0o2770)
...     said = make_private(f"{d}/store")
...     said is not None and "1 of its directories and files" in said, oct(os.stat(f"{d}/store").st_mode)
(True, '0o40700')
>>> is_given("/nowhere/at/all")
False
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress

from tallystick.errors import CustodyError, reason

__all__ = ["is_given", "make_private", "open_given"]

_DATA = "..data/"
_LINKS = 8  # that are followed at most; the kubelet makes two
_DEPTH = 3  # directories: a store, a log
_PATH = getattr(os, "O_PATH", os.O_RDONLY)


def is_given(path: str) -> bool:
    """Return whether a file has the shape of one that root gives to a process, for `open_given`."""
    try:
        found = os.lstat(path)
        if stat.S_ISLNK(found.st_mode):
            return os.readlink(path).startswith(_DATA)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_uid == 0 != os.geteuid()


def open_given(path: str) -> int:
    """Return a descriptor of such a file; the caller closes it.

    Args:
        path: Its path, absolute.

    Raises:
        CustodyError: It cannot be read, or others may read it, write it, or put another one in its place.
    """
    try:
        fd = _walked(path)
    except OSError as error:
        hint = "add this user's group, such as by fsGroup" if error.errno == errno.EACCES else "mount its volume"
        raise CustodyError(f"{path}: {reason(error)}", hint=hint) from error
    mode = stat.S_IMODE(os.fstat(fd).st_mode)
    if not stat.S_ISREG(os.fstat(fd).st_mode) or mode & 0o037 or not _is_trusted(os.fstat(fd)):
        os.close(fd)
        raise CustodyError(
            f"{path} is open to other users (mode {mode:04o})",
            hint="give it to root and one group: defaultMode: 0400 for its volume, with fsGroup for the pod",
        )
    return fd


def make_private(path: str) -> str | None:
    """Make a directory of ours and all in it private again, if it was opened to a group as a volume with fsGroup is.

    Args:
        path: The directory; or a file in any directory, which is left as it is: then the file, and those beside it
            whose names are its name, a dot and more.

    Returns:
        What was done, in words for people; None if nothing was.
    """
    changed: list[int] = []
    with suppress(OSError):
        if os.path.isdir(path):
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            changed = _closed(fd, _DEPTH, "")
        else:
            fd = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            changed = _closed(fd, 1, os.path.basename(path))
        os.close(fd)
    if not changed:
        return None
    groups = ", ".join(str(group) for group in sorted(set(changed)))
    return (
        f"{path} was open to group {groups}, as fsGroup leaves it: {len(changed)} of its directories and files are "
        "private again"
    )


def _walked(path: str) -> int:
    """Open a file by a way that nobody but root and we can change, link by link."""
    todo, links = path.split("/")[::-1], 0
    here = os.open("/", _PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        while todo:
            name = todo.pop()
            if name in ("", "."):
                continue
            _refuse_open_way(here, path)
            found = os.stat(name, dir_fd=here, follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                links += 1
                target = os.readlink(name, dir_fd=here)
                if links > _LINKS or not _is_trusted(found):
                    raise OSError(errno.ELOOP, "a link in its way is not root's, or there are too many")
                if target.startswith("/"):  # as /var/run
                    os.close(here)
                    here = os.open("/", _PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                todo += target.split("/")[::-1]
                continue
            flags = os.O_RDONLY | os.O_NONBLOCK if not todo else _PATH | os.O_DIRECTORY
            fd = os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
            os.close(here)
            here = fd
        return here
    except BaseException:
        os.close(here)
        raise


def _refuse_open_way(directory: int, path: str) -> None:
    """Refuse a directory in which others can exchange names: neither sticky, nor on a volume that is read-only."""
    found = os.fstat(directory)
    closed = not found.st_mode & 0o022 or found.st_mode & stat.S_ISVTX
    with suppress(OSError):
        closed = closed or os.fstatvfs(directory).f_flag & os.ST_RDONLY
    if not closed or not _is_trusted(found):
        raise CustodyError(
            f"{path} is in a directory that other users can change (mode {stat.S_IMODE(found.st_mode):04o})",
            hint="mount its volume read-only",
        )


def _is_trusted(found: os.stat_result) -> bool:
    return found.st_uid in (0, os.geteuid())


def _closed(directory: int, depth: int, begins: str) -> list[int]:
    """Close an open directory and all in it, or only files of a name; return the groups that they were open to."""
    changed: list[int] = []
    above = os.fstat(directory)
    if begins and above.st_mode & 0o2020 != 0o2020:
        return []
    if not begins and (above.st_mode & 0o2077 != 0o2070 or above.st_uid != os.geteuid()):
        return []
    for name in os.listdir(directory):
        if not begins or name == begins or name.startswith(f"{begins}."):
            for fd in _opened(name, directory):
                found = os.fstat(fd)
                if stat.S_ISDIR(found.st_mode) and depth > 1 and not begins:
                    changed += _closed(fd, depth - 1, "")
                elif stat.S_ISREG(found.st_mode) and _is_opened(found):
                    os.fchmod(fd, 0o600)
                    changed.append(found.st_gid)
    if not begins:  # last: an interruption leaves it to the next start
        os.fchmod(directory, 0o700)
        changed.append(above.st_gid)
    return changed


def _is_opened(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) == 0o660


def _opened(name: str, directory: int) -> Iterator[int]:
    """Give a descriptor of a file or directory of ours; none for what cannot be opened."""
    with suppress(OSError):
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
        try:
            yield fd
        finally:
            os.close(fd)

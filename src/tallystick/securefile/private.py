"""Private files: nobody but their owner reads them, and their former content is not left on the disk.

Everything is named relative to an open directory, so that nobody can put another one in its place half-way.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as path:
...     directory = open_directory(path)
...     replace_file("head", b"old", directory)
...     replace_file("head", b"new", directory)
...     os.listdir(directory), read_file("head", directory, bytearray, limit=100)
...     os.close(directory)
(['head'], bytearray(b'new'))
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from tallystick.securefile.content import fill, wipe, write_all
from tallystick.securefile.descriptors import opened
from tallystick.securefile.held import naming, sync_held
from tallystick.securefile.trouble import RefusedError, no_link, user_name
from tallystick.securefile.way import walk

__all__ = [
    "create_file",
    "creating",
    "exchange_file",
    "is_at",
    "make_directories",
    "make_directory",
    "open_directory",
    "open_file",
    "open_path",
    "put_file",
    "read_file",
    "replace_file",
    "sweep",
    "sync_directory",
    "wipe_file",
]

B = TypeVar("B", bound=bytearray)


def make_directory(name: str, within: int | None = None) -> None:
    """Make a directory that nobody but its owner can enter."""
    os.mkdir(name, 0o700, dir_fd=within)
    fd = opened(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, within=within)
    try:
        os.fchmod(fd, 0o700)  # despite the umask
    finally:
        os.close(fd)


def make_directories(path: str) -> None:
    """Make a directory and those above it, durably, as far as they are not there."""
    if os.path.lexists(path):
        return
    make_directories(os.path.dirname(path))
    with walk(path) as way:
        try:
            make_directory(way.name, way.directory)
        except FileExistsError:
            pass
        except OSError as problem:  # of which directory, a name alone does not say
            raise OSError(problem.errno, os.strerror(problem.errno or 0), way.path) from None
        sync_held(way.directory)


def sync_directory(path: str) -> None:
    """Make the names in a directory durable; it may be anybody's."""
    fd = opened(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def open_directory(name: str, within: int | None = None) -> int:
    """Return a descriptor of a directory that is our own and private; the caller closes it."""
    with no_link(name, within):
        fd = opened(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, within=within)
    return _checked(fd, name, directory=True)


def open_path(path: str) -> int:
    """Return a descriptor of a directory that is our own and private, walked to from the root; the caller closes it.

    Args:
        path: Its absolute path. Links on the way are followed, but none that a stranger put there; the last is none.

    Raises:
        RefusedError: A stranger can lead this process, or root, to another directory in its place.
        OSError: It cannot be opened.
    """
    if not os.path.basename(path):
        return open_directory(path)
    with walk(path, through_last=False) as way:
        if way.risk is not None and os.geteuid() == 0:
            raise RefusedError(path, f"can be replaced by others, for {way.risk}", "move it to a directory of root's")
        with naming(path):
            return open_directory(way.name, way.directory)


def open_file(name: str, directory: int | None, flags: int) -> int:
    """Return a descriptor of a regular file that is our own and private; the caller closes it.

    Args:
        name: Its name, or its path.
        directory: Descriptor of its directory; None to walk to the path.
        flags: As for `os.open`.
    """
    if directory is None:
        with walk(name, through_last=False) as way, naming(name):
            return open_file(way.name, way.directory, flags)
    # O_NONBLOCK: a named pipe put there must not stop us; it means nothing for regular files.
    flags |= os.O_NOFOLLOW | os.O_NONBLOCK
    with no_link(name, directory):
        fd = opened(name, flags, within=directory)
    return _checked(fd, name, directory=False)


@contextmanager
def creating(name: str, directory: int | None) -> Iterator[int]:
    """Give a descriptor of a new private file: durable after the block, gone if the block fails.

    Args:
        name: Its name, or its path.
        directory: Descriptor of its directory; None to walk to the path.
    """
    if directory is None:
        with walk(name) as way, creating(way.name, way.directory) as fd:
            yield fd
        return
    fd = opened(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, within=directory)
    try:
        os.fchmod(fd, 0o600)  # despite the umask
        yield fd
        os.fsync(fd)
    except BaseException:
        with suppress(OSError):
            wipe(fd)
        with suppress(OSError):
            os.unlink(name, dir_fd=directory)
        raise
    finally:
        os.close(fd)


def create_file(name: str, data: bytes | bytearray, directory: int) -> None:
    """Make a new private file, durably but for its name in the directory."""
    with creating(name, directory) as fd:
        write_all(fd, data)


def read_file(name: str, directory: int, kind: type[B], *, limit: int) -> B:
    """Return the content of a private file, in an array of a kind; at most `limit` bytes of it are allowed."""
    for _ in range(100):
        fd = open_file(name, directory, os.O_RDONLY)
        try:
            size = os.fstat(fd).st_size
            if size > limit:
                raise RefusedError(name, f"has more than {limit} bytes, which is none of ours", "restore it")
            data = kind(size)  # filled where it is, for a head must not be copied
            fill(fd, data)
            # A file that has been replaced meanwhile may have been wiped while we read it.
            if is_at(fd, name, directory):
                return data
        finally:
            os.close(fd)
    raise RefusedError(name, "was replaced each time while it was read", "try again")


def replace_file(name: str, data: bytes | bytearray, directory: int) -> None:
    """Put a file with `data` in the place of the one there, durably, and erase the old one.

    A crash leaves the old or the new, never neither. There is one writer at a time.
    """
    sweep(name, directory)
    new, old = f"{name}.new", f"{name}.old"
    create_file(new, data, directory)
    old_fd = None
    try:
        try:
            old_fd = _keep(name, old, directory)
            os.rename(new, name, src_dir_fd=directory, dst_dir_fd=directory)
        except OSError:
            with suppress(OSError):
                sweep(name, directory)
            raise
        os.fsync(directory)  # only when the new one is in its place for good may the old one go
        if old_fd is not None:
            wipe(old_fd)
            with suppress(FileNotFoundError):
                os.unlink(old, dir_fd=directory)
    finally:
        if old_fd is not None:
            os.close(old_fd)


def put_file(name: str, data: bytes, directory: int) -> None:
    """Put a file in the place of the one there, whole, but neither durably nor erasing the old one.

    On a full disk it is written over the one that is there.
    """
    new = f"{name}.new"
    with suppress(FileNotFoundError):
        os.unlink(new, dir_fd=directory)
    try:
        fd = opened(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, within=directory)
        try:
            write_all(fd, data)
        finally:
            os.close(fd)
        os.rename(new, name, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError as problem:
        with suppress(OSError):
            os.unlink(new, dir_fd=directory)
        if problem.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _overwrite(name, data, directory)


def _overwrite(name: str, data: bytes, directory: int) -> None:
    """Write over a file where it is, which needs no room; blanks fill up what was longer."""
    fd = open_file(name, directory, os.O_RDWR)
    try:
        os.pwrite(fd, data.ljust(os.fstat(fd).st_size), 0)
    finally:
        os.close(fd)


def exchange_file(name: str, data: bytes, directory: int) -> None:
    """Put a file in the place of another; both are no secret. Readers take no lock: they see the old or the new one.

    Its bytes are durable; its name is once the directory is synced.
    """
    new = f".{name}.new"
    with suppress(FileNotFoundError):
        os.unlink(new, dir_fd=directory)  # a crashed process left it
    create_file(new, data, directory)
    os.rename(new, name, src_dir_fd=directory, dst_dir_fd=directory)


def sweep(name: str, directory: int) -> None:
    """Erase the remains of a crashed or failed replacement of a file."""
    left = [left for left in (f"{name}.new", f"{name}.old") if _is_there(left, directory)]
    if not left:
        return
    os.fsync(directory)  # the rename before may not be durable yet, and then the old one must not go
    for each in left:
        if _same(each, name, directory):
            os.unlink(each, dir_fd=directory)  # a second name of the file that stays
        else:
            wipe_file(each, directory)


def wipe_file(name: str, directory: int) -> None:
    """Overwrite a file with zeros and remove it."""
    if stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
        fd = opened(name, os.O_RDWR | os.O_NOFOLLOW, within=directory)
        try:
            wipe(fd)
        finally:
            os.close(fd)
    os.unlink(name, dir_fd=directory)


def is_at(fd: int, name: str, directory: int) -> bool:
    """Return whether a name in a directory still means the file or directory that is open as `fd`."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(name, dir_fd=directory, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _keep(name: str, old: str, directory: int) -> int | None:
    """Open the file that is about to be replaced, and give it a second name.

    Replaced, it would only be unlinked: its bytes would stay on the disk. So we hold it and overwrite it
    afterwards (spec sections 3 and 6), which erases them where the file system writes in place. The second
    name is for a crash in between: by it the next writer finds the file and wipes it. A file system without
    hard links does without.
    """
    try:
        fd = open_file(name, directory, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        os.link(name, old, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
    except OSError as problem:
        if problem.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            os.close(fd)
            raise
    return fd


def _is_there(name: str, directory: int) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _same(one: str, other: str, directory: int) -> bool:
    if not _is_there(other, directory):
        return False
    stats = [os.stat(name, dir_fd=directory, follow_symlinks=False) for name in (one, other)]
    return os.path.samestat(*stats)


def _checked(fd: int, name: str, *, directory: bool) -> int:
    try:
        found = os.fstat(fd)
        if stat.S_ISDIR(found.st_mode) != directory or not (directory or stat.S_ISREG(found.st_mode)):
            raise RefusedError(name, "is no regular file", "name another one")
        if found.st_uid != os.geteuid():
            owner, user = user_name(found.st_uid), user_name(os.geteuid())
            # As the root of a volume in a pod, which its group may write.
            inside = directory and found.st_uid == 0 and found.st_mode & 0o2020 == 0o2020
            advice = "name a new directory in it" if inside else "run this as its owner"
            raise RefusedError(name, f"belongs to {owner}, not to {user}", advice)
        mode = stat.S_IMODE(found.st_mode)
        if mode & 0o077:
            right = "0700" if directory else "0600"
            raise RefusedError(name, f"is open to other users (mode {mode:04o})", f"run: chmod {right} {{}}")
    except BaseException:
        os.close(fd)
        raise
    return fd

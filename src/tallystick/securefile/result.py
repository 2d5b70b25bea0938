"""Results that go into a file, or to a descriptor such as standard output.

>>> import pathlib, tempfile
>>> with tempfile.TemporaryDirectory() as directory:
...     with new_file(f"{directory}/one.evidence", PRIVATE) as fd:
...         _ = os.write(fd, b"result")
...     pathlib.Path(f"{directory}/one.evidence").read_text()
'result'
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tallystick.errors import ReportError, reason
from tallystick.securefile.content import write_all
from tallystick.securefile.descriptors import opened
from tallystick.securefile.rights import PRIVATE, Rights
from tallystick.securefile.trouble import RefusedError, reporting
from tallystick.securefile.way import Way, is_open, walk

__all__ = ["PRIVATE", "new_file", "refuse_existing", "write_over"]

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


@contextmanager
def new_file(place: str | os.PathLike[str] | int, rights: Rights) -> Iterator[int]:
    """Give a descriptor of a new file, which is gone if the block fails; or the descriptor that was named.

    Args:
        place: A path that must not exist yet, or a descriptor.
        rights: Those of the file at most; the umask may take more.

    Raises:
        ReportError: The file exists, cannot be made, or cannot be written.
    """
    if isinstance(place, int):
        yield place
        return
    refuse_existing(place)
    path = os.fspath(place)
    with reporting(ReportError, path), walk(path) as way:
        fd = _made(way, rights, "name another place")
        try:
            yield fd
        except BaseException as error:
            with suppress(OSError):
                os.unlink(way.name, dir_fd=way.directory)
            if isinstance(error, OSError):
                raise ReportError(f"{path}: {reason(error)}", hint="make room there or name another place") from error
            raise
        finally:
            os.close(fd)


def write_over(path: str | os.PathLike[str], data: bytes, rights: Rights) -> None:
    """Write a file, new or in the place of its old content; or write to a pipe or a device.

    Args:
        path: Its path.
        data: Its content.
        rights: Those of a new file at most; the umask may take more. One that is there keeps its mode.

    Raises:
        ReportError: It cannot be made or written, or somebody else may have put it there.
    """
    path = os.fspath(path)
    with reporting(ReportError, path), walk(path) as way:
        fd = _made(way, rights, "name another place") if way.found is None else _existing(way)
        try:
            write_all(fd, data)
        except OSError as error:
            raise ReportError(f"{path}: {reason(error)}", hint="make room there or name another place") from error
        finally:
            os.close(fd)


def _made(way: Way, rights: Rights, hint: str) -> int:
    try:
        fd = opened(way.name, _NEW, rights.mode, way.directory)
    except OSError as error:
        raise ReportError(f"{way.path}: {reason(error)}", hint=hint) from error
    rights.narrow(fd)
    return fd


def _existing(way: Way) -> int:
    """Return a descriptor of a file, emptied; or of a pipe or a device."""
    assert way.found is not None
    if not stat.S_ISREG(way.found.st_mode):
        return opened(way.name, os.O_WRONLY | os.O_NOCTTY, within=way.directory)
    fd = opened(way.name, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY, within=way.directory)
    try:
        found = os.fstat(fd)
        if not os.path.samestat(found, way.found):
            raise RefusedError(way.path, "was exchanged while it was opened", "try again")
        if found.st_nlink > 1 and is_open(os.stat(way.directory)):
            raise RefusedError(
                way.path, "has another name, in a directory that others can write to", "name another file"
            )
        os.ftruncate(fd, 0)
    except BaseException:
        os.close(fd)
        raise
    return fd


def refuse_existing(place: str | os.PathLike[str] | int | None) -> None:
    """Refuse a path that exists, before long work for it begins.

    Raises:
        ReportError: It exists.
    """
    if not isinstance(place, int | None) and os.path.lexists(place):
        raise ReportError(f"{os.fspath(place)} exists already", hint="name a new file")

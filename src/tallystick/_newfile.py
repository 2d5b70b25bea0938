"""New files that hold what a command made: never over another file, and gone if the command fails.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as place:
...     with new_file(f"{place}/proof", 0o666) as file:
...         write(file, b"evidence")
...     os.path.getsize(f"{place}/proof")
8
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tallystick.errors import ReportError, reason

__all__ = ["new_file", "refuse_existing", "write"]

StrPath = str | os.PathLike[str]


@contextmanager
def new_file(place: StrPath | int, mode: int) -> Iterator[int]:
    """Give a descriptor of a new file, which is gone if the block fails; or the descriptor that was named.

    Raises:
        ReportError: The file exists, or cannot be made or written.
    """
    if isinstance(place, int):
        yield place
        return
    refuse_existing(place)
    path = os.fspath(place)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except OSError as error:
        raise ReportError(f"{path}: {reason(error)}", hint="name another place") from error
    try:
        yield fd
    except BaseException as error:
        with suppress(OSError):
            os.unlink(path)
        if isinstance(error, OSError):
            raise ReportError(f"{path}: {reason(error)}", hint="make room there or name another place") from error
        raise
    finally:
        os.close(fd)


def write(fd: int, data: bytes) -> None:
    """Write all of some bytes."""
    with memoryview(data) as view:
        at = 0
        while at < len(view):
            at += os.write(fd, view[at:])


def refuse_existing(place: StrPath | int | None) -> None:
    """Refuse to write over a file; a descriptor is written to as it is.

    Raises:
        ReportError: Something of that name exists.
    """
    if not isinstance(place, int | None) and os.path.lexists(place):
        raise ReportError(f"{os.fspath(place)} exists already", hint="name a new file")

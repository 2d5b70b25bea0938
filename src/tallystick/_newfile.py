"""Results that go into a new file, or to a descriptor such as standard output.

>>> import pathlib, tempfile
>>> with tempfile.TemporaryDirectory() as directory:
...     with new_file(f"{directory}/one.evidence", 0o600) as fd:
...         _ = os.write(fd, b"result")
...     pathlib.Path(f"{directory}/one.evidence").read_text()
'result'
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tallystick.errors import ReportError, reason

__all__ = ["new_file", "refuse_existing"]


@contextmanager
def new_file(place: str | os.PathLike[str] | int, mode: int) -> Iterator[int]:
    """Give a descriptor of a new file, which is gone if the block fails; or the descriptor that was named.

    Args:
        place: A path that must not exist yet, or a descriptor.
        mode: Permissions of the file, before the umask.

    Raises:
        ReportError: The file exists, cannot be made, or cannot be written.
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


def refuse_existing(place: str | os.PathLike[str] | int | None) -> None:
    """Refuse a path that exists, before long work for it begins.

    Raises:
        ReportError: It exists.
    """
    if not isinstance(place, int | None) and os.path.lexists(place):
        raise ReportError(f"{os.fspath(place)} exists already", hint="name a new file")

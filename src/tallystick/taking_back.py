"""Files and directories that are made for something, and taken back if it does not come about.

A command that fails leaves the world as it was. Only what was not there before is taken back, and only while nothing
else is in it: another process may have found it useful meanwhile.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as d:
...     try:
...         with directories(f"{d}/new/store"):
...             os.makedirs(f"{d}/new/store")
...             raise KeyboardInterrupt
...     except KeyboardInterrupt:
...         os.listdir(d)
[]
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tallystick.securefile import RefusedError, directory_of

__all__ = ["directories", "empty_file"]


@contextmanager
def directories(path: str | None) -> Iterator[None]:
    """Remove a directory and those above it if they were made in a block that fails, as far as they are empty.

    Args:
        path: The directory; None for nothing.
    """
    absent, above = [], None if path is None else os.path.abspath(path)
    while above is not None and not os.path.lexists(above):
        absent.append(above)
        above = os.path.dirname(above)
    try:
        yield
    except BaseException:
        with suppress(OSError, RefusedError):
            for each in absent:
                with directory_of(each) as (directory, name):
                    os.rmdir(name, dir_fd=directory)
        raise


@contextmanager
def empty_file(path: object) -> Iterator[None]:
    """Remove a file if it was made in a block that fails, and nothing was written to it.

    Args:
        path: Its path; nothing is done for anything else, such as a descriptor.
    """
    absent = isinstance(path, str | os.PathLike) and not os.path.lexists(path)
    try:
        yield
    except BaseException:
        if absent and isinstance(path, str | os.PathLike):
            with suppress(OSError, RefusedError), directory_of(os.path.abspath(path)) as (directory, name):
                found = os.stat(name, dir_fd=directory, follow_symlinks=False)
                if stat.S_ISREG(found.st_mode) and found.st_size == 0:
                    os.unlink(name, dir_fd=directory)
        raise

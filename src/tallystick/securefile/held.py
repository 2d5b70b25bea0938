"""A file by its path: its directory, walked to once and held open, and its name in it.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as path, directory_of(f"{path}/key") as (directory, name):
...     os.close(os.open(name, os.O_CREAT, dir_fd=directory))
...     sync_held(directory)
...     name, os.listdir(path)
('key', ['key'])
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from tallystick.securefile.descriptors import opened
from tallystick.securefile.trouble import RefusedError
from tallystick.securefile.way import walk

__all__ = ["directory_of", "naming", "sync_held"]


@contextmanager
def directory_of(path: str) -> Iterator[tuple[int, str]]:
    """Give a descriptor of the directory of a file, open for as long as the block, and the file's name in it.

    Args:
        path: The path. Links on the way are followed, but none that a stranger put there; its last name is none.

    Raises:
        RefusedError: A link on the way may be a stranger's.
        OSError: A directory on it is not there, or cannot be entered.
    """
    with walk(path, through_last=False) as way:
        yield way.directory, way.name


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Let trouble with a name in a directory name the whole path that was walked to."""
    try:
        yield
    except RefusedError as refused:
        raise RefusedError(path, refused.what, refused.advice) from None
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), path) from None


def sync_held(directory: int) -> None:
    """Make the names in a directory durable."""
    fd = opened(".", os.O_RDONLY | os.O_DIRECTORY, within=directory)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

"""Descriptors 0, 1 and 2 are never files of ours (the rule that SQLite has, too).

Where they are closed when a program starts, the next file that is opened gets such a number, and what the program, or
a library, prints then goes into it.

>>> fd = opened(os.devnull, os.O_RDONLY)
>>> fd > 2, os.get_inheritable(fd), os.close(fd)
(True, False, None)
"""

import os
from contextlib import suppress

__all__ = ["hold_standard", "names", "opened"]


def opened(name: str | os.PathLike[str], flags: int, mode: int = 0o600, within: int | None = None) -> int:
    """Open a file that child processes do not inherit; its number is above 2.

    Args:
        name: Its name.
        flags: As for `os.open`.
        mode: Permissions of a new file, before the umask.
        within: Descriptor of the directory that the name is relative to.

    Raises:
        OSError: It cannot be opened.
    """
    fd = os.open(name, flags | os.O_CLOEXEC, mode, dir_fd=within)
    low: list[int] = []
    try:
        while fd <= 2:
            low.append(fd)
            fd = os.dup(fd)  # the lowest number that is free
    finally:
        for each in low:
            os.close(each)
        if low:
            hold_standard()
    return fd


def names(directory: int) -> list[str]:
    """Return the names in a directory, also while others list it.

    It is opened again: copies of a descriptor, those of threads and of forked children, share how far a listing has
    come, so two that list at once would each miss what the other one was given.

    Args:
        directory: Its descriptor.

    Raises:
        OSError: It cannot be listed, or not any more.
    """
    fd = opened(".", os.O_RDONLY | os.O_DIRECTORY, within=directory)
    try:
        return os.listdir(fd)
    finally:
        os.close(fd)


def hold_standard() -> None:
    """Put the null device where a standard descriptor is closed, so that reading or writing it still fails."""
    for fd, mode in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_RDONLY)):
        try:
            os.fstat(fd)
        except OSError:
            with suppress(OSError):  # no device: then only `opened` holds the rule
                got = os.open(os.devnull, mode | os.O_CLOEXEC)  # the lowest number that is free
                if got > 2:  # another thread was quicker
                    os.close(got)

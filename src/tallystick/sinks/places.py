"""What the name of an output means: resolved once, when it is opened.

From then on a change of the working directory, or of a link on the way, changes nothing: it is the file that was meant
that is reopened and rotated, and never a link to it.

>>> resolved("/dev/stdout"), resolved("/dev/fd/7"), resolved("/dev/../dev/null")
(1, 7, '/dev/null')
"""

import os
import re

__all__ = ["is_borrowed", "is_output", "printable", "resolved"]

_LINKS = 40  # links that a path may lead over, as for the operating system
_DESCRIPTOR = re.compile(r"(?:/proc/([0-9]+)(?:/task/[0-9]+)?|/dev)/fd/([0-9]+)")


def resolved(path: str | os.PathLike[str]) -> str | int:
    """Return what a name means now, whatever the working directory and links are later.

    The entries of /proc/PID/fd are no links that lead to a path: they are the open files themselves, which may be
    pipes, sockets or files without a name. Those of this process, such as /dev/stdout, are descriptors.

    Args:
        path: The name; nothing need be there.

    Returns:
        An absolute path without links; or a descriptor of this process, if the name is that of one.

    Raises:
        OSError: Links lead in a circle, or there is no working directory.
    """
    at = os.path.join(os.getcwd(), os.fspath(path))
    for _ in range(_LINKS):
        directory, name = os.path.split(at)
        if name in ("", ".", ".."):
            return os.path.realpath(at)
        at = os.path.join(os.path.realpath(directory), name)
        if found := _DESCRIPTOR.fullmatch(at):
            return int(found[2]) if found[1] in (None, _ourselves()) else at
        if not os.path.islink(at):
            return at
        at = os.path.join(os.path.dirname(at), os.readlink(at))
    raise OSError(40, os.strerror(40), os.fspath(path))  # ELOOP


def is_output(path: str | os.PathLike[str], descriptor: int) -> bool:
    """Does a name mean a descriptor of this process, such as that of standard output?"""
    try:
        return resolved(path) == descriptor
    except OSError:
        return False


def is_borrowed(path: str) -> bool:
    """Is a resolved path that of a file which another process has open? Its name is not ours to rename."""
    return _DESCRIPTOR.fullmatch(path) is not None


def printable(name: str) -> str:
    """Return a name as it can stand in one line of text, whatever bytes it has.

    >>> printable("audit.log"), printable("a\\nb\\udcff")
    ('audit.log', 'a\\\\nb\\\\udcff')
    """
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in name)


def _ourselves() -> str:
    """Return the number of this process as /proc has it, which may be that of another namespace."""
    try:
        return os.readlink("/proc/self")
    except OSError:
        return ""

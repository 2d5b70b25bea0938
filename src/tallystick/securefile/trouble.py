"""What is wrong with a file or directory, in words for people.

>>> with reporting(TallystickError, "/srv/store"):
...     raise RefusedError("state", "is no regular file", "name another one")
Traceback (most recent call last):
    ...
tallystick.errors.TallystickError: /srv/store/state is no regular file
hint: name another one
"""

import errno
import os
import shlex
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from tallystick.errors import KeyStoreError, NoRoomError, TallystickError, explain, reason

__all__ = ["RefusedError", "in_words", "no_link", "reporting", "user_name"]

_ADVICE = {
    errno.EACCES: "run this as the owner",
    errno.EPERM: "run this as the owner",
    errno.EROFS: "mount it writable or choose another place",
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there",
    errno.EFBIG: "raise the limit of the size of files (ulimit -f)",
    errno.ENAMETOOLONG: "take a shorter name",
    errno.ENOENT: "restore it or name another place",
    errno.ENOTDIR: "name a directory",
    errno.EISDIR: "name a file",
}


class RefusedError(Exception):
    """A file or directory that is there but must not be used."""

    def __init__(self, name: str, what: str, advice: str) -> None:
        """Take its name, what is wrong, and what to do; `{}` in the advice stands for its path."""
        super().__init__(name, what, advice)
        self.name, self.what, self.advice = name, what, advice


def in_words(error: Exception) -> str:
    """Return what is wrong with a file, to follow its name and a colon.

    >>> in_words(RefusedError("state", "is no file", "name another one")), in_words(OSError(28, "No space left"))
    ('it is no file', 'no space left')
    """
    if isinstance(error, RefusedError):
        return f"it {error.what}"
    return reason(error) if isinstance(error, OSError) else explain(error)


@contextmanager
def reporting(error: type[TallystickError], base: str) -> Iterator[None]:
    """Turn trouble in a block into an error that names the path and says what to do.

    Args:
        error: The class of the error.
        base: The path of the directory to which the names of files in the block are relative.
    """
    try:
        yield
    except RefusedError as problem:
        where = os.path.join(base, problem.name)
        raise error(f"{where} {problem.what}", hint=problem.advice.format(shlex.quote(where))) from None
    except OSError as problem:
        what = reason(problem)
        advice = _ADVICE.get(problem.errno or 0, "look into the system's log")
        where = os.path.join(base, problem.filename) if isinstance(problem.filename, str) else base
        if error is KeyStoreError and problem.errno in (errno.ENOSPC, errno.EDQUOT):
            error = NoRoomError
        raise error(f"{where}: {what}", hint=advice) from problem


@contextmanager
def no_link(name: str, within: int | None) -> Iterator[None]:
    """Say of a link that it is one, where opening it failed."""
    try:
        yield
    except OSError as problem:
        # Linux says ELOOP for a file and ENOTDIR for a directory.
        if problem.errno in (errno.ELOOP, errno.ENOTDIR) and stat.S_ISLNK(
            os.stat(name, dir_fd=within, follow_symlinks=False).st_mode
        ):
            raise RefusedError(name, "is a symbolic link", "name what it leads to") from None
        raise


def user_name(uid: int, written: str | None = None) -> str:
    """Return the name of a user; where it has none, what is written instead, or `uid N`."""
    try:
        import pwd  # some systems have no users of this kind

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return written or f"uid {uid}"

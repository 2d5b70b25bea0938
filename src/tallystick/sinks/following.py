"""What others did to a file that is written: renamed it, removed it, took it away with its server.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as directory, open(f"{directory}/out", "w") as file:
...     known = Whereabouts(file.fileno(), "standard output")
...     before = known.look(status(file.fileno()))
...     os.rename(f"{directory}/out", f"{directory}/out.1")
...     before, known.look(status(file.fileno()))[0].replace(directory, "")
([], 'standard output (/out) was renamed to /out.1 while it was written: lines go on there; name it with -o to have it followed')
"""  # noqa: E501

import errno
import os

from tallystick.errors import OutputError
from tallystick.sinks.places import printable

__all__ = ["LOST", "Whereabouts", "is_at", "is_stale", "status"]

LOST = "was removed while it was written: lines that no copy has are lost"
"""What becomes of lines in a file without a name."""


class Whereabouts:
    """Where a file is that others opened and gave us, such as the standard output of a service.

    Nobody reopens it: what opened it chose its name and its rights. So what happens to it is only reported.

    Args:
        fd: Its descriptor.
        name: What messages call it.
    """

    def __init__(self, fd: int, name: str) -> None:
        self._fd, self._name = fd, name
        found = status(fd)
        self._was_linked = found is not None and found.st_nlink > 0  # a temporary file may never have had a name
        self._path = self._current() if self._was_linked else None

    @property
    def place(self) -> str:
        """Its path as far as it is known, else what messages call it."""
        return self._path or self._name

    def look(self, found: os.stat_result | None) -> list[str]:
        """Return notices of what happened to it since the last look.

        Args:
            found: Its status now, from `status`.
        """
        if not self._was_linked:
            return []
        called = f"{self._name} ({printable(self._path)})" if self._path else self._name
        if found is None or not found.st_nlink:
            self._was_linked = False
            return [f"{called} {LOST}, and so are those that follow; start again, and name the file with -o"]
        if self._path is None or is_at(self._path, found):
            return []
        self._path = self._current()
        if self._path is None:
            return [f"{called} lost this name while it was written: lines go on in the same file, by another name"]
        where = f"was renamed to {printable(self._path)} while it was written: lines go on there"
        return [f"{called} {where}; name it with -o to have it followed"]

    def _current(self) -> str | None:
        """Return its path as the operating system knows it, None where that leads elsewhere."""
        try:
            path = os.readlink(f"/proc/self/fd/{self._fd}")
            return path if is_at(path, os.fstat(self._fd)) else None
        except OSError:
            return None


def status(fd: int) -> os.stat_result | None:
    """Return the status of an open file; None if its server has it no longer."""
    try:
        return os.fstat(fd)
    except OSError as error:
        if error.errno == errno.ESTALE:
            return None
        raise OutputError(f"the output cannot be looked at: {error.strerror}") from error


def is_at(path: str, found: os.stat_result) -> bool:
    """Does a path mean the file with this status?"""
    try:
        return os.path.samestat(os.stat(path), found)
    except OSError:
        return False


def is_stale(error: BaseException) -> bool:
    """Was a line not taken because the server of its file has that no longer?"""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ESTALE

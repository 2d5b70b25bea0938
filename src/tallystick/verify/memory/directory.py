"""The directory in which records are kept: its user's own, and nobody else's (as pins, spec section 1).

Records are read without a lock: each is replaced by renaming another into its place, so a run sees the old one or the
new one. Those that write take turns.
"""

import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress

from tallystick import securefile
from tallystick.errors import ReportError

__all__ = ["Directory"]

_RECORD = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}(?:-[0-9a-f]{16}|\.pack)")
_MOST = 2**30  # bytes of a record
_UNUSED = 30 * 86400  # seconds for which a record is kept that no run has a use for
_NOTED = 86400  # seconds after which its use is noted again


class Directory:
    """A directory of records."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Take its path; it is made if it is not there.

        Raises:
            ReportError: It cannot be made or read, or other users have a right to it.
        """
        self._path = os.path.abspath(path)
        self._held: int | None = None  # a descriptor, while many are read
        self._block: ExitStack | None = None
        with securefile.reporting(ReportError, self._path):
            securefile.make_directories(self._path)
        with self._opened() as fd:
            self.names = set(filter(_RECORD.fullmatch, securefile.names(fd)))

    def where(self, name: str) -> str:
        """Return the path of a record."""
        return os.path.join(self._path, name)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Keep the directory open in the block once a record was read, for there may be many."""
        with ExitStack() as block:
            self._block = block
            try:
                yield
            finally:
                self._block = self._held = None

    def read(self, name: str) -> bytearray | None:
        """Return a record; None if it has gone.

        Raises:
            ReportError: It cannot be read, or somebody else can change it.
        """
        if self._block is not None and self._held is None:
            self._held = self._block.enter_context(self._opened())
        with (
            self._opened() if self._held is None else nullcontext(self._held) as fd,
            securefile.reporting(ReportError, self._path),
            suppress(FileNotFoundError),
        ):
            return securefile.read_file(name, fd, bytearray, limit=_MOST)
        return None

    def keep(self, records: Mapping[str, bytes], used: Iterable[str], damaged: Iterable[str]) -> None:
        """Put records and packs in their places, durably, and remove those that nobody has a use for.

        Args:
            records: What is kept, by name.
            used: Names of records that were of use.
            damaged: Names of those that were none.

        Raises:
            ReportError: The directory cannot be written.
        """
        with self._opened() as fd:
            securefile.lock(fd)
            for name, data in records.items():
                securefile.exchange_file(name, data, fd)
            if records:
                os.fsync(fd)
            for name in damaged:  # others may stand for them
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=fd)
            _remove_unused(fd, set(used) | set(records))
        self.names = (self.names - set(damaged)) | set(records)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        with securefile.reporting(ReportError, self._path):
            fd = securefile.open_path(self._path)
            try:
                yield fd
            finally:
                os.close(fd)


def _remove_unused(directory: int, used: set[str]) -> None:
    """Note which records are of use, and remove those that have been of none for long."""
    now = time.time()
    for name in filter(_RECORD.fullmatch, securefile.names(directory)):  # what else is there is not ours
        with suppress(FileNotFoundError):
            age = now - os.stat(name, dir_fd=directory, follow_symlinks=False).st_mtime
            if name in used and age > _NOTED:
                os.utime(name, dir_fd=directory, follow_symlinks=False)
            elif name not in used and age > _UNUSED:
                os.unlink(name, dir_fd=directory)

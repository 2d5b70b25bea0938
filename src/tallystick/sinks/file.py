"""Lines to a regular file, which others may rename, cut or remove meanwhile, and which the writer may rotate.

>>> import pathlib, tempfile
>>> with tempfile.TemporaryDirectory() as directory:
...     path = os.path.join(directory, "audit.log")
...     sink = FileSink(open_file(path), path, path)
...     sink.output.put(b"one line\\n")
...     sink.push()
...     os.rename(path, path + ".1")
...     sink.look(reopen=False)
...     sink.close()
...     sorted((each.name, each.stat().st_size) for each in pathlib.Path(directory).iterdir())
[]
[('audit.log', 0), ('audit.log.1', 9)]
"""

import errno
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from tallystick import _core, _private
from tallystick.errors import OutputError, SealError, reason
from tallystick.sinks.base import Descriptor, advice, now
from tallystick.sinks.rotation import Archive, Rotation

__all__ = ["FileSink", "open_file"]

_BLOCK = 2**20  # bytes
_BESIDE = 5  # files beside the one that is written, whose ends are looked at when it is opened


class FileSink(Descriptor):
    """A regular file, appended to.

    Args:
        fd: Its descriptor, which is the sink's from now on.
        name: What messages call it.
        path: Its path, if the file is to be reopened when that names another file, or none any more.
        rotation: When to begin a new file; takes a path.
        on_trouble: Called when a rotated file cannot be compressed.
    """

    def __init__(
        self,
        fd: int,
        name: str,
        path: str | None = None,
        rotation: Rotation | None = None,
        on_trouble: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(fd, name)
        self._path = path
        self._switching = threading.Lock()
        self._rotation = rotation if path is not None else None
        self._archive = Archive(path or name, self._rotation, on_trouble) if self._rotation else None
        if path is not None:  # an earlier writer may have rotated, if this one does not
            (self._archive or Archive(path, Rotation())).clear()
        self._not_before = 0.0
        self._before = 0
        self._begin(fd)
        if self._archive:
            self._archive.compress()

    @property
    def repaired(self) -> bool:
        """Did the file end within a line, which gets its line end before the next one?"""
        return self._repaired

    @property
    def length(self) -> int:
        """Bytes that the file has now."""
        return os.fstat(self._fd).st_size

    def contents(self) -> Iterator[bytes]:
        """Give what the file held when it was opened, in blocks, with the line end that it gets if it has none.

        Raises:
            OSError: It cannot be read, or has become shorter.
        """
        offset = 0
        while offset < self._before:
            data = os.pread(self._fd, min(_BLOCK, self._before - offset), offset)
            if not data:
                raise OSError(errno.EIO, "it became shorter")
            yield data
            offset += len(data)
        if self._repaired:
            yield b"\n"

    def look(self, *, reopen: bool) -> list[str]:
        """See whether the file was cut, moved or removed; go on in the one that its path names."""
        notices = []
        found = os.fstat(self._fd)
        expected = self._before + self.output.written
        if found.st_size < expected:
            notices.append(
                f"{self.name} was cut from {expected} to {found.st_size} bytes while it was written: lines that no "
                "copy has are lost; let it be renamed instead (logrotate: create, not copytruncate)"
            )
            self._before = found.st_size - self.output.written
        if self._path is not None and (reopen or not _is_at(self._path, found)):
            if not found.st_nlink:
                notices.append(f"{self.name} was removed while it was written: lines that no copy has are lost")
            with self._switching:
                self._sync()
                self._turn(open_file(self._path, regular=True))
        room = None
        if self._rotation and self._rotation.size is not None:
            room = max(0, self._rotation.size - self._before - self.output.written)
        self.output.looked_at(now(), room)
        return notices

    def due_in(self) -> float | None:
        """Return after how many seconds a new file is due; a file without lines never is."""
        size = self._before + self.output.written
        if self._rotation is None or not size:
            return None
        wait = self._not_before - time.monotonic()
        if self._rotation.size is not None and size >= self._rotation.size:
            return max(0.0, wait)
        if self._rotation.age is None:
            return None
        return max(0.0, wait, self._born + self._rotation.age - time.monotonic())

    def rotate(self, chain: int) -> list[str]:
        """Give the file its name for good, begin a new one, and remove those that are too old."""
        if self._archive is None or self._path is None:
            return []
        with self._switching:
            self._sync()
            first = _first_claim(self._fd)
            try:
                os.rename(self._path, self._archive.name_for(first[0] if first else chain))
                self._turn(open_file(self._path, regular=True))
            except (OSError, SealError) as error:
                self._not_before = time.monotonic() + 10
                said = reason(error) if isinstance(error, OSError) else str(error)
                raise OutputError(f"{self.name} could not be rotated: {said}; lines go on in the old file") from error
        removed = self._archive.prune()
        self._archive.compress()
        return [f"{os.path.basename(path)} was removed, as one too many of the rotated files" for path in removed]

    def sync(self) -> None:
        """Return when the lines are on the disk."""
        with self._switching:
            self._sync()

    def drain(self, within: float) -> None:
        """Return when the lines are on the disk; another sync that hangs is not waited for longer than that."""
        if not self._switching.acquire(timeout=within):
            raise SealError(f"{self.name}: the disk does not answer; the lines may not be on the disk")
        try:
            self._sync()
        finally:
            self._switching.release()

    def tail(self) -> Iterator[bytes]:
        """Give lines from the end on; those of the newest files beside this one follow."""
        yield from _lines_backwards(self._fd)
        for path in self._beside():
            with suppress(OSError):
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
                try:
                    yield from _lines_backwards(fd)
                finally:
                    os.close(fd)

    def newest_chain(self, log_id: str) -> int:
        """Return the highest chain of a log with which one of the newest rotated files begins, or 0."""
        for beginning in self._archive.beginnings() if self._archive else ():
            claim = _core.first_opening(beginning)
            if claim and claim[0] == log_id:
                return claim[1]
        return 0

    def close(self) -> None:
        """Close the file; compression is waited for, for a while."""
        if self._archive:
            self._archive.finish()
        super().close()

    def _beside(self) -> list[str]:
        """Return what rotation left of the log in plain text, the newest first."""
        if self._path is None:
            return []
        directory, base = os.path.split(os.path.abspath(self._path))
        found = []
        with suppress(OSError), os.scandir(directory) as entries:
            for entry in entries:
                named = entry.name.startswith((f"{base}.", f"{base}-")) and not entry.name.endswith(
                    (".gz", ".zst", ".xz", ".bz2")
                )
                if named and entry.is_file(follow_symlinks=False):
                    found.append((entry.stat(follow_symlinks=False).st_mtime_ns, entry.path))
        return [path for _, path in sorted(found, reverse=True)[:_BESIDE]]

    def _sync(self) -> None:
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            raise SealError(f"{self.name}: {reason(error)}; the lines may not be on the disk") from error

    def _turn(self, fd: int) -> None:
        self.output.turn(fd)
        old, self._fd = self._fd, fd
        os.close(old)
        self._begin(fd)

    def _begin(self, fd: int) -> None:
        self._before = os.fstat(fd).st_size
        self._repaired = bool(self._before) and os.pread(fd, 1, self._before - 1) != b"\n"
        if self._repaired:
            # A file that does not end in LF gets one before `open` (spec section 6).
            self.output.put(b"\n")
        self._born = time.monotonic()
        if self._rotation and self._before and (first := _first_claim(fd)):
            # By the clock once; from here on by one that does not jump.
            self._born -= max(0.0, time.time() - first[1])


def open_file(path: str, *, regular: bool = False) -> int:
    """Open a path for appending, and make the file if it is not there.

    Args:
        path: The path.
        regular: Refuse anything but a regular file; else a pipe or a terminal is opened for writing.

    Raises:
        OutputError: It cannot be opened, and `regular` is set: it may work later.
        SealError: It cannot be opened.
    """
    # Readable too: the end of the file says whether it is older than the key store, or cut within a line.
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
    try:
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(os.stat(path).st_mode):
                if regular:
                    raise OutputError(f"{path} is no file any more", hint="put a file in its place")
                return os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY)
            return os.open(path, flags, 0o640)
        fd = os.open(path, flags, 0o640)
        # A head counts lines of a new file only where the file's name is as safe as they are.
        with suppress(OSError):
            _private.sync_directory(os.path.dirname(path) or ".")
        return fd
    except OSError as error:
        kind = OutputError if regular else SealError
        raise kind(f"{path}: {reason(error)}; {advice(error)}") from error


def _is_at(path: str, found: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path), found)
    except OSError:
        return False


def _first_claim(fd: int) -> tuple[int, float] | None:
    """Return number and claimed time, in seconds since 1970, of the first chain that begins in a file."""
    claim = _core.first_opening(os.pread(fd, 65_536, 0))
    return (claim[1], claim[2] / 1000) if claim else None


def _lines_backwards(fd: int) -> Iterator[bytes]:
    end, rest = os.fstat(fd).st_size, b""
    first = True
    while end > 0:
        start = max(0, end - 65_536)
        lines = (os.pread(fd, end - start, start) + rest).split(b"\n")
        first = False
        yield from reversed(lines[1:])  # what stands before the first LF may begin earlier
        rest, end = lines[0], start
        if len(rest) > 2**25:
            return
    if rest and not first:
        yield rest

"""Where sealed lines go: a file, a stream such as a pipe, or whoever calls for them.

A sink never loses the place of a line: what the operating system did not take stays in its `output` and goes first, so
an index is bound to its bytes (spec section 6).

>>> import pathlib, tempfile
>>> with tempfile.TemporaryDirectory() as directory:
...     sink = open_sink(os.path.join(directory, "audit.log"))
...     sink.output.put(b"one line\\n")
...     sink.push()
...     sink.sync()
...     sink.close()
...     pathlib.Path(directory, "audit.log").read_bytes()
b'one line\\n'
"""

import errno
import fcntl
import os
import stat
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Protocol

from tallystick import _core, _private
from tallystick.errors import OutputError, SealError, reason
from tallystick.rotation import Archive, Rotation

__all__ = ["CallSink", "FileSink", "Sink", "StreamSink", "now", "open_sink"]

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
_BESIDE = 5  # files beside the one that is written, whose ends are looked at when it is opened


def now() -> int:
    """Return the time as statements claim it: ms since 1970."""
    return max(0, min(time.time_ns() // 1_000_000, 2**53 - 1))


class Sink(Protocol):
    """Takes sealed lines in the order in which they were sealed."""

    name: str
    output: _core.Output

    def push(self) -> None:
        """Hand over what the output keeps, all of it.

        Raises:
            OutputError: It was not taken now; it stays, and may be taken later.
            SealError: It was not taken, and never will be.
        """
        ...

    def look(self, *, anew: bool) -> list[str]:
        """See what others did to the output, before the next line; open it again by its name if `anew` or moved.

        Returns:
            What the log has to say about that.

        Raises:
            OutputError: Lines have nowhere to go now.
            SealError: Lines that were written cannot be made safe.
        """
        ...

    def due_in(self) -> float | None:
        """Return after how many seconds it is time for `rotate`, or None."""
        ...

    def rotate(self, chain: int) -> list[str]:
        """Begin a new file; `chain` is the newest whose lines are in the old one, and it is closed.

        Returns:
            What the log has to say about that.

        Raises:
            OutputError: There is no new file; lines go on in the old one.
            SealError: Lines that were written cannot be made safe.
        """
        ...

    def sync(self) -> None:
        """Return when what was written is as safe as this kind of sink can make it; a head may count it then.

        Raises:
            SealError: It cannot be made safe.
        """
        ...

    def drain(self) -> None:
        """The same, right before the writer leaves.

        Raises:
            SealError: It cannot be made safe.
        """
        ...

    def tail(self) -> Iterator[bytes]:
        """Give the lines that are there already, the last one first; lines at ends of files may not be whole."""
        ...

    def newest_chain(self, log_id: str) -> int:
        """Return the highest chain of a log with which one of the newest rotated files begins, or 0."""
        ...

    def close(self) -> None:
        """Let go of the file. What could not be written is lost with it."""
        ...


class _Plain:
    """What sinks do that nobody rotates."""

    output: _core.Output

    def look(self, *, anew: bool) -> list[str]:
        self.output.looked_at(now())
        return []

    def due_in(self) -> float | None:
        return None

    def rotate(self, chain: int) -> list[str]:
        return []

    def newest_chain(self, log_id: str) -> int:
        return 0

    def tail(self) -> Iterator[bytes]:
        return iter(())


class _Descriptor:
    """Bytes to a file descriptor, with nothing lost on the way."""

    _returns = False  # may its reader come back?

    def __init__(self, fd: int, name: str) -> None:
        self.name = name
        self._fd = fd
        self.output = _core.Output(fd)

    def push(self) -> None:
        while number := self.output.push():
            if number == errno.EAGAIN:
                os.set_blocking(self._fd, True)
            elif number != errno.EINTR:
                error = OSError(number, os.strerror(number))
                for_now = number in _FULL or (number == errno.EPIPE and self._returns)
                kind = OutputError if for_now else SealError
                raise kind(f"{self.name}: {reason(error)}; {_advice(error)}") from error

    def close(self) -> None:
        self.output.close()
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class FileSink(_Descriptor):
    """A regular file, appended to.

    Args:
        fd: Its descriptor, which is the sink's from now on.
        name: What messages call it.
        path: Its path, if it shall be opened anew when that means another file, or none any more.
        rotation: When to begin a new file; takes a path.
        on_trouble: Told when a rotated file cannot be compressed.
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

    def look(self, *, anew: bool) -> list[str]:
        """See whether the file was cut, moved or removed; go on in the one that its path means."""
        told = []
        found = os.fstat(self._fd)
        expected = self._before + self.output.written
        if found.st_size < expected:
            told.append(
                f"{self.name} was cut from {expected} to {found.st_size} bytes while it was written: lines that no "
                "copy has are lost; let it be renamed instead (logrotate: create, not copytruncate)"
            )
            self._before = found.st_size - self.output.written
        if self._path is not None and (anew or not _is_at(self._path, found)):
            if not found.st_nlink:
                told.append(f"{self.name} was removed while it was written: lines that no copy has are lost")
            with self._switching:
                self._sync()
                self._turn(_open(self._path, regular=True))
        room = None
        if self._rotation and self._rotation.size is not None:
            room = max(0, self._rotation.size - self._before - self.output.written)
        self.output.looked_at(now(), room)
        return told

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
                self._turn(_open(self._path, regular=True))
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

    drain = sync

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
        """Let go of the file; compression is waited for, for a while."""
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


class StreamSink(_Plain, _Descriptor):
    """A pipe, a socket or a terminal: nobody can sync it, so the head follows one interval behind.

    Args:
        fd: Its descriptor, which is the sink's from now on.
        name: What messages call it.
        returns: May its reader come back, as that of a named pipe may?
    """

    INTERVAL = 0.5  # seconds

    def __init__(self, fd: int, name: str, *, returns: bool = False) -> None:
        super().__init__(fd, name)
        self._returns = returns
        self._draining = threading.Event()

    def sync(self) -> None:
        """Wait for an interval."""
        self._draining.wait(self.INTERVAL)

    def drain(self) -> None:
        """Wait until the reader of a pipe has taken all, for an interval at most."""
        # Whoever waits in `sync` has nothing left to wait for.
        self._draining.set()
        deadline = time.monotonic() + self.INTERVAL
        while time.monotonic() < deadline and self._waiting():
            time.sleep(0.002)
        self._draining.clear()

    def _waiting(self) -> bool:
        """Has the reader of a pipe yet to take what was written?"""
        if not stat.S_ISFIFO(os.fstat(self._fd).st_mode):
            return False
        count: int = struct.unpack("i", fcntl.ioctl(self._fd, termios.FIONREAD, bytes(4)))[0]
        return count > 0


class CallSink(_Plain):
    """Whoever takes sealed bytes by a call: whole lines, one or more at a time.

    Args:
        take: Called with them; what it raises means that it did not take them, and they are offered again.
    """

    name = "the output"

    def __init__(self, take: Callable[[bytes], object]) -> None:
        self._take = take
        self.output = _core.Output()
        self._left = threading.Event()

    def push(self) -> None:
        """Offer what is kept."""
        if data := self.output.peek():
            try:
                self._take(data)
            except Exception as error:
                raise OutputError(f"{self.name} did not take lines: {str(error) or type(error).__name__}") from error
            self.output.drop(len(data))

    def sync(self) -> None:
        """Wait for an interval, as for a stream."""
        self._left.wait(StreamSink.INTERVAL)

    def drain(self) -> None:
        """Whoever was called has the lines."""
        self._left.set()

    def close(self) -> None:
        """Nothing is held."""


def open_sink(
    output: str | os.PathLike[str] | int | Callable[[bytes], object],
    rotation: Rotation | None = None,
    on_trouble: Callable[[str], None] | None = None,
) -> Sink:
    """Open where sealed lines go.

    Args:
        output: A path, which is appended to and made if it is not there; or an open file descriptor, which stays
            the caller's to close; or what is called with sealed bytes.
        rotation: When a new file is begun; takes the path of a file.
        on_trouble: Told when a rotated file cannot be compressed.

    Raises:
        SealError: It cannot be written, or not rotated.
    """
    sink: Sink
    path = None
    if isinstance(output, int):
        name = "standard output" if output == 1 else f"file descriptor {output}"
        fd = _copy(output, name)
    elif callable(output):
        fd, name = -1, CallSink.name
    else:
        name = path = os.fspath(output)
        fd = _open(name)
    if fd >= 0 and stat.S_ISREG(os.fstat(fd).st_mode) and (path is not None or rotation is None):
        return FileSink(fd, name, path, rotation, on_trouble)
    if rotation is not None:
        if fd >= 0:
            os.close(fd)
        raise SealError(f"{name} cannot be rotated; name a file, or leave rotation to whoever takes the lines")
    if not isinstance(output, int) and callable(output):
        sink = CallSink(output)
    else:
        sink = StreamSink(fd, name, returns=path is not None and stat.S_ISFIFO(os.fstat(fd).st_mode))
    return sink


def _open(path: str, *, regular: bool = False) -> int:
    # Readable too: the end of the file says whether it is older than the key store, or cut within a line.
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
    try:
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(os.stat(path).st_mode):
                if regular:
                    raise OutputError(f"{path} is no file any more; put a file in its place")
                return os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY)
            return os.open(path, flags, 0o640)
        fd = os.open(path, flags, 0o640)
        # A head counts lines of a new file only where the file's name is as safe as they are.
        with suppress(OSError):
            _private.sync_directory(os.path.dirname(path) or ".")
        return fd
    except OSError as error:
        kind = OutputError if regular else SealError
        raise kind(f"{path}: {reason(error)}; {_advice(error)}") from error


def _copy(fd: int, name: str) -> int:
    try:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            # Descriptors of a shell's redirection may be write-only or without append: both are needed here.
            return os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        return os.dup(fd)
    except OSError as error:
        raise SealError(f"{name}: {reason(error)}; {_advice(error)}") from error


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


def _advice(error: OSError) -> str:
    return {
        errno.ENOSPC: "make room there",
        errno.EDQUOT: "make room there",
        errno.EFBIG: "raise the limit of the size of files (ulimit -f)",
        errno.EROFS: "choose a place that can be written",
        errno.EACCES: "choose a place that can be written",
        errno.EISDIR: "name a file",
        errno.ENOENT: "make its directory first",
        errno.ENOTDIR: "name a place in a directory",
        errno.EPIPE: "the reader is gone",
    }.get(error.errno or 0, "look into the system's log")

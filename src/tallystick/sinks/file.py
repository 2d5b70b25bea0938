"""Lines to a regular file, which others may rename, cut or remove meanwhile, and which the writer may rotate.

>>> import pathlib, tempfile
>>> with tempfile.TemporaryDirectory() as directory:
...     path = os.path.join(directory, "audit.log")
...     place = Place.of(path)
...     sink = FileSink(place.begin(), path, place)
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

from tallystick import _core
from tallystick.errors import OutputError, SealError, reason
from tallystick.securefile import Place, RefusedError, keep_rights, opened
from tallystick.sinks.base import Descriptor, advice, now
from tallystick.sinks.following import LOST, Whereabouts, is_stale, status
from tallystick.sinks.places import printable
from tallystick.sinks.rotation import Archive, Rotation
from tallystick.sinks.shipping import Shipped
from tallystick.sinks.tail import blocks, lines_backwards, lines_of, read

__all__ = ["FileSink", "open_borrowed"]

_BESIDE = 5  # files beside the one that is written, whose ends are looked at when it is opened
_NEAR = 2**25  # bytes at the end of a file in which its last line with a seal is looked for
_AGAIN = 1.0  # seconds after which a file that could not be opened is tried again


class FileSink(Descriptor):
    """A regular file, appended to. It need not be readable.

    Args:
        fd: Its descriptor, which is the sink's from now on.
        name: What messages call it.
        place: Its place, if the file is to be reopened when that names another file, or none any more; it is the
            sink's from now on.
        rotation: When to begin a new file; takes a place.
        on_trouble: Called with what is wrong with rotated files.
    """

    def __init__(
        self,
        fd: int,
        name: str,
        place: Place | None = None,
        rotation: Rotation | None = None,
        on_trouble: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(fd, printable(name))
        self._place, self._on_trouble = place, on_trouble
        self._whereabouts = Whereabouts(fd, self.name)
        # Without a name from the first: there was no room for a file, and nothing that is written to it would stay.
        self._is_unmade = place is not None and os.fstat(fd).st_nlink == 0
        self._switching = threading.Lock()
        self._rotation = rotation if place is not None else None
        self._archive = Archive(place, self._rotation, on_trouble) if place and self._rotation else None
        if place is not None:
            self.returning = frozenset({errno.ESTALE})
            # An earlier writer may have rotated, if this one does not.
            (self._archive or Archive(place, Rotation())).clear()
        self._astray: str | None = None  # why the file that the path names now cannot be opened
        self._not_again_before = self._not_before = 0.0
        self._before = 0
        self._first: int | None = None
        self._begin(fd)
        if self._archive:
            self._archive.compress()
        self.kept_for, self._notices = self._rotation.lock if self._rotation else None, list[str]()
        self.shipped: Callable[[], list[Shipped]] = self._archive.shipped if self._archive else list

    @property
    def repaired(self) -> bool:
        """Did the file end within a line, which gets its line end before the next one?"""
        return self._repaired

    @property
    def place(self) -> str:
        """Where the file is, for people."""
        return self._place.path if self._place else self._whereabouts.place

    @property
    def length(self) -> int:
        """Bytes that the file has now."""
        return os.fstat(self._fd).st_size

    def contents(self) -> Iterator[bytes]:
        """Give what the file held when it was opened, in blocks, with the line end that it gets if it has none.

        Raises:
            OSError: It cannot be read, or has become shorter.
        """
        yield from blocks(self._fd, self._before)
        if self._repaired:
            yield b"\n"

    def push(self) -> None:
        """Hand over the pending bytes; see `Sink.push`."""
        try:
            super().push()
        except OutputError as error:
            if not is_stale(error):
                raise
            self._go_on_by_name(None, at_once=True)
            super().push()

    def look(self, *, reopen: bool) -> list[str]:
        """See whether the file was cut, moved or removed; go on in the one that its path names."""
        found = status(self._fd)
        if found is not None:
            self._look_for_cut(found)
        if self._place is None:
            self._notices += self._whereabouts.look(found)
        elif reopen or found is None or not self._place.is_at(self._fd):
            self._go_on_by_name(found, at_once=reopen)
        elif self._astray:
            self._astray = None
            self._notices.append(f"{self.name} is the file again that lines go to")
        room = None
        if self._rotation and self._rotation.size is not None and self._astray is None:
            room = max(0, self._rotation.size - self._before - self.output.written)
        self.output.looked_at(now(), room)
        notices, self._notices = self._notices, []
        return notices

    def _look_for_cut(self, found: os.stat_result) -> None:
        expected = self._before + self.output.written
        if found.st_size < expected:
            self._notices.append(
                f"{self.name} was cut from {expected} to {found.st_size} bytes while it was written: lines that no "
                "copy has are lost; let it be renamed instead (logrotate: create, not copytruncate)"
            )
            self._before = found.st_size - self.output.written

    def _go_on_by_name(self, found: os.stat_result | None, *, at_once: bool) -> None:
        """Go on in the file that the path names now; in the old one if that has a name and the new one has trouble.

        Args:
            found: The status of the old file; None if its server has it no longer.
            at_once: Even if it was tried a moment ago.

        Raises:
            OutputError: Lines would go to a file without a name.
            SealError: Lines in the old one cannot be made safe.
        """
        has_name = found is not None and found.st_nlink > 0
        if has_name and not at_once and time.monotonic() < self._not_again_before:
            return
        try:
            fd = self._reopened(like=None if found is None or self._is_unmade else self._fd)
        except OutputError as error:
            if not has_name:
                raise
            self._not_again_before = time.monotonic() + _AGAIN
            if str(error) != self._astray:
                self._astray = str(error)
                self._notices.append(f"{error}; lines go on in the old file until the new one can be opened")
            return
        with self._switching:
            try:
                if has_name:
                    self._sync()
            except BaseException:
                os.close(fd)
                raise
            self._turn(fd)
        if not has_name and not self._is_unmade:
            self._notices.append(f"{self.name} {LOST}")
        self._is_unmade = False
        if self._astray:
            self._astray = None
            self._notices.append(f"{self.name} was opened; lines until here are in the old file")

    def _reopened(self, like: int | None) -> int:
        """Return a descriptor of the file at the place, which is made if it is not there.

        Args:
            like: Descriptor of the file whose owner, group and mode a new one gets.

        Raises:
            OutputError: It cannot be opened, which may be over later.
        """
        assert self._place is not None
        try:
            self._place.renew()
            return self._place.append(like)
        except RefusedError as refused:
            raise OutputError(f"{self.name} {refused.what}", hint=refused.advice) from None
        except SealError as error:
            raise OutputError(str(error), hint=error.hint) from error
        except OSError as error:
            raise OutputError(f"{self.name}: {reason(error)}", hint=advice(error)) from error

    def due_in(self) -> float | None:
        """Return after how many seconds a new file is due; a file without lines never is."""
        size = self._before + self.output.written
        if self._rotation is None or not size or self._astray is not None:
            return None
        wait = self._not_before - time.monotonic()
        if self._rotation.size is not None and size >= self._rotation.size:
            return max(0.0, wait)
        if self._rotation.age is None:
            return None
        return max(0.0, wait, self._born + self._rotation.age - time.monotonic())

    def rotate(self, chain: int) -> list[str]:
        """Give the file its name for good, begin a new one, and remove those that are too old."""
        if self._archive is None or self._place is None:
            return []
        with self._switching:
            self._sync()
            first = _first_claim(self._fd)
            number = first[0] if first else self._first or chain
            try:
                self._turn(self._replaced(self._place, os.path.basename(self._archive.name_for(number))))
            except (OSError, SealError) as error:
                self._not_before = time.monotonic() + 10
                said = reason(error) if isinstance(error, OSError) else str(error)
                raise OutputError(f"{self.name} could not be rotated: {said}; lines go on in the old file") from error
            self._first = chain + 1
        removed = self._archive.prune()
        self._archive.compress()
        return removed

    def _replaced(self, place: Place, target: str) -> int:
        """Give the file another name, and return the descriptor of a new one with its rights in its place."""
        if not place.is_at(self._fd):
            raise OutputError("its name means another file now")
        place.rename(place.name, target)
        try:
            fd = place.replace()
        except FileExistsError:  # somebody else was faster
            return self._reopened(like=self._fd)
        except OSError:
            with suppress(OSError):
                place.rename(target, place.name)
            raise
        lost = keep_rights(fd, self._fd)
        if lost and self._on_trouble:
            self._on_trouble(f"{self.name} could not keep its {lost} when it was rotated; see which user may do that")
        return fd

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
        yield from lines_backwards(self._fd)
        for name in self._beside():
            yield from lines_of(self._place, name)

    def sealed_lines(self) -> Iterator[bytes]:
        """Give the lines with a seal near the end of the file, or of what the writer rotated, the last one first."""
        rotated = Archive(self._place, Rotation()).files() if self._place else []
        last = [lines_of(self._place, os.path.basename(path)) for path in rotated[-1:]]
        for lines in (lines_backwards(self._fd), *last):
            size = 0
            for line in lines:
                if _core.claimed_position(line) is not None:
                    yield line
                size += len(line) + 1
                if size > _NEAR:
                    break

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
        if self._place:
            self._place.close()

    def _beside(self) -> list[str]:
        """Return the names of what rotation left of the log in plain text, the newest first."""
        if self._place is None:
            return []
        base, found = self._place.name, []
        with suppress(OSError):
            for name in self._place.names():
                named = name.startswith((f"{base}.", f"{base}-")) and not name.endswith((".gz", ".zst", ".xz", ".bz2"))
                there = self._place.look(name) if named else None
                if there is not None and stat.S_ISREG(there.st_mode):
                    found.append((there.st_mtime_ns, name))
        return [name for _, name in sorted(found, reverse=True)[:_BESIDE]]

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
        last = read(fd, 1, self._before - 1) if self._before else b"\n"
        self._repaired = last not in (b"\n", b"")
        if last != b"\n":
            # A file that does not end in LF gets one before `open` (spec section 6); so does one that may not be read.
            self.output.put(b"\n")
        self._born = time.monotonic()
        if self._rotation and self._before and (first := _first_claim(fd)):
            # By the clock once; from here on by one that does not jump.
            self._born -= max(0.0, time.time() - first[1])


def open_borrowed(path: str, name: str) -> int:
    """Open a file that another process has open, by its entry in /proc, for appending.

    Args:
        path: The entry.
        name: What messages call it.

    Raises:
        SealError: It cannot be opened.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return opened(path, os.O_WRONLY | os.O_NOCTTY)
        for access in (os.O_RDWR, os.O_WRONLY):
            with suppress(PermissionError):
                return opened(path, access | os.O_APPEND | os.O_NOCTTY)
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise SealError(f"{name}: {reason(error)}", hint=advice(error)) from error


def _first_claim(fd: int) -> tuple[int, float] | None:
    """Return number and claimed time, in seconds since 1970, of the first chain that begins in a file."""
    claim = _core.first_opening(read(fd, 65_536, 0))
    return (claim[1], claim[2] / 1000) if claim else None

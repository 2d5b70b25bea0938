"""Sources that can be read again from a position on: a file that is rotated, and the journal of systemd.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as directory:
...     with open(f"{directory}/app.log", "w") as file:
...         _ = file.write("one\\ntwo\\nthr")
...     with File(f"{directory}/app.log", "", print) as source:
...         lines, position = source.read(0), source.position
...     with File(f"{directory}/app.log", position, print) as source:
...         lines, source.read(0)
([b'one', b'two'], [])
"""

import hashlib
import io
import json
import os
import re
import select
import stat
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self

from tallystick.errors import SealError

__all__ = ["LINGER", "MOST", "File", "Journal", "Source"]

MOST = 512
"""Lines that are read at once, at most: fewer than those of which an agent remembers hashes."""

_BLOCK = 2**20  # bytes that are read at once; a line of a file that is longer becomes several
_ENTRY = 2**26  # bytes of an entry of the journal; a longer one becomes several lines
LINGER = 5.0
"""Seconds for which a file that was rotated is read on: what writes it may not have heard yet."""

_LOOK = 0.2  # seconds after which the end of a file is looked at again
_MARK = 1024  # bytes at the beginning of a file by which it is known again
_NUMBERED = re.compile(r"[-._]?[0-9]|[-._](?:old|bak|prev)\b")  # what rotation puts after a name
_COMPRESSED = (".gz", ".xz", ".bz2", ".zst", ".lz4")


class Source(Protocol):
    """What is followed."""

    @property
    def position(self) -> str:
        """The position after all that was read."""
        ...

    def read(self, seconds: float) -> list[bytes]:
        """Return lines that are there, waiting for some at most so long.

        Raises:
            SealError: It has come to an end.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Journal:
    """The journal, as journalctl shows it in JSON. A position is a cursor."""

    def __init__(self, words: Sequence[str], cursor: str, report: Callable[[str], None]) -> None:
        """Start journalctl.

        Args:
            words: More words of its command line: options, and which entries are wanted.
            cursor: The last entry that was read; nothing for none.
            report: Called with a message if that entry is there no more.
        """
        command = ["journalctl", "--follow", "--no-tail", "--all", "--quiet", "--output=json"]
        after = [f"--cursor={cursor}"] if cursor else []
        try:
            self._process = subprocess.Popen(
                [*command, *after, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            raise SealError(f"journalctl does not start: {error.strerror}", hint="install systemd") from error
        self.position, self._expected, self._report = cursor, cursor, report
        self._lines: deque[bytes] = deque()
        self._rest = bytearray()

    def read(self, seconds: float) -> list[bytes]:
        """As `Source` says."""
        assert self._process.stdout is not None
        fd = self._process.stdout.fileno()
        if not self._lines and select.select([fd], [], [], seconds)[0]:
            data = os.read(fd, 2**16)
            if not data:
                raise SealError(f"journalctl ended with exit status {self._process.wait()}", hint="see what it said")
            first, *others = data.split(b"\n")
            self._rest += first
            if others or len(self._rest) > _ENTRY:
                self._lines.extend((bytes(self._rest), *others[:-1]))
                self._rest = bytearray(others[-1] if others else b"")
        entries = [_entry(self._lines.popleft()) for _ in range(min(MOST, len(self._lines)))]
        if entries and self._expected:
            if entries[0][1] == self._expected:
                entries = entries[1:]  # the one that was read last
            else:
                self._report("the journal has the entry no more that was read last: entries after it may be lacking")
            self._expected = ""
        self.position = next((cursor for _, cursor in reversed(entries) if cursor), self.position)
        return [line for line, _ in entries]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()


def _entry(line: bytes) -> tuple[bytes, str]:
    """Return an entry with its names sorted, for journalctl gives them in another order each time, and its cursor."""
    with suppress(ValueError, RecursionError):
        entry = json.loads(line)
        if isinstance(entry, dict) and isinstance(cursor := entry.get("__CURSOR"), str):
            return json.dumps(entry, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode(), cursor
    return line, ""  # a part of one


class File:
    """A file that grows, and that is renamed or cut when it is rotated. A position names a file, and a byte in it."""

    def __init__(self, path: str, position: str, report: Callable[[str], None]) -> None:
        """Open it where it was left.

        Args:
            path: Its path.
            position: As `position` had it; nothing to begin at the beginning.
            report: Called with a message if lines may be lacking.

        Raises:
            SealError: It is no regular file.
        """
        self._path, self._report = path, report
        directory, name = os.path.split(os.path.abspath(path))
        stem = re.escape(name.rsplit(".", 1)[0])
        self._directory, self._name = directory, name
        self._rotated = re.compile(rf"{re.escape(name)}|{stem}[-.][0-9]")  # audit.log.1, audit-2026-11-28.log
        self._is_behind = False  # is this one of several files that were there already?
        self._file, self._offset = self._found(position) if position else (_opened(path), 0)
        self._mark, self._left_at = b"", 0.0

    def read(self, seconds: float) -> list[bytes]:
        """As `Source` says."""
        until = time.monotonic() + seconds
        while True:
            if lines := self._take(to_the_end=False):
                return lines
            if os.fstat(self._file.fileno()).st_size < self._offset:
                self._report(f"{self._path} was cut: what stood there and was not read is lacking")
                self._offset, self._mark = 0, b""
            elif self._is_left():
                if lines := self._take(to_the_end=False) or self._take(to_the_end=True):
                    return lines
                with suppress(FileNotFoundError):  # it is renamed just now
                    self._go_on()
            elif (left := until - time.monotonic()) > 0:
                time.sleep(min(_LOOK, left))
            else:
                return []

    def _take(self, *, to_the_end: bool) -> list[bytes]:
        """Return whole lines from here on; to the end, also what has no line end."""
        data = os.pread(self._file.fileno(), _BLOCK, self._offset)
        *lines, rest = data.split(b"\n")
        if rest and not lines and (to_the_end or len(data) == _BLOCK):
            self._offset += len(rest)
            return [rest]
        lines = lines[:MOST]
        self._offset += sum(map(len, lines)) + len(lines)
        return lines

    def _is_left(self) -> bool:
        """Is this file complete, for the path means another one by now?"""
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(self._path), os.fstat(self._file.fileno())):
                return False
            self._left_at = self._left_at or time.monotonic()
            return self._is_behind or time.monotonic() - self._left_at >= LINGER
        return False

    def _go_on(self) -> None:
        """Go on with the file after this one: it may have been rotated, too, while nobody read."""
        found, here = None, os.fstat(self._file.fileno())
        file = _opened(self._path)  # first: what is rotated from now on is seen below
        later = [each for each in self._after(here, self._beside()) if self._is_rotated(each[1])]
        if later:
            found, path = later[0]
            file.close()
            file = _opened(path)
            if not os.path.samestat(os.fstat(file.fileno()), found):  # it was renamed just now
                file.close()
                return
        for each, path in self._beside(compressed=True):
            # Whole seconds, for not every program that compresses keeps more of a file's time.
            is_between = int(each.st_mtime) > int(here.st_mtime) and (not found or each.st_mtime_ns < found.st_mtime_ns)
            if is_between and self._is_rotated(path):
                self._report(f"{path} was compressed already: what it holds and was not read is lacking")
        self._file.close()
        self._file, self._offset, self._mark, self._left_at = file, 0, b"", 0.0
        self._is_behind = self._is_behind and found is not None

    def _beside(self, *, compressed: bool = False) -> list[tuple[os.stat_result, str]]:
        """Return the rotated files, the oldest first; those that are compressed, or those that are not."""
        found = []
        for each in os.scandir(self._directory):
            if each.name == self._name or each.name.endswith(_COMPRESSED) is not compressed:
                continue
            with suppress(OSError):
                if self._rotated.match(each.name) and each.is_file():
                    found.append((os.stat(each.path), each.path))
        return sorted(found, key=lambda each: each[0].st_mtime_ns)

    def _is_rotated(self, path: str) -> bool:
        """Is this the name of a rotated file, and not that of another log, or of a lock, which begins as ours does?"""
        rest = os.path.basename(path).removeprefix(self._name)
        return rest == os.path.basename(path) or _NUMBERED.match(rest) is not None

    @staticmethod
    def _after(here: os.stat_result, beside: list[tuple[os.stat_result, str]]) -> list[tuple[os.stat_result, str]]:
        """Return those of some files, the oldest first, that came after one, which need not be there any more."""
        for at, (found, _) in enumerate(beside):
            if os.path.samestat(found, here):
                return beside[at + 1 :]
        return [each for each in beside if each[0].st_mtime_ns > here.st_mtime_ns]

    @property
    def position(self) -> str:
        """As `Source` says."""
        found = os.fstat(self._file.fileno())
        if len(self._mark) < _MARK:
            self._mark = os.pread(self._file.fileno(), min(_MARK, self._offset), 0)
        mark = hashlib.sha256(self._mark).hexdigest()[:32]
        return f"{found.st_dev} {found.st_ino} {self._offset} {len(self._mark)} {mark}"

    def _found(self, position: str) -> tuple[io.FileIO, int]:
        """Return the file of a position, which may have another name by now, and where it was left."""
        device, number, offset, length, mark = position.split()
        for path in (*(path for _, path in self._beside()), self._path):
            try:
                file = _opened(path)
            except FileNotFoundError:
                continue
            seen = os.fstat(file.fileno())
            begins = hashlib.sha256(os.pread(file.fileno(), int(length), 0)).hexdigest()[:32]
            if (str(seen.st_dev), str(seen.st_ino), begins) == (device, number, mark) and seen.st_size >= int(offset):
                self._is_behind = path != self._path
                return file, int(offset)
            file.close()
        self._report(f"{self._path} is another file than before: what stood there and was not read is lacking")
        return _opened(self._path), 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _opened(path: str) -> io.FileIO:
    # A named pipe put there must not stop us.
    file = io.FileIO(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise SealError(f"{path} is no regular file", hint="only such a file can be followed")
    return file

"""Files that the writer itself rotates: when, under which names, and for how long they stay.

`audit.log` becomes `audit.log.0000000042`, by the number of the first chain in it: unique for ever and in order,
whatever the clock says. A rotated file holds whole chains, so those that are left after older ones were removed are
verified by `tallystick verify 'audit.log*' --from 42`.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as directory:
...     archive = Archive(Place.of(f"{directory}/audit.log"), Rotation(keep=2))
...     for chain in (1, 9, 42):
...         open(archive.name_for(chain), "w").close()
...     [os.path.basename(path) for path in archive.prune()], [os.path.basename(path) for path in archive.files()]
(['audit.log.0000000001'], ['audit.log.0000000009', 'audit.log.0000000042'])
"""

import gzip
import hashlib
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Literal

from tallystick.errors import reason
from tallystick.securefile import Place, RefusedError, copy_rights

__all__ = ["Archive", "Rotation"]

_BLOCK = 2**20  # bytes
_BESIDE = 5  # rotated files whose beginnings are looked at when a log is opened
_PATIENCE = 2.0  # seconds that a writer waits for compression when it leaves; the next one goes on


@dataclass(frozen=True, slots=True)
class Rotation:
    """When the writer begins a new file, and how long the old ones stay.

    Args:
        size: Bytes above which a new file is begun, or None.
        age: Seconds after which a file with lines is followed by a new one, or None.
        keep: How many rotated files stay, or None for all.
        keep_for: How many seconds after its last line a rotated file stays, or None for ever.
        compress: `gz` or `zst`, or None.

    Raises:
        ValueError: A number is not above 0, or the compression is neither.
    """

    size: int | None = None
    age: float | None = None
    keep: int | None = None
    keep_for: float | None = None
    compress: Literal["gz", "zst"] | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that would rotate or remove without end."""
        for name in ("size", "age", "keep", "keep_for"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} of a rotation is above 0, not {value}")
        if self.compress not in (None, "gz", "zst"):
            raise ValueError(f"rotated files are compressed as gz or zst, not {self.compress}")


class Archive:
    """The rotated files beside a log's file."""

    def __init__(self, place: Place, rotation: Rotation, on_trouble: Callable[[str], None] | None = None) -> None:
        """Take the place of the file that is written; `on_trouble` is called when a file cannot be compressed."""
        self._place = place
        self._directory, self._base = os.path.split(place.path)
        self._rotation, self._on_trouble = rotation, on_trouble
        self._pattern = re.compile(re.escape(self._base) + r"\.([0-9]{10})(?:-([0-9]+))?(\.gz|\.zst)?")
        self._lock = threading.Lock()
        self._placing = threading.Lock()  # a file that is removed as one too many must not come back compressed
        self._worker: threading.Thread | None = None
        self._leaving = False

    def name_for(self, chain: int) -> str:
        """Return the path that a file gets whose first chain is this one; nothing is there yet."""
        taken = {os.path.splitext(path)[0] if path.endswith((".gz", ".zst")) else path for path in self.files()}
        name = path = os.path.join(self._directory, f"{self._base}.{chain:010}")
        number = 2
        while path in taken:
            path, number = f"{name}-{number}", number + 1
        return path

    def files(self) -> list[str]:
        """Return the paths of all rotated files, the oldest first."""
        found = [match for name in self._place.names() if (match := self._pattern.fullmatch(name))]
        found.sort(key=lambda match: (int(match[1]), int(match[2] or 1), match[3] or ""))
        return [os.path.join(self._directory, match[0]) for match in found]

    def beginnings(self) -> Iterator[bytes]:
        """Give the beginnings of the newest rotated files, the newest first."""
        for path in reversed(self.files()[-_BESIDE:]):
            with suppress(Exception), open(self._open(path), "rb") as file:  # whatever stands there, it is no obstacle
                form = os.path.splitext(path)[1]
                with _packed(file, "rb", form[1:]) if form in (".gz", ".zst") else file as source:
                    yield source.read(65_536)

    def prune(self) -> list[str]:
        """Remove rotated files that are too many or too old; return their paths."""
        removed = []
        with self._placing:
            files: dict[str, list[str]] = {}  # one that is there plain and compressed counts once
            for path in self.files():
                files.setdefault(path.removesuffix(".gz").removesuffix(".zst"), []).append(path)
            gone = [] if self._rotation.keep is None else list(files)[: max(0, len(files) - self._rotation.keep)]
            if self._rotation.keep_for is not None:
                oldest = time.time() - self._rotation.keep_for
                gone += [each for each in files if each not in gone and self._changed(files[each][0]) < oldest]
            for path in (path for each in gone for path in files[each]):
                with suppress(OSError):
                    if self._place.remove(os.path.basename(path)):
                        removed.append(path)
        if removed:
            with suppress(OSError):
                self._place.sync()
        return removed

    def compress(self) -> None:
        """Compress rotated files in the background, also those that a crash left half done."""
        if self._rotation.compress is None:
            return
        with self._lock:
            if self._worker is None or not self._worker.is_alive():
                self._worker = threading.Thread(target=self._work, name=f"compress {self._base}", daemon=True)
                self._worker.start()

    def finish(self) -> None:
        """Wait for compression for a while; the next writer does the rest."""
        worker = self._worker
        if worker is not None:
            worker.join(_PATIENCE)
            self._leaving = True
            worker.join()

    def _work(self) -> None:
        with suppress(OSError):  # it only makes way for others
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        failed: set[str] = set()
        while not self._leaving:
            with self._lock:
                left = [path for path in self._plain() if path not in failed]
                if not left:
                    self._worker = None
                    return
            try:
                self._compress(left[0])
            except Exception as error:
                failed.add(left[0])
                if self._on_trouble and self._is_there(left[0]):  # it may be one too many, removed meanwhile
                    said = _in_words(error)
                    self._on_trouble(f"{left[0]} could not be compressed: {said}; it stays as it is")

    def _plain(self) -> list[str]:
        return [path for path in self.files() if not path.endswith((".gz", ".zst"))]

    def _temporary(self, name: str) -> str:
        # With a dot in front, so that no pattern such as audit.log* takes half a file for a log.
        return f".{name}.new"

    def _open(self, path: str) -> int:
        return self._place.open(os.path.basename(path))

    def _is_there(self, path: str) -> bool:
        return self._place.look(os.path.basename(path)) is not None

    def _changed(self, path: str) -> float:
        found = self._place.look(os.path.basename(path))
        return time.time() if found is None else found.st_mtime

    def clear(self) -> None:
        """Remove files that a crash left of a compression; only the holder of the lease may do that."""
        with suppress(OSError):
            for name in self._place.names():
                if name.startswith(".") and name.endswith(".new") and self._pattern.fullmatch(name[1:-4]):
                    with suppress(OSError):
                        self._place.remove(name)

    def _compress(self, path: str) -> None:
        # A copy that a crash left beside its original is made again, in its own form: there must not be a second one.
        form = next((each for each in ("gz", "zst") if self._is_there(f"{path}.{each}")), self._rotation.compress)
        name = os.path.basename(path)
        target = f"{name}.{form}"
        temporary = self._temporary(target)
        try:
            with open(self._open(path), "rb") as source:
                if not self._fill(temporary, source, form):
                    return
                found = os.fstat(source.fileno())
            with self._placing:
                now = self._place.look(name)
                if now is None or not os.path.samestat(now, found):  # it was removed, or is another one
                    return
                self._place.rename(temporary, target)
                self._place.sync()
                self._place.remove(name)
            self._place.sync()
        finally:
            with suppress(FileNotFoundError):
                self._place.remove(temporary)

    def _fill(self, temporary: str, source: IO[bytes], form: str | None) -> bool:
        """Write the compressed copy and read it back: only then may the original go."""
        fd = self._place.make(temporary)
        with open(fd, "w+b") as file:
            with _packed(file, "wb", form) as packed:
                there = self._copy(source, packed)
            file.flush()
            copy_rights(source.fileno(), fd)
            os.fsync(fd)
            file.seek(0)
            with _packed(file, "rb", form) as packed:
                back = self._copy(packed, None)
            found = os.fstat(source.fileno())
            os.utime(fd, ns=(found.st_atime_ns, found.st_mtime_ns))
        if there is None or back is None:
            return False
        if there != back:
            raise OSError(5, "the compressed copy reads differently")
        return True

    def _copy(self, source: IO[bytes], target: IO[bytes] | None) -> bytes | None:
        """Copy to the end; return the SHA-256 of what was copied, or None if there was no time for it."""
        digest = hashlib.sha256()
        while block := source.read(_BLOCK):
            if self._leaving:
                return None
            digest.update(block)
            if target is not None:
                target.write(block)
        return digest.digest()


def _packed(file: IO[bytes], mode: Literal["rb", "wb"], form: str | None) -> IO[bytes]:
    if form == "gz":
        return gzip.GzipFile("", mode, 6, file, mtime=0)  # type: ignore[return-value]
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd.ZstdFile(file, mode)  # type: ignore[return-value]


def _in_words(error: Exception) -> str:
    if isinstance(error, RefusedError):
        return f"it {error.what}"
    return reason(error) if isinstance(error, OSError) else str(error)

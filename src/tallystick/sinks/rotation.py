"""Files that the writer itself rotates: when, under which names, and for how long they stay.

`audit.log` becomes `audit.log.0000000042`, by the number of the first chain in it: unique for ever and in order,
whatever the clock says. A rotated file holds whole chains, so those that are left after older ones were removed are
verified by `tallystick verify 'audit.log*' --from 42`.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as directory:
...     archive = Archive(Place.of(f"{directory}/audit.log"), Rotation(keep=2))
...     for chain in (1, 9, 42):
...         open(archive.name_for(chain), "w").close()
...     archive.prune()
...     [os.path.basename(path) for path in archive.files()]
['audit.log.0000000001 was removed, as one too many of the rotated files']
['audit.log.0000000009', 'audit.log.0000000042']
"""

import errno
import gzip
import hashlib
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Literal

from tallystick import _core
from tallystick.errors import reason
from tallystick.securefile import Place, in_words, keep_rights
from tallystick.sinks.ages import Ages
from tallystick.sinks.places import printable
from tallystick.sinks.retention import Retention, Rotated
from tallystick.sinks.shipping import Shipped, Shipping

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
        keep_for: How many seconds after its last line a rotated file stays, or None for ever. Its age counts by what
            the log says and by the time that this machine has seen pass; in doubt it stays.
        compress: `gz` or `zst`, or None.
        ship: URL of the place in object storage that each rotated file goes to, compressed; it is removed here once it
            is there and the log has said so. None for none.
        lock: Seconds for which nobody can remove it there; None for no lock but the bucket's own.

    Raises:
        ValueError: A number is not above 0, the compression is neither, or what is shipped is to stay.
    """

    size: int | None = None
    age: float | None = None
    keep: int | None = None
    keep_for: float | None = None
    compress: Literal["gz", "zst"] | None = None
    ship: str | None = None
    lock: float | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that would rotate or remove without end."""
        for name in ("size", "age", "keep", "keep_for", "lock"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} of a rotation is above 0, not {value}")
        if self.compress not in (None, "gz", "zst"):
            raise ValueError(f"rotated files are compressed as gz or zst, not {self.compress}")
        if self.ship is not None and (self.keep is not None or self.keep_for is not None):
            raise ValueError("a file that is shipped is removed when it is in the archive: keep none, or ship none")
        if self.lock is not None and self.ship is None:
            raise ValueError("only what is shipped is locked")

    @property
    def form(self) -> Literal["gz", "zst"] | None:
        """What rotated files are compressed as; one that is shipped is in any case."""
        return self.compress or ("zst" if self.ship is not None else None)


class Archive:
    """The rotated files beside a log's file."""

    def __init__(self, place: Place, rotation: Rotation, on_trouble: Callable[[str], None] | None = None) -> None:
        """Take the place of the file that is written; `on_trouble` is called with what is not as it should be."""
        self._place = place
        self._directory, self._base = os.path.split(place.path)
        self._rotation, self._on_trouble = rotation, on_trouble
        self._pattern = re.compile(re.escape(self._base) + r"\.([0-9]{10})(?:-([0-9]+))?(\.gz|\.zst)?", re.DOTALL)
        self._lock = threading.Lock()
        self._placing = threading.Lock()  # a file that is removed as one too many must not come back compressed
        self._worker: threading.Thread | None = None
        self._leaving = self._is_unlisted = False
        ages = None if rotation.keep_for is None else Ages(place)
        self._shipping = self._made_shipping(rotation)
        self._retention = Retention(rotation.keep, rotation.keep_for, ages, self._report)

    def _made_shipping(self, rotation: Rotation) -> Shipping | None:
        if rotation.ship is None:
            return None
        from tallystick.objects.deposit import (
            Deposit,  # only here: what speaks to stores is loaded where it is asked for
        )

        port = Deposit.of(rotation.ship, rotation.lock)
        return Shipping(port, self._finished, lambda path: open(self._open(path), "rb"), self._go, self._report)

    def shipped(self) -> list[Shipped]:
        """Return which files are in the archive since this was asked last."""
        return self._shipping.taken() if self._shipping is not None else []

    def _finished(self) -> list[str]:
        """Return the files that are compressed, and of which nothing else is here: the oldest first."""
        files = self.files()
        plain = set(files)
        return [path for path in files if path.endswith((".gz", ".zst")) and path.rpartition(".")[0] not in plain]

    def _go(self, path: str) -> None:
        """Remove a file that is in the archive."""
        try:
            if self._place.remove(os.path.basename(path)):
                self._place.sync()
        except OSError as error:
            self._report(f"{path} is in the archive, and could not be removed here: {reason(error)}")

    def name_for(self, chain: int) -> str:
        """Return the path that a file gets whose first chain is this one; nothing is there yet."""
        name = path = os.path.join(self._directory, f"{self._base}.{chain:010}")
        number = 2
        # Each by its name: a directory may be one that nobody may list, and nothing must be overwritten.
        while any(self._is_there(path + form) for form in ("", ".gz", ".zst")):
            path, number = f"{name}-{number}", number + 1
        return path

    def files(self) -> list[str]:
        """Return the paths of all rotated files, the oldest first; none where nobody may list them."""
        try:
            return self._listed()
        except OSError:
            return []

    def _listed(self) -> list[str]:
        found = [match for name in self._place.names() if (match := self._pattern.fullmatch(name))]
        found.sort(key=lambda match: (int(match[1]), int(match[2] or 1), match[3] or ""))
        return [os.path.join(self._directory, match[0]) for match in found]

    def beginnings(self) -> Iterator[bytes]:
        """Give the beginnings of the newest rotated files, the newest first."""
        for path in reversed(self.files()[-_BESIDE:]):
            if beginning := self._beginning(path):
                yield beginning

    def prune(self) -> list[str]:
        """Remove rotated files that are too many or too old.

        Returns:
            What was removed and why, for the log.
        """
        removed: list[str] = []
        with self._placing:
            try:
                files = self._rotated()
            except OSError as error:  # nothing is forgotten of files that nobody sees now
                if not self._is_unlisted and (self._rotation.keep, self._rotation.keep_for) != (None, None):
                    self._report(f"rotated files in {self._directory} cannot be listed: {reason(error)}; they all stay")
                self._is_unlisted = True
                return removed
            self._is_unlisted = False
            for file, why in self._retention.chosen(files, self._began):
                for path in file.paths:
                    try:
                        if not self._place.remove(os.path.basename(path)):
                            if self._is_there(path):
                                self._report(f"{path} could not be removed, {why}: it is no file of this log's owner")
                            continue
                    except OSError as error:
                        self._report(f"{path} could not be removed, {why}: {reason(error)}")
                        continue
                    removed.append(f"{printable(os.path.basename(path))} was removed, {why}")
        if removed:
            with suppress(OSError):
                self._place.sync()
        return removed

    def _rotated(self) -> list[Rotated]:
        files: dict[str, list[str]] = {}  # one that is there plain and compressed counts once
        for path in self._listed():
            name = os.path.basename(path)[len(self._base) + 1 :]
            files.setdefault(name.removesuffix(".gz").removesuffix(".zst"), []).append(path)
        return [Rotated(name, tuple(paths)) for name, paths in files.items()]

    def _report(self, message: str) -> None:
        if self._on_trouble is not None:
            self._on_trouble(message)

    def compress(self) -> None:
        """Compress rotated files in the background, also those that a crash left half done."""
        if self._rotation.form is None:
            return
        if self._shipping is not None:
            self._shipping.wake()
        with self._lock:
            if self._worker is None or not self._worker.is_alive():
                self._worker = threading.Thread(target=self._work, name=f"compress {self._base}", daemon=True)
                self._worker.start()

    def finish(self) -> None:
        """Remember how old files are, and wait for compression for a while; the next writer does the rest."""
        self._retention.save()
        worker = self._worker
        if worker is not None:
            worker.join(_PATIENCE)
            self._leaving = True
            worker.join()
        if self._shipping is not None:
            self._shipping.leave(_PATIENCE)

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
                if self._shipping is not None:
                    self._shipping.wake()
            except Exception as error:
                failed.add(left[0])
                if self._is_there(left[0]):  # it may be one too many, removed meanwhile
                    said = in_words(error)
                    self._report(f"{left[0]} could not be compressed: {said}; it stays as it is")

    def _plain(self) -> list[str]:
        return [path for path in self.files() if not path.endswith((".gz", ".zst"))]

    def _temporary(self, name: str) -> str:
        # With a dot in front, so that no pattern such as audit.log* takes half a file for a log.
        return f".{name}.new"

    def _open(self, path: str) -> int:
        return self._place.open(os.path.basename(path))

    def _is_there(self, path: str) -> bool:
        return self._place.look(os.path.basename(path)) is not None

    def _beginning(self, path: str) -> bytes:
        """Return the first bytes of a rotated file; none where something else stands there, which is no obstacle."""
        with suppress(Exception), open(self._open(path), "rb") as file:
            form = os.path.splitext(path)[1]
            with _packed(file, "rb", form[1:]) if form in (".gz", ".zst") else file as source:
                return source.read(65_536)
        return b""

    def _began(self, file: Rotated) -> float | None:
        """Return when the first chain in a rotated file began, in seconds since 1970 as the log claims it."""
        for path in file.paths:
            if claim := _core.first_opening(self._beginning(path)):
                return claim[2] / 1000
        return None

    def clear(self) -> None:
        """Remove files that a crash left of a compression; only the holder of the lease may do that."""
        with suppress(OSError):
            for name in self._place.names():
                if name.startswith(".") and name.endswith(".new") and self._pattern.fullmatch(name[1:-4]):
                    with suppress(OSError):
                        self._place.remove(name)

    def _compress(self, path: str) -> None:
        # A copy that a crash left beside its original is made again, in its own form: there must not be a second one.
        form = next((each for each in ("gz", "zst") if self._is_there(f"{path}.{each}")), self._rotation.form)
        name = os.path.basename(path)
        target = f"{name}.{form}"
        temporary = self._temporary(target)
        try:
            with open(self._open(path), "rb") as source:
                if not self._fill(temporary, source, form):
                    return
                found, copied = os.fstat(source.fileno()), source.tell()
            with self._placing:
                now = self._place.look(name)
                if now is None or not os.path.samestat(now, found):  # it was removed, or is another one
                    return
                if now.st_size != copied:  # by a writer of another log that has not heard of the rotation
                    raise OSError(errno.EBUSY, "lines are still written to it")
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
            keep_rights(fd, source.fileno())  # whose file it is stays, where we may say so
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

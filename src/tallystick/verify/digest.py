"""SHA-256 of files as they stand on the disk, taken of the bytes that are read anyway.

>>> taken = Digest()
>>> taken.begin(6)
>>> taken.take(0, b"one\\ntwo"[:5])
>>> taken.take(4, b"two"[:2])  # the rest of a line is read once more
>>> taken.covered, taken.sha256 == hashlib.sha256(b"one\\ntw").hexdigest()
(6, True)
"""

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tallystick.verify.layers import Plain
from tallystick.verify.report import FileReport

if TYPE_CHECKING:
    from tallystick.verify.files import File
    from tallystick.verify.inputs import Input

__all__ = ["Digest", "on_disk"]

_PIECE = 2**20  # bytes
_HOLE = 2**24  # bytes of zeros that are read at most: a sparse file may have terabytes of them


class Digest:
    """The SHA-256 of a file from its first byte on, of bytes that come in order, some of them twice.

    Attributes:
        covered: Bytes of the file that it covers.
    """

    def __init__(self) -> None:
        self.covered, self._hash = 0, hashlib.sha256()

    @property
    def sha256(self) -> str:
        """The digest of what is covered, in hexadecimal."""
        return self._hash.hexdigest()

    def begin(self, size: int) -> None:
        """Begin again at the first byte, unless all of a file of this size is covered already."""
        if self.covered != size:
            self.covered, self._hash = 0, hashlib.sha256()

    def take(self, offset: int, data: bytes) -> None:
        """Take bytes that were read at an offset; those that are not the next ones are left out."""
        end = offset + len(data)
        if offset <= self.covered < end:
            self._hash.update(memoryview(data)[self.covered - offset :])
            self.covered = end

    def complete(self, fd: int, size: int) -> None:
        """Read what nobody has read: archives are not read in order, and damaged files not to their end.

        Args:
            fd: The file.
            size: Bytes of it that are meant.

        Raises:
            OSError: It cannot be read.
        """
        bytes_ = Plain(fd, size, self.take)
        while self.covered < size and bytes_.after_hole(self.covered) - self.covered <= _HOLE:
            if not bytes_.read(self.covered, _PIECE):
                break


def on_disk(inputs: Iterable["Input"]) -> tuple[FileReport, ...]:
    """Return the files that inputs were read from, each once, with their digests; the inputs must still be open.

    Files of which no digest is taken are left out.
    """
    found: dict[tuple[int, int], FileReport] = {}
    for one in inputs:
        if one.file.digest is not None and one.identity not in found:
            found[one.identity] = _reported(one.file, one.file.digest, one.file.path if one.is_member else one.path)
    return tuple(found.values())


def _reported(file: "File", digest: Digest, path: str) -> FileReport:
    try:
        if digest.covered < file.size:
            digest.complete(file.descriptor(), file.size)
    except OSError:  # it is gone: the digest says how far it was read
        pass
    return FileReport(path, max(file.size_now(), digest.covered), digest.covered, digest.sha256)

"""SHA-256 of files as they stand on the disk, taken of the bytes that are read anyway.

>>> taken = Digest()
>>> taken.begin(6)
>>> taken.take(0, b"one\\ntwo"[:5])
>>> taken.take(4, b"two"[:2])  # the rest of a line is read once more
>>> taken.covered, taken.sha256 == hashlib.sha256(b"one\\ntw").hexdigest()
(6, True)
"""

import hashlib
from collections.abc import Callable
from typing import TypeAlias

from tallystick.verify.layers import Bytes, Plain

__all__ = ["Digest", "Taken"]

_PIECE = 2**20  # bytes
_HOLE = 2**24  # bytes of zeros that are read at most: a sparse file may have terabytes of them

Taken: TypeAlias = Callable[[], str]
"""Waits until somebody else has taken the SHA-256 of a file, and returns it in hexadecimal; raises OSError if it cannot
be read.
"""


def _nothing() -> str:
    return ""


class Digest:
    """The SHA-256 of a file from its first byte on, of bytes that come in order, some of them twice.

    Attributes:
        covered: Bytes of the file that it covers.
    """

    def __init__(self) -> None:
        self.covered, self._hash = 0, hashlib.sha256()
        self._known = ""
        self._taken: Taken = _nothing

    @classmethod
    def of(cls, size: int, sha256: str | Taken) -> "Digest":
        """Return what an earlier run took of a file of some bytes, or what somebody else takes."""
        made = cls()
        made.covered = size
        if callable(sha256):
            made._taken = sha256
        else:
            made._known = sha256
        return made

    def wait(self) -> None:
        """Wait until somebody else has taken it, if he does.

        Raises:
            OSError: He cannot.
        """
        self._known = self._known or self._taken()

    @property
    def sha256(self) -> str:
        """The digest of what is covered, in hexadecimal; `wait` comes first where somebody else takes it."""
        return self._known or self._hash.hexdigest()

    def begin(self, size: int) -> None:
        """Begin again at the first byte, unless all of a file of this size is covered already."""
        if self.covered != size:
            self.covered, self._hash, self._known = 0, hashlib.sha256(), ""

    def take(self, offset: int, data: bytes) -> None:
        """Take bytes that were read at an offset; those that are not the next ones are left out."""
        end = offset + len(data)
        if offset <= self.covered < end:
            self._hash.update(memoryview(data)[self.covered - offset :])
            self.covered = end

    def complete(self, held: Bytes, size: int) -> None:
        """Read what nobody has read: archives are not read in order, and damaged files not to their end.

        Args:
            held: What the file holds; what is read of it is given to `take`.
            size: Bytes of it that are meant.

        Raises:
            OSError: It cannot be read.
        """
        while self.covered < size:
            if isinstance(held, Plain) and held.after_hole(self.covered) - self.covered > _HOLE:
                break
            if not held.read(self.covered, _PIECE):
                break

"""The SHA-256 of each chunk that was verified, so that a later reader can tell whether it reads the same bytes.

>>> from types import SimpleNamespace
>>> sums, chunk = Sums(), SimpleNamespace(file=0, number=0, data=b"a line\\n", end=7, cut=False)
>>> sums.take(chunk), sums.take(chunk)
(True, True)
>>> chunk.data = b"a lime\\n"
>>> sums.take(chunk), sums.changed
(False, {0})
"""

import hashlib

from tallystick.verify.inputs import Chunk

__all__ = ["Sums"]


class Sums:
    """The sums of all chunks of one look at some files.

    Attributes:
        changed: Files of which a later look read something else.
    """

    def __init__(self) -> None:
        """Know of nothing."""
        self._sums: dict[tuple[int, int], tuple[bool, bytes]] = {}
        self.changed: set[int] = set()

    def begin(self) -> None:
        """Forget all: the files are looked at anew."""
        self._sums.clear()
        self.changed.clear()

    def take(self, chunk: Chunk) -> bool:
        """Take the sum of a chunk; is it the one that was taken before, or the first?"""
        with memoryview(chunk.data) as data:
            found = chunk.cut, hashlib.sha256(data[: chunk.end]).digest()
        same = self._sums.setdefault((chunk.file, chunk.number), found) == found
        if not same:
            self.changed.add(chunk.file)
        return same

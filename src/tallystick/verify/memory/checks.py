"""Are these the bytes that were verified before?

>>> from tallystick.verify.memory.record import Part, sha256
>>> parts = [Part(4, sha256(b"one\\n"), 0), Part(8, sha256(b"two\\n"), 0)]
>>> check = Check(parts)
>>> for piece in (b"o", b"ne\\ntw", b"o\\nthree"):
...     check.take(piece)
>>> check.matched, check.is_done
(2, True)
"""

import hashlib
from collections.abc import Sequence

from tallystick.verify.memory.record import Part

__all__ = ["Check"]


class Check:
    """Holds what a file holds, from its beginning on, against remembered parts.

    Attributes:
        matched: How many of the parts were there, one after the other.
        failed: The part after those was another one.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        """Take the parts, from the first one on."""
        self._parts, self.matched = parts, 0
        self._at, self._hash = 0, hashlib.sha256()
        self.failed = False

    def take(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        view = memoryview(data)
        while view and not self.failed and self.matched < len(self._parts):
            part = self._parts[self.matched]
            piece = view[: part.end - self._at]
            self._hash.update(piece)
            self._at += len(piece)
            view = view[len(piece) :]
            if self._at == part.end:
                self.failed = self._hash.digest() != part.sha256
                self.matched += not self.failed
                self._hash = hashlib.sha256()

    @property
    def is_done(self) -> bool:
        """Was each of the parts there?"""
        return self.matched == len(self._parts)

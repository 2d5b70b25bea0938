"""Text that was converted as a whole: UTF-16 and UTF-32 are decoded before they are read.

A byte order mark before UTF-8 is a change of the first line like any other: nothing says who put it there.

>>> encoding(b"\\xff\\xfeu\\0s\\0e\\0r\\0"), encoding(b"user=7 action=login")
(('utf-16-le', 2), None)
"""

import codecs
import re
from collections.abc import Iterator

from tallystick.verify.layers import Bytes, Stream

__all__ = ["PEEK", "Decoded", "encoding"]

PEEK = 1024  # bytes at the beginning of a text that say what it is encoded in

_READ = 2**18  # bytes
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before that of UTF-16, which it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WITHOUT_MARK = (
    (re.compile(rb"(?:[\t -~]\0){8}"), "utf-16-le"),
    (re.compile(rb"(?:\0[\t -~]){8}"), "utf-16-be"),
    (re.compile(rb"(?:[\t -~]\0\0\0){8}"), "utf-32-le"),
    (re.compile(rb"(?:\0\0\0[\t -~]){8}"), "utf-32-be"),
)


def encoding(beginning: bytes) -> tuple[str, int] | None:
    """Return what a text is encoded in, and how long its mark is; None for UTF-8 and the like."""
    for mark, name in _MARKS:
        if beginning.startswith(mark):
            return name, len(mark)
    for form, name in _WITHOUT_MARK:
        # An application may seal text of that form, with a seal of single bytes.
        if form.match(beginning) and "tally" in beginning.decode(name, "replace"):
            return name, 0
    return None


class Decoded(Stream):
    """A text as UTF-8. What is none becomes U+FFFD, which no seal fits that was made for something else."""

    def __init__(self, under: Bytes, name: str, mark: int) -> None:
        """Take the bytes, what they are encoded in, and how many of them are its mark."""

        def begin() -> Iterator[bytes]:
            decoder = codecs.getincrementaldecoder(name)("replace")
            at = mark
            while data := under.read(at, _READ)[:_READ]:
                at += len(data)
                yield decoder.decode(data).encode()
            yield decoder.decode(b"", final=True).encode()

        super().__init__(begin, lambda: under.reached)

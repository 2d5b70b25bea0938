"""What a file is, as its first bytes say: compressed, encoded, or no log at all.

>>> import gzip
>>> from tallystick.verify.layers import Stream
>>> packed = gzip.compress(b"a line\\n")
>>> form = Form.of(Stream(lambda: iter([packed]), lambda: 0), len(packed))
>>> form.compression, form.beginning, form.is_strange(len(packed))
('gzip', b'a line\\n', False)
"""

import contextlib
from dataclasses import dataclass

from tallystick.verify import strangers, streams
from tallystick.verify.archives import is_tar, is_zip
from tallystick.verify.encodings import PEEK, encoding
from tallystick.verify.layers import Bytes, Unpacked

__all__ = ["Form"]


@dataclass(frozen=True, slots=True)
class Form:
    """What a file is, by its first bytes.

    Args:
        raw: These bytes, as they stand there.
        beginning: The first bytes of what its lines are read from, unpacked.
        compression: What it was compressed with.
        encoding: What its text is encoded in, and how long the mark of that is.
    """

    raw: bytes = b""
    beginning: bytes = b""
    compression: str | None = None
    encoding: tuple[str, int] | None = None

    @classmethod
    def of(cls, under: Bytes, size: int) -> "Form":
        """See what a file is; its size is needed to unpack it."""
        beginning = raw = under.read(0, PEEK)[:PEEK]
        compression = streams.compression(raw)
        if compression:
            beginning = b""
            with contextlib.suppress(*streams.BROKEN):  # it is reported where the file is read
                beginning = Unpacked(under, size).read(0, PEEK)[:PEEK]
        return cls(raw, beginning, compression, encoding(beginning))

    def is_strange(self, size: int) -> bool:
        """Is it no log, but an archive, a file of ours, or in a form that is not read here?

        Args:
            size: Bytes of the file.
        """
        known = strangers.ours(self.beginning, size) or strangers.foreign(self.beginning)
        return known is not None or is_tar(self.beginning) or is_zip(self.beginning)

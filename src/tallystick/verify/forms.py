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
from tallystick.verify.columns import MAGIC, PARQUET, Column
from tallystick.verify.encodings import PEEK, encoding
from tallystick.verify.layers import Bytes, Unpacked

__all__ = ["Form"]


@dataclass(frozen=True, slots=True)
class Form:
    """What a file is, by its first bytes.

    Args:
        raw: These bytes, as they stand there.
        beginning: The first bytes of what its lines are read from, unpacked; of a Parquet file as they stand there.
        compression: What it was compressed with, or that it is a Parquet file whose lines are read.
        encoding: What its text is encoded in, and how long the mark of that is.
    """

    raw: bytes = b""
    beginning: bytes = b""
    compression: str | None = None
    encoding: tuple[str, int] | None = None

    @classmethod
    def of(cls, under: Bytes, size: int, column: Column | None = None) -> "Form":
        """See what a file is; its size is needed to unpack it, and which column of a Parquet file is read."""
        beginning = raw = under.read(0, PEEK)[:PEEK]
        if column is not None and raw.startswith(MAGIC):
            return cls(raw, raw, PARQUET)
        compression = streams.compression(raw)
        if compression:
            beginning = b""
            with contextlib.suppress(*streams.BROKEN):  # it is reported where the file is read
                beginning = Unpacked(under, size).read(0, PEEK)[:PEEK]
        return cls(raw, beginning, compression, encoding(beginning))

    @property
    def foreign(self) -> str | None:
        """What it is, in a form that is not read here, and what to do."""
        return strangers.foreign(self.beginning) if self.compression != PARQUET else None

    def is_strange(self, size: int) -> bool:
        """Is it no log, but an archive, a file of ours, or in a form that is not read here?

        Args:
            size: Bytes of the file.
        """
        known = strangers.ours(self.beginning, size) or self.foreign
        return known is not None or is_tar(self.beginning) or is_zip(self.beginning)

"""One record: what was verified of one file, in the form in which it is kept.

A record is a magic word with the version of the form, 32 bytes that vouch for the rest, and the rest, compressed with
zstd: the length of a header, the header as JSON, and two summaries of the core (spec section 7). What vouches is made
with the verification keys that are at hand; without one anybody can make it, and the directory must be safe.

>>> part = Part(11, sha256(b"first line\\n"), 1_700_000_000_000)
>>> record = Record("c" * 64, "e" * 64, Holder(1, 2, 0, 11, 3, 4, True), (part,), None, 11, True, b"summary", b"")
>>> Record.of(record.to_bytes(sha256), sha256) == record, len(record.name)
(True, 50)
"""

import hashlib
import hmac
import json
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass

from tallystick.verify.memory.holder import Holder

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["DamagedError", "Part", "Record", "name_of", "sha256"]

_MAGIC = b"tallymem\x01"
_VOUCHED = 32  # bytes that vouch for the rest
_LENGTH = struct.Struct(">II")  # of the header and of the first summary
_SHORT = 16  # characters of each digest in a name

Vouch = Callable[[bytes], bytes]


class DamagedError(ValueError):
    """Bytes that are no record, or that nothing vouches for."""


def sha256(data: bytes | bytearray | memoryview) -> bytes:
    """Return the SHA-256 of some bytes."""
    return hashlib.sha256(data).digest()


@dataclass(frozen=True, slots=True)
class Part:
    """Whole lines of what a file holds, after those of the part before.

    Args:
        end: Up to which byte they go.
        sha256: Their digest.
        looked: When they were read last, ms since 1970.
    """

    end: int
    sha256: bytes
    looked: int


@dataclass(frozen=True, slots=True)
class Record:
    """What was verified of one file.

    Args:
        context: Digest of all that a scan depends on but the file.
        edge: Digest of the first bytes that it holds.
        holder: The file on the disk, as it was when it was read last.
        parts: What is remembered of it from its beginning on, and stays as it is when the file grows.
        tail: The rest of it, which is read again when the file has grown; None where none is remembered.
        length: Bytes that it held, uncompressed.
        ends_in_lf: Its last line was whole.
        summary: What a scan found in the parts.
        last: What a scan found in the tail.
    """

    context: str
    edge: str
    holder: Holder
    parts: tuple[Part, ...]
    tail: Part | None
    length: int
    ends_in_lf: bool
    summary: bytes
    last: bytes

    @property
    def name(self) -> str:
        """What it is called in its directory."""
        return name_of(self.context, self.edge, self.holder)

    @property
    def end(self) -> int:
        """Up to which byte the parts go."""
        return self.parts[-1].end if self.parts else 0

    @property
    def all_parts(self) -> tuple[Part, ...]:
        """The parts, and the tail if there is one."""
        return self.parts if self.tail is None else (*self.parts, self.tail)

    @property
    def is_whole(self) -> bool:
        """Is all that the file held remembered?"""
        return self.length == (self.tail.end if self.tail is not None else self.end)

    def to_bytes(self, vouch: Vouch) -> bytes:
        """Return the form in which it is kept.

        Args:
            vouch: Gives 32 bytes that vouch for a digest.
        """
        parts = [[part.end, part.sha256.hex(), part.looked] for part in self.all_parts]
        header = {
            "context": self.context,
            "edge": self.edge,
            "holder": self.holder.to_list(),
            "parts": parts,
            "tail": self.tail is not None,
            "length": self.length,
            "lf": self.ends_in_lf,
        }
        said = json.dumps(header, separators=(",", ":")).encode()
        rest = zstd.compress(_LENGTH.pack(len(said), len(self.summary)) + said + self.summary + self.last)
        return _MAGIC + vouch(sha256(rest)) + rest

    @classmethod
    def of(cls, data: bytes | bytearray, vouch: Vouch) -> "Record":
        """Read the form in which it is kept.

        Args:
            data: The bytes.
            vouch: Gives 32 bytes that vouch for a digest.

        Raises:
            DamagedError: Nothing vouches for it, or it has another form.
        """
        magic, vouched, rest = data[: len(_MAGIC)], data[len(_MAGIC) :][:_VOUCHED], data[len(_MAGIC) + _VOUCHED :]
        if magic != _MAGIC or not hmac.compare_digest(bytes(vouched), vouch(sha256(rest))):
            raise DamagedError("nothing vouches for it")
        try:
            return cls._read(zstd.decompress(rest))
        except (ValueError, KeyError, TypeError, IndexError, struct.error, zstd.ZstdError) as error:
            raise DamagedError("it has another form") from error

    @classmethod
    def _read(cls, data: bytes) -> "Record":
        header, summary = _LENGTH.unpack_from(data)
        begin = _LENGTH.size + header
        said = json.loads(data[_LENGTH.size : begin])
        parts = tuple(Part(int(end), bytes.fromhex(digest), int(looked)) for end, digest, looked in said["parts"])
        tail = parts[-1] if said["tail"] else None
        return cls(
            str(said["context"]),
            str(said["edge"]),
            Holder.of_list(said["holder"]),
            parts if tail is None else parts[:-1],
            tail,
            int(said["length"]),
            said["lf"] is True,
            data[begin : begin + summary],
            data[begin + summary :],
        )


def name_of(context: str, edge: str, holder: Holder) -> str:
    """Return what the record of a file is called: what it depends on, how it begins, which file it is."""
    return f"{context[:_SHORT]}-{edge[:_SHORT]}-{holder.key[:_SHORT]}"

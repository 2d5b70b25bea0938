"""One record: what was verified of one file, in the form in which it is kept.

A record is a magic word with the version of the form, 32 bytes that vouch for the rest, and the rest, compressed with
zstd: the length of a header, the header as JSON, and summaries of the core (spec section 7). What vouches is made
with the verification keys that are at hand; without one anybody can make it, and the directory must be safe.

>>> from tallystick.verify.memory.holder import Holder
>>> part = Part(11, sha256(b"first line\\n"), 1_700_000_000_000)
>>> record = Record("c" * 64, "e" * 64, Holder(1, 2, 0, 11, 3, 4, True), (part,), b"summary", (), 11, True)
>>> Record.of(record.to_bytes(sha256), sha256) == record, len(record.name)
(True, 50)
"""

import hashlib
import hmac
import json
import struct
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from tallystick.verify.memory.holder import AnyHolder, Stored, of_list

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = [
    "NO_RECORD", "SHORT", "DamagedError", "Part", "Piece", "Record", "Vouch", "headed", "header_of", "name_of",
    "read_vouched", "sha256", "vouched",
]  # fmt: skip

_MAGIC = b"tallymem\x03"
_VOUCHED = 32  # bytes that vouch for the rest
_LENGTH = struct.Struct(">I")  # of the header

SHORT = 16
"""Characters of each digest in a name."""

NO_RECORD = (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, RecursionError)
"""What reading the JSON of a record raises for anything else."""

Vouch = Callable[[bytes], bytes]
"""Gives 32 bytes that vouch for a digest."""

T = TypeVar("T")


class DamagedError(ValueError):
    """Bytes that are no record, or that nothing vouches for."""


def sha256(data: bytes | bytearray | memoryview) -> bytes:
    """Return the SHA-256 of some bytes."""
    return hashlib.sha256(data).digest()


def headed(header: Mapping[str, Any], held: Iterable[bytes]) -> bytes:
    """Return the length of a header, the header as JSON, and bytes after it, compressed with zstd."""
    said = json.dumps(header, separators=(",", ":")).encode()
    return zstd.compress(b"".join((_LENGTH.pack(len(said)), said, *held)))


def header_of(data: bytes) -> tuple[Any, int]:
    """Return the header of what `headed` compressed, and where the bytes after it begin.

    Raises:
        ValueError, struct.error, RecursionError: There is none.
    """
    (length,) = _LENGTH.unpack_from(data)
    end = _LENGTH.size + length
    return json.loads(data[_LENGTH.size : end]), end


def vouched(magic: bytes, rest: bytes, vouch: Vouch) -> bytes:
    """Return a file of what `headed` gave: a magic word, what vouches for the rest, and the rest."""
    return magic + vouch(sha256(rest)) + rest


def read_vouched(magic: bytes, data: bytes | bytearray, vouch: Vouch, read: Callable[[bytes], T]) -> T:
    """Read such a file.

    Args:
        magic: Its magic word.
        data: Its bytes.
        vouch: What must vouch for it.
        read: Reads the rest, unpacked; it may raise what `header_of` does, and `NO_RECORD`.

    Raises:
        DamagedError: Nothing vouches for it, or it has another form.
    """
    at = len(magic) + _VOUCHED
    rest = bytes(data[at:])
    if data[: len(magic)] != magic or not hmac.compare_digest(bytes(data[len(magic) : at]), vouch(sha256(rest))):
        raise DamagedError("nothing vouches for it")
    try:
        return read(zstd.decompress(rest))
    except (*NO_RECORD, struct.error, zstd.ZstdError) as error:
        raise DamagedError("it has another form") from error


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
class Piece:
    """A part with a summary of its own: it is put together with what comes after it once that is as long.

    Args:
        part: The part.
        summary: What a scan found in it.
    """

    part: Part
    summary: bytes


@dataclass(frozen=True, slots=True)
class Record:
    """What was verified of one file.

    Args:
        context: Digest of all that a scan depends on but the file.
        edge: Digest of the first bytes that a file holds; empty for an object, which is known by its URL.
        holder: The file on the disk or the object, as it was when it was read last.
        parts: What is remembered of it from its beginning on, each as long as a chunk.
        summary: What a scan found in these.
        pieces: What is remembered after them, each with its summary; the longer ones first.
        length: Bytes that it held, uncompressed; -1 where nobody can tell.
        ends_in_lf: Its last line was whole.
        digest: SHA-256 of all its bytes as they are stored, in hexadecimal; empty where that was not taken.
    """

    context: str
    edge: str
    holder: AnyHolder
    parts: tuple[Part, ...]
    summary: bytes
    pieces: tuple[Piece, ...]
    length: int
    ends_in_lf: bool
    digest: str = ""

    @property
    def name(self) -> str:
        """What it is called in its directory."""
        return name_of(self.context, self.edge, self.holder)

    @property
    def all_parts(self) -> tuple[Part, ...]:
        """The parts, and those that are pieces."""
        return (*self.parts, *(piece.part for piece in self.pieces))

    @property
    def looked(self) -> tuple[int, ...]:
        """When each of the parts was read last."""
        return tuple(part.looked for part in self.all_parts)

    @property
    def held_bytes(self) -> object:
        """What tells the bytes that it held from others, whenever they were read."""
        return self.digest or tuple((part.end, part.sha256) for part in self.all_parts)

    @property
    def end(self) -> int:
        """Up to which byte it is remembered."""
        last = self.pieces[-1].part if self.pieces else self.parts[-1] if self.parts else None
        return last.end if last is not None else 0

    @property
    def is_whole(self) -> bool:
        """Is all that the file held remembered?"""
        return self.length == self.end

    @property
    def summaries(self) -> tuple[bytes, ...]:
        """What a scan found, one after the other."""
        return (*((self.summary,) if self.parts else ()), *(piece.summary for piece in self.pieces))

    def up_to(self, count: int, looked: Collection[int], now: int, holder: AnyHolder) -> "Record":
        """Return the same with the first `count` of all parts only, some of which were read just now.

        Args:
            count: How many.
            looked: Numbers of those that were read.
            now: When that was, ms since 1970.
            holder: The file on the disk or the object, as it is now.
        """
        if count == len(self.all_parts) and not looked and holder == self.holder:
            return self
        parts = list(self.all_parts[:count])
        for number in looked:
            parts[number] = Part(parts[number].end, parts[number].sha256, now)
        settled = len(self.parts)
        pieces = [Piece(part, piece.summary) for piece, part in zip(self.pieces, parts[settled:], strict=False)]
        return replace(self, holder=holder, parts=tuple(parts[:settled]), pieces=tuple(pieces))

    def said(self) -> dict[str, Any]:
        """Return what it says, but for its context and what its summaries hold."""
        parts = [[part.end, part.sha256.hex(), part.looked] for part in self.all_parts]
        return {
            "edge": self.edge or self.holder.key,
            "holder": self.holder.to_list(),
            "parts": parts,
            "length": self.length,
            "lf": self.ends_in_lf,
            "digest": self.digest,
            "summaries": [len(self.summary), *(len(piece.summary) for piece in self.pieces)],
        }

    @property
    def held(self) -> bytes:
        """What its summaries hold, one after the other."""
        return b"".join((self.summary, *(piece.summary for piece in self.pieces)))

    def to_bytes(self, vouch: Vouch) -> bytes:
        """Return the form in which it is kept.

        Args:
            vouch: Gives 32 bytes that vouch for a digest.
        """
        return vouched(_MAGIC, headed({"context": self.context, **self.said()}, [self.held]), vouch)

    @classmethod
    def of(cls, data: bytes | bytearray, vouch: Vouch) -> "Record":
        """Read the form in which it is kept.

        Args:
            data: The bytes.
            vouch: Gives 32 bytes that vouch for a digest.

        Raises:
            DamagedError: Nothing vouches for it, or it has another form.
        """
        return read_vouched(_MAGIC, data, vouch, cls._read)

    @classmethod
    def _read(cls, data: bytes) -> "Record":
        said, at = header_of(data)
        (record,) = cls.all_of(str(said["context"]), [said], data, at)
        return record

    @classmethod
    def all_of(cls, context: str, said: Iterable[dict[str, Any]], data: bytes, at: int) -> "tuple[Record, ...]":
        """Return the records that say something, whose summaries are all that comes.

        Args:
            context: Their context.
            said: What each says.
            data: Bytes that end with their summaries.
            at: Where these begin.

        Raises:
            One of `NO_RECORD`: No records say so.
        """
        records = []
        for one in said:
            record, at = cls._of_said(context, one, data, at)
            records.append(record)
        if at != len(data):
            raise ValueError
        return tuple(records)

    @classmethod
    def _of_said(cls, context: str, said: dict[str, Any], data: bytes, at: int) -> tuple["Record", int]:
        """Return the record that says something, and where its summaries end."""
        parts = [Part(int(end), bytes.fromhex(digest), int(looked)) for end, digest, looked in said["parts"]]
        ends = [part.end for part in parts]
        summaries = []
        for length in map(int, said["summaries"]):
            summaries.append(data[at : at + length])
            at += length
            if length < 0:
                raise ValueError
        settled = len(parts) - len(summaries) + 1
        if at > len(data) or settled < 0 or ends != sorted(set(ends)) or (ends and ends[0] <= 0):
            raise ValueError
        edge, holder = str(said["edge"]), of_list(said["holder"])
        if isinstance(holder, Stored) and edge != holder.key:
            raise ValueError
        record = cls(
            context,
            "" if isinstance(holder, Stored) else edge,
            holder,
            tuple(parts[:settled]),
            summaries[0],
            tuple(map(Piece, parts[settled:], summaries[1:])),
            int(said["length"]),
            said["lf"] is True,
            str(said["digest"]),
        )
        return record, at


def name_of(context: str, edge: str, holder: AnyHolder) -> str:
    """Return what the record of a file is called: what it depends on, how it begins, which file it is."""
    return f"{context[:SHORT]}-{(edge or holder.key)[:SHORT]}-{holder.key[:SHORT]}"

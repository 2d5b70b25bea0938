"""A partial result: what one run verified of some inputs, as a file that another run goes on with (spec section 12).

The file is a magic word with the version of the form, how many HMACs follow, these, and a body that is compressed with
zstd: the length of a header, the header as JSON, and summaries of the core. Each HMAC covers all but the HMACs.

>>> partial = Partial("1.0", ("tallypub1…",), (), "c" * 64, ("logs/*",), 1_700_000_000_000, ())
>>> data = partial.to_bytes(lambda digest: sha256(digest))
>>> Partial.of(data, lambda digest: sha256(digest)) == partial, data[:12]
(True, b'tallypart\\x01\\x00\\x01')
"""

import hmac
import io
import json
import os
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tallystick.verify.memory.record import NO_RECORD, DamagedError, Record, Vouch, sha256
from tallystick.verify.paths import STDIN
from tallystick.verify.streams import BROKEN, blocks

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["MOST", "Partial"]

MOST = 2**31
"""Bytes of a partial result at most, as a file and unpacked."""

_WORD, _VERSION = b"tallypart", 1
_MAC = 32  # bytes
_COUNT = struct.Struct(">H")  # of HMACs
_LENGTH = struct.Struct(">I")  # of the header
_ZSTD = b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True, slots=True)
class Partial:
    """What one run verified of some inputs.

    Args:
        program: Version of the program that made it.
        logs: Public keys of the logs, in their order.
        weakened: What the scan was told to pass over or to take out, as people read it.
        context: Digest of all that the scan depended on but the inputs.
        paths: What was named.
        time: When the run began, ms since 1970.
        records: What was found in each input.
    """

    program: str
    logs: tuple[str, ...]
    weakened: tuple[str, ...]
    context: str
    paths: tuple[str, ...]
    time: int
    records: tuple[Record, ...]

    def to_bytes(self, vouch: Vouch) -> bytes:
        """Return the file.

        Args:
            vouch: Gives the HMACs of a digest, 32 bytes each; none with public keys alone.
        """
        header = {
            "program": self.program,
            "logs": self.logs,
            "weakened": self.weakened,
            "context": self.context,
            "paths": self.paths,
            "time": self.time,
            "inputs": [record.said() for record in self.records],
        }
        said = json.dumps(header, separators=(",", ":")).encode()
        body = zstd.compress(b"".join((_LENGTH.pack(len(said)), said, *(record.held for record in self.records))))
        begin = _WORD + bytes([_VERSION])
        macs = vouch(sha256(begin + body))
        return begin + _COUNT.pack(len(macs) // _MAC) + macs + body

    @classmethod
    def of(cls, data: bytes | bytearray, vouch: Vouch) -> "Partial":
        """Read the file.

        Args:
            data: Its bytes.
            vouch: Gives the HMACs of a digest, as the reader's keys make them.

        Raises:
            DamagedError: It has another form or version, or its HMACs are not those.
        """
        begin = bytes(data[: len(_WORD) + 1])
        if begin[:-1] != _WORD or len(data) < len(begin) + _COUNT.size:
            raise DamagedError("this is no partial result")
        if begin[-1] != _VERSION:
            raise DamagedError(f"this partial result has version {begin[-1]}, and only {_VERSION} is read here")
        (count,) = _COUNT.unpack_from(data, len(begin))
        at = len(begin) + _COUNT.size
        macs, body = bytes(data[at : at + count * _MAC]), data[at + count * _MAC :]
        expected = vouch(sha256(begin + body))
        if not hmac.compare_digest(macs, expected):
            known = len(macs) == len(expected)
            raise DamagedError("it was changed or cut" if known else "it was made with other keys")
        try:
            return cls._read(_unpacked(body))
        except (*NO_RECORD, *BROKEN, struct.error) as error:
            raise DamagedError("this partial result has another form") from error

    @classmethod
    def _read(cls, data: bytes) -> "Partial":
        (length,) = _LENGTH.unpack_from(data)
        at = _LENGTH.size + length
        said = json.loads(data[_LENGTH.size : at])
        context, records = _text(said["context"]), []
        for one in said["inputs"]:
            record, at = Record.of_said(context, one, data, at)
            records.append(record)
        if at != len(data):
            raise ValueError
        logs, weakened, paths = (_texts(said[name]) for name in ("logs", "weakened", "paths"))
        if any(b"\0" in os.fsencode(path) or path == STDIN for path in paths):
            raise ValueError
        return cls(_text(said["program"]), logs, weakened, context, paths, int(said["time"]), tuple(records))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _texts(values: Sequence[Any]) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise TypeError
    return tuple(map(_text, values))


def _unpacked(body: bytes | bytearray) -> bytes:
    """Return what was compressed, within bounds."""
    if not body.startswith(_ZSTD):
        raise ValueError
    held, size = [], 0
    for block in blocks(io.BytesIO(body).read, len(body)):
        size += len(block)
        if size > MOST:
            raise ValueError
        held.append(block)
    return b"".join(held)

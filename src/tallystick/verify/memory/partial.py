"""A partial result: what one run verified of some inputs, as a file that another run goes on with (spec section 12).

The file is a magic word with the version of the form, how many HMACs follow, these, each with the log and the chain in
whose name it vouches (0 for V), and a body that is compressed with zstd: the length of a header, the header as JSON,
and summaries of the core. Each HMAC covers all but the HMACs.

>>> partial = Partial("1.0", ("tallypub1…",), (), "c" * 64, ("logs/*",), 1_700_000_000_000, ())
>>> keys = _core.Keys()
>>> data = partial.to_bytes(keys)
>>> Partial.of(data, keys) == partial, data[:12]
(True, b'tallypart\\x02\\x00\\x00')
"""

import hmac
import io
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tallystick import _core
from tallystick.verify.memory.record import NO_RECORD, DamagedError, Record, headed, header_of, sha256
from tallystick.verify.paths import STDIN
from tallystick.verify.streams import BROKEN, blocks

__all__ = ["MOST", "Partial"]

MOST = 2**31
"""Bytes of a partial result at most, as a file and unpacked."""

_WORD, _VERSION = b"tallypart", 2
_COUNT = struct.Struct(">H")  # of HMACs
_NAME = struct.Struct(">II")  # log and chain
_MAC = 32  # bytes
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
        scope: In whose names it is vouched for, once it was read: log, and chain, or 0 for V.
    """

    program: str
    logs: tuple[str, ...]
    weakened: tuple[str, ...]
    context: str
    paths: tuple[str, ...]
    time: int
    records: tuple[Record, ...]
    scope: tuple[tuple[int, int], ...] = field(default=(), compare=False)

    def to_bytes(self, keys: _core.Keys) -> bytes:
        """Return the file.

        Args:
            keys: Those that vouch for it; public keys do not.
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
        body = headed(header, (record.held for record in self.records))
        scope = keys.scope()
        digest = _digest(scope, body)
        macs = (_NAME.pack(*name) + (keys.vouch_partial(digest, name) or b"") for name in scope)
        return _begin(scope) + b"".join(macs) + body

    @classmethod
    def of(cls, data: bytes | bytearray, keys: _core.Keys) -> "Partial":
        """Read the file.

        Args:
            data: Its bytes.
            keys: The reader's.

        Raises:
            DamagedError: It has another form or version, or nothing vouches for it that these keys can tell.
        """
        at = len(_WORD) + 1
        if data[: len(_WORD)] != _WORD or len(data) < at + _COUNT.size:
            raise DamagedError("this is no partial result")
        if data[at - 1] != _VERSION:
            raise DamagedError(f"this partial result has version {data[at - 1]}, and only {_VERSION} is read here")
        (count,) = _COUNT.unpack_from(data, at)
        at += _COUNT.size
        each = _NAME.size + _MAC
        vouched, body = bytes(data[at : at + count * each]), data[at + count * each :]
        if len(vouched) < count * each:
            raise DamagedError("it was changed or cut")
        scope, macs = [], []
        for start in range(0, len(vouched), each):
            chain = _NAME.unpack_from(vouched, start)
            scope.append((chain[0], chain[1]))
            macs.append(vouched[start + _NAME.size : start + each])
        _check(scope, macs, _digest(scope, body), keys)
        try:
            return cls._read(_unpacked(body), tuple(scope))
        except (*NO_RECORD, *BROKEN, struct.error) as error:
            raise DamagedError("this partial result has another form") from error

    @classmethod
    def _read(cls, data: bytes, scope: tuple[tuple[int, int], ...]) -> "Partial":
        said, at = header_of(data)
        context = _text(said["context"])
        records = Record.all_of(context, said["inputs"], data, at)
        logs, weakened, paths = (_texts(said[name]) for name in ("logs", "weakened", "paths"))
        if any(b"\0" in os.fsencode(path) or path == STDIN for path in paths):
            raise ValueError
        return cls(_text(said["program"]), logs, weakened, context, paths, int(said["time"]), records, scope)


def _begin(scope: Sequence[tuple[int, int]]) -> bytes:
    return _WORD + bytes([_VERSION]) + _COUNT.pack(len(scope))


def _digest(scope: Sequence[tuple[int, int]], body: bytes | bytearray) -> bytes:
    """Return the digest of all but the HMACs."""
    return sha256(b"".join((_begin(scope), *(_NAME.pack(*name) for name in scope), body)))


def _check(scope: Sequence[tuple[int, int]], macs: Sequence[bytes], digest: bytes, keys: _core.Keys) -> None:
    """See that each HMAC is one of these keys; with a secret key there must be one."""
    expected = [keys.vouch_partial(digest, name) for name in scope]
    if None in expected or (not scope and keys.scope()) or len(set(scope)) < len(scope):
        raise DamagedError("it was made with other keys")
    if not all(hmac.compare_digest(mac, own or b"") for mac, own in zip(macs, expected, strict=True)):
        raise DamagedError("it was changed or cut")


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

"""Frames of the acknowledged protocol, as a client sends and reads them (spec/agent.md section 3).

>>> batch(1, [b"one", b"two"]).hex()
'00000017020000000000000001000000036f6e650000000374776f'
>>> Reader().feed(bytes.fromhex("000000118201000000000000000700000001000009"))
[Acknowledgement(state=1, through=7, position=(1, 0, 9))]
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["NEW", "PREAMBLE", "Acknowledgement", "Frame", "Reader", "Refused", "Welcome", "batch", "hello", "single"]

PREAMBLE = b"\0tally\0\x01"
"""The first bytes of a client."""

NEW = bytes(16)
"""The id of a client that has none yet."""

_HELLO, _BATCH, _WELCOME, _ACKNOWLEDGEMENT, _REFUSAL = 1, 2, 0x81, 0x82, 0x83
_LONGEST = 4096  # bytes of a frame of the agent; its longest has a text for people
_LENGTH = struct.Struct(">I")
_BATCH_HEAD = struct.Struct(">IBQ")
_SINGLE_HEAD = struct.Struct(">IBQI")


class Welcome(NamedTuple):
    """The agent knows the client: its id, the highest number in the log, lines of a window, bytes of a line."""

    id: bytes
    through: int
    window: int
    longest: int


class Acknowledgement(NamedTuple):
    """All lines up to a number are in a state; the last one is at a position."""

    state: int
    through: int
    position: tuple[int, int, int]


class Refused(NamedTuple):
    """The agent ends the conversation: a code, and a text for people."""

    code: int
    text: str


Frame = Welcome | Acknowledgement | Refused


def hello(id: bytes, state: int) -> bytes:
    """Return the first frame of a client."""
    return struct.pack(">IBB16s", 18, _HELLO, state, id)


def batch(first: int, lines: Sequence[bytes]) -> bytes:
    """Return a frame with some lines, the first of which has a number."""
    body = b"".join([part for line in lines for part in (_LENGTH.pack(len(line)), line)])
    return _BATCH_HEAD.pack(9 + len(body), _BATCH, first) + body


def single(number: int, line: bytes) -> bytes:
    """Return the same for one line."""
    size = len(line)
    return _SINGLE_HEAD.pack(13 + size, _BATCH, number, size) + line


class Reader:
    """Puts frames of the agent together from pieces of a stream."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that end in some more bytes.

        Raises:
            ValueError: They are no frames of an agent.
        """
        data, found, at = self._rest + data, [], 0
        while len(data) - at >= 4:
            (size,) = _LENGTH.unpack_from(data, at)
            if not 0 < size <= _LONGEST:
                raise ValueError(f"a frame of {size} bytes")
            if len(data) - at - 4 < size:
                break
            found.append(_read(data[at + 4], data[at + 5 : at + 4 + size]))
            at += 4 + size
        self._rest = data[at:]
        return found


def _read(kind: int, body: bytes) -> Frame:
    try:
        if kind == _WELCOME:
            return Welcome(*struct.unpack(">16sQII", body))
        if kind == _ACKNOWLEDGEMENT:
            state, through, *position = struct.unpack(">BQIBH", body)
            return Acknowledgement(state, through, (position[0], position[1], position[2]))
        if kind == _REFUSAL:
            code, _ = struct.unpack_from(">BQ", body)
            text = body[9:].decode("utf-8", "replace")
            return Refused(code, "".join(each if each.isprintable() else "?" for each in text))
    except struct.error:
        pass
    raise ValueError(f"a frame of type {kind} and {len(body)} bytes")

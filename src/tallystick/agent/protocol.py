"""Frames of the acknowledged protocol, as the agent sends them (spec/agent.md section 3).

>>> acknowledgement(SEALED, 7, numbers("1.0.9")).hex()
'000000118201000000000000000700000001000009'
"""

import struct

__all__ = ["SEALED", "SYNCED", "WITNESSED", "Refusal", "acknowledgement", "numbers", "refusal", "welcome"]

SEALED, SYNCED, WITNESSED = 1, 2, 3
"""States that a client can ask for."""

_WELCOME, _ACKNOWLEDGEMENT, _REFUSAL = 0x81, 0x82, 0x83


class Refusal:
    """Codes of refusals; the core gives those up to 5."""

    MALFORMED, EXPIRED, CONFLICT, GAP, TOO_LONG, TOO_MANY, STATE, SUPERSEDED, LEAVING = range(1, 10)

    TEXTS = (
        "", "malformed frame", "the id or the number is not remembered; the line may be in the log",
        "another line has this number", "a number before this one is lacking", "too long",
        "too many clients of this identity", "this state is not offered", "another connection has this id now",
        "the agent ends",
    )  # fmt: skip


def numbers(position: str) -> tuple[int, int, int]:
    """Return the three numbers of a position."""
    chain, epoch, index = map(int, position.split("."))
    return chain, epoch, index


def _frame(kind: int, body: bytes) -> bytes:
    return struct.pack(">IB", len(body) + 1, kind) + body


def welcome(id: bytes, through: int, window: int, line: int) -> bytes:
    """Return the answer to a hello: id, highest number in the log, lines of which hashes are kept, longest line."""
    return _frame(_WELCOME, id + struct.pack(">QII", through, window, line))


def acknowledgement(state: int, through: int, at: tuple[int, int, int]) -> bytes:
    """Return the word that all lines up to a number are in a state; the last one is at a position, 0.0.0 if unknown."""
    return _frame(_ACKNOWLEDGEMENT, struct.pack(">BQIBH", state, through, *at))


def refusal(code: int, number: int) -> bytes:
    """Return the word that the conversation ends."""
    return _frame(_REFUSAL, struct.pack(">BQ", code, number) + Refusal.TEXTS[code].encode())

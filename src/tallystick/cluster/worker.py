"""What runs on a worker of a cluster: it scans a share, and asks the client for keys as it meets chains.

Questions go to the client as an event by way of the scheduler, and the answer comes as a call of `deliver`: it is
encrypted for this share alone, so that it says nothing to anybody on its way, nor in any log.
"""

import threading
import uuid
from collections.abc import Sequence

from tallystick.errors import ReportError
from tallystick.verify.shares import Ask, Chain, Piece, Plan, Share, carry_out_share

__all__ = ["ANSWER_WITHIN", "carry_out", "deliver"]

ANSWER_WITHIN = 60.0
"""Seconds within which the client must answer."""


class _Waiting:
    """Somebody who waits for an answer."""

    def __init__(self) -> None:
        self.came, self.message = threading.Event(), b""


_waiting: dict[str, _Waiting] = {}


def carry_out(topic: str, plan: Plan, pieces: Sequence[Piece]) -> Share:
    """Carry out a share: the task that a worker is given.

    Args:
        topic: Under which the client hears questions.
        plan: What the scan depends on.
        pieces: What is scanned.
    """
    return carry_out_share(plan, pieces, _asking(topic))


def deliver(token: str, message: bytes) -> None:
    """Take an answer: called by the client on the worker that asked."""
    if (one := _waiting.get(token)) is not None:
        one.message = message
        one.came.set()


def _asking(topic: str) -> Ask:
    from distributed import get_worker

    own = get_worker()

    def ask(reader: bytes, wanted: Sequence[Chain], lines: Sequence[bytes]) -> bytes:
        token, one = str(uuid.uuid4()), _Waiting()
        _waiting[token] = one
        try:
            own.log_event(
                topic,
                {"token": token, "worker": own.address, "reader": reader, "wanted": list(wanted), "lines": list(lines)},
            )
            if not one.came.wait(ANSWER_WITHIN):
                raise ReportError(f"the client did not answer within {ANSWER_WITHIN:.0f} s")
            return one.message
        finally:
            _waiting.pop(token, None)

    return ask

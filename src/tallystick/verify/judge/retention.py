"""Older chains that were deleted by policy: the log says so, and the verifier knows that it was late (spec section 9).

What the log says excuses nothing alone, or an intruder would make his own deletion rightful. So the caller names the
least period for which chains are kept, and something that is not the host's must show that the first chain here existed
that long ago: what a witness received, or a pin that the caller dated.
"""

import datetime
import re

from tallystick.verify.findings import when
from tallystick.verify.judge.view import LogView

__all__ = ["days", "deleted_by_policy"]

_KIND = "retention"
_PERIOD = re.compile(rb"[1-9][0-9]{0,15}")  # seconds


def deleted_by_policy(log: LogView) -> str | None:
    """Say why the chains before the first one here may be gone; None where nothing excuses that."""
    asked = log.expected.retention
    if asked is None or not log.facts.numbers:
        return None
    first = log.facts.numbers[0]
    if log.facts.chains[first].first != (first, 0, 0) or not _is_policy(log, asked.seconds):
        return None
    until = asked.now - asked.seconds * 1000
    received = [one for one in log.anchors.received if one.time is not None and one.parsed.chain >= first]
    oldest = min(received, key=lambda one: one.time or 0, default=None)
    if oldest is not None and oldest.time is not None and oldest.time <= until:
        return f"the witness {oldest.witness} received a text of chain {oldest.parsed.chain} at {when(oldest.time)}"
    pinned = [(seen, pin) for pin in log.anchors.pins if pin.at[0] >= first and (seen := _seen(pin.seen)) is not None]
    time, pin = min(pinned, key=lambda one: one[0], default=(0, None))
    if pin is not None and time <= until:
        return f"a pin of chain {pin.at[0]} was kept at {when(time)}"
    return None


def _is_policy(log: LogView, seconds: float) -> bool:
    """Does the log say that it is kept for so long at least?"""
    said = (notice.text for notice in log.facts.source.facts.notices(log.facts.number) if notice.kind == _KIND)
    return any(_PERIOD.fullmatch(text) is not None and int(text) >= seconds for text in said)


def _seen(text: str | None) -> int | None:
    """Return when a pin was kept, in ms since 1970; None where nobody says."""
    try:
        return int(datetime.datetime.fromisoformat(text).timestamp() * 1000) if text is not None else None
    except ValueError:
        return None


def days(seconds: float) -> str:
    """Return a period as people write it.

    >>> days(400 * 86400), days(5400)
    ('400d', '5400s')
    """
    return f"{seconds / 86400:g}d" if not seconds % 86400 else f"{seconds:g}s"

"""Ends a verification: what the caller knows of the ends of logs and files decides which lines are torn."""

from collections.abc import Sequence

from tallystick import _core
from tallystick.verify.copies import Copies
from tallystick.verify.expectations import Expectations
from tallystick.verify.inputs import Input

__all__ = ["finished"]


def finished(
    verification: _core.Verification, keys: _core.Keys, inputs: Sequence[Input], asked: Expectations
) -> _core.Facts:
    """Return the facts of a verification that has no pass left.

    Args:
        verification: What was scanned.
        keys: The logs.
        inputs: What was read; still open.
        asked: What the caller brings along and asks for.
    """
    log_ids = [log_id for _, log_id, *_ in keys.logs()]
    numbers = {log_id: number for number, log_id in enumerate(log_ids)}
    pins = [_core.parse_pin(pin.text)[:2] for pin in asked.pins]
    expected = _core.Expected(
        keys,
        whole=[number for number, one in enumerate(inputs) if one.ends_in_lf],
        heads=[(numbers[log_id], text) for log_id, text in asked.heads.texts.items() if log_id in numbers],
        pins=[(numbers[log_id], at) for log_id, at in pins if log_id in numbers],
        shown=[(one.log, one.until) for one in asked.witnesses.shown if one.counts(keys)],
        start=asked.start,
        last=asked.last,
    )
    copies = Copies(inputs, verification.chunks(), log_ids)
    return verification.finish(expected, {end.event for end in verification.broken_ends(expected) if copies.has(end)})

"""Ends a verification: what the caller knows of the ends of logs and files decides which lines are torn."""

from collections.abc import Sequence

from tallystick import _core
from tallystick.verify.anchors import Anchors
from tallystick.verify.copies import Copies
from tallystick.verify.expectations import Expectations
from tallystick.verify.moment import Moment

__all__ = ["finished"]


def finished(
    moment: Moment,
    keys: _core.Keys,
    asked: Expectations,
    anchors: Sequence[Anchors],
) -> _core.Facts:
    """Return the facts of a verification that has no pass left.

    Args:
        moment: What was scanned; its files are still open.
        keys: The logs.
        asked: What the caller brings along and asks for.
        anchors: What of it anchors each log.
    """
    logs, verification = list(enumerate(anchors)), moment.verification
    expected = _core.Expected(
        whole=[number for number, one in enumerate(moment.inputs) if one.ends_in_lf],
        counted={number: log.counted for number, log in logs if log.counted is not None},
        pins=[(number, pin.at) for number, log in logs for pin in log.pins],
        shown=[(number, one.until) for number, log in logs for one in log.received],
        start=asked.start,
        last=asked.last,
    )
    copies = Copies(moment.inputs, moment.chunks, [log_id for _, log_id, *_ in keys.logs()])
    return verification.finish(expected, {end.event for end in verification.broken_ends(expected) if copies.has(end)})

"""How an entry comes from one state into another, and what of that is reported: functions of values, without a clock.

Two things are judged apart, so that trouble of operation never looks like tampering, nor tampering like trouble: what a
look showed counts until another look succeeds; that none succeeds is a state of its own, which hides no finding.

| it is | when | unless it is |
| --- | --- | --- |
| failed | a look showed what must not be | |
| stale | no look succeeded for so many intervals | failed |
| silent | nothing new came for longer than agreed, and the log has not ended | failed, stale |
| incomplete | a look could not say that all is well | failed, stale, silent |
| never | nothing of it was ever seen | failed, stale |
| ok | otherwise | |

>>> rules = Rules(stale_after=10.0, silence=60.0)
>>> state(Known(verdict=Verdict.OK, looked=100.0, newest=99.0), rules, 130.0)
<State.STALE: 'stale'>
>>> state(Known(verdict=Verdict.FAILED, looked=100.0, newest=99.0), rules, 130.0)
<State.FAILED: 'failed'>
>>> state(Known(verdict=Verdict.OK, looked=200.0, newest=99.0), rules, 201.0)
<State.SILENT: 'silent'>
"""

from collections.abc import Iterable
from dataclasses import dataclass

from tallystick.verify.catalogue import Kind, Weight
from tallystick.verify.report import Finding, Verdict
from tallystick.watch.standing import State

__all__ = ["ADVICE", "GRACE", "Known", "Rules", "is_due", "may_be_motion", "print_of", "state"]

GRACE = 30.0
"""Seconds after which it is reported that nothing of an entry was ever seen: it may be just about to begin."""

ADVICE = {
    State.OK: "nothing",
    State.FAILED: "keep the files as they are, and look at the findings; docs/verify.md says what each means",
    State.INCOMPLETE: "look at the findings: something that is needed for a verdict is not here",
    State.STALE: "let the service read the files and the key store again; nothing is verified until then",
    State.SILENT: "see whether the writer still runs, and whether its lines still come to this place",
    State.NEVER: "start the writer, or correct the paths of the entry",
}
"""What to do in a state."""

_MOVING = frozenset(
    {
        Kind.MISSING,
        Kind.TRUNCATED,
        Kind.LATE_START,
        Kind.OPEN_END,
        Kind.UNCLEAN_END,
        Kind.NO_HEAD,
        Kind.DUPLICATE,
        Kind.REORDERED,
        Kind.UNREADABLE,
        Kind.NOTHING_VERIFIED,
        Kind.BAD_HEAD,
    }
)
"""What two looks at files that are renamed, compressed and removed between them may seem to show."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What was agreed for an entry.

    Args:
        stale_after: Seconds without a look that succeeded, after which it is stale.
        silence: Seconds without anything new after which it is silent; None if it may be.
    """

    stale_after: float
    silence: float | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of an entry; times are seconds on a clock that nobody sets.

    Args:
        verdict: Verdict of the last look that succeeded; None before the first.
        looked: When that was, or when the service began.
        newest: When something new was seen last; None if nothing ever was.
        has_ended: Its logs have ended: nothing more is to come.
    """

    verdict: Verdict | None = None
    looked: float = 0.0
    newest: float | None = None
    has_ended: bool = False


def state(known: Known, rules: Rules, now: float) -> State:
    """Return the state of an entry.

    Args:
        known: What is known of it.
        rules: What was agreed.
        now: The time, on the same clock.
    """
    if known.verdict is Verdict.FAILED:
        return State.FAILED
    if now - known.looked > rules.stale_after:
        return State.STALE
    if known.newest is None:
        return State.NEVER
    if rules.silence is not None and not known.has_ended and known.looked - known.newest > rules.silence:
        return State.SILENT  # what came since the last look, nobody knows
    return State.INCOMPLETE if known.verdict is Verdict.INCOMPLETE else State.OK


def is_due(last: float | None, repeat: float | None, now: float) -> bool:
    """Is it time to report a state that lasts once more?

    Args:
        last: When it was reported last, on the clock that nobody sets.
        repeat: Seconds after which it is reported again; None for never.
        now: The time, on the same clock.
    """
    return repeat is not None and last is not None and now - last >= repeat


def may_be_motion(findings: Iterable[Finding]) -> bool:
    """May all that counts among some findings be the effect of files that moved while they were looked at?"""
    grave = [one for one in findings if one.weight is not Weight.NOTE]
    return bool(grave) and all(one.kind in _MOVING for one in grave)


def print_of(finding: Finding) -> str:
    """Return what a finding is known by, however many lines it grows by and whatever its file is called.

    What only leaves a verdict open goes on with the log: its position says nothing.
    """
    place = (finding.position or "", finding.sha256 or "") if finding.weight is Weight.FAILED else ()
    return " ".join((finding.kind, finding.log or "", *place))

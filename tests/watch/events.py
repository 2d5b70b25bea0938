"""Events and standings made by hand, for tests of alerts and metrics."""

from typing import Any

from tallystick.verify.report import Finding, Kind, Verdict, Weight
from tallystick.watch.events import Event, Reason
from tallystick.watch.standing import Newest, Seen, Standing, State

NOON = 1_764_201_600_000  # ms since 1970
HOSTILE = "\x1b]0;owned\x07<script>alert(1)</script>\n*bold* <!channel> \u202egnp.exe \udcff%n\u2028{{7*7}}\x00"


def altered(**more: Any) -> Finding:
    """Return a finding as a verification gives it."""
    given: dict[str, Any] = {
        "detail": "the line is not the one that was sealed", "log": "app", "path": "/var/log/app.log", "line": 3,
        "offset": 240, "position": "1.0.3", "to": None, "count": 1, "excerpt": 'user "eve" got in', "sha256": "ab" * 32,
    }  # fmt: skip
    return Finding(Kind.ALTERED, Weight.FAILED, **(given | more))


def event(number: int | str, entry: str = "app", reason: Reason = Reason.CHANGE, **more: Any) -> Event:
    """Return an event that says that an entry failed, unless more is said."""
    given: dict[str, Any] = {
        "before": State.OK, "after": State.FAILED, "since": NOON, "finding": altered(), "more": 2, "first_seen": NOON,
        "delay": 1.5, "advice": "make a copy of the files", "labels": {"team": "payments"},
    }  # fmt: skip
    return Event(str(number), NOON, entry, reason, **(given | more))


def over(number: int | str, entry: str = "app") -> Event:
    """Return the event that an entry is ok again."""
    return event(number, entry, before=State.FAILED, after=State.OK, finding=None, more=0, first_seen=None, delay=None)


def hostile(number: int | str = 1) -> Event:
    """Return an event in which each text is an attacker's, and as long as it can be."""
    much = HOSTILE * 20_000
    found = altered(detail=much, cause=much, log=much, path=much, excerpt=much)
    labels = {f"{HOSTILE}{number}": much for number in range(100)}
    return event(number, much, finding=found, more=1_000_000, trouble=much, advice=much, labels=labels)


def standing(name: str, state: State = State.OK, **more: Any) -> Standing:
    """Return how an entry stands, having been looked at."""
    newest = Newest(line=NOON, checkpoint=NOON - 1000, head=NOON - 2000, pin=NOON - 3000, looked=NOON - 4000)
    given: dict[str, Any] = {
        "time": NOON + 500, "seconds": 0.25, "verdict": Verdict.OK, "findings": (), "counts": {},
        "lines": 1000, "size": 80_000, "lag": 17, "newest": newest,
    }  # fmt: skip
    labels = more.pop("labels", {})
    return Standing(name, state, NOON - 60_000, seen=Seen(**(given | more)), tried=NOON + 600, labels=labels)

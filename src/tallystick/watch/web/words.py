"""Words and signs for states, ages and stretches of time.

>>> age(4_000), age(150_000), age(-5), age(3 * 3_600_000 + 60_000), age(50 * 3_600_000)
('4 s', '2 min', '0 s', '3 h 1 min', '2 d 2 h')
>>> summary({State.FAILED: 1, State.OK: 2000})
'1 failed, 2,000 ok'
>>> headline({State.OK: 2000}), headline({State.FAILED: 1, State.SILENT: 2, State.OK: 3})
('All 2,000 logs are ok', '1 of 6 logs has failed')
"""

from collections.abc import Mapping

from tallystick.reports.html import SIGNS as _WEIGHTS
from tallystick.reports.words import number
from tallystick.watch.standing import State

__all__ = ["ADVICE", "MEANING", "ORDER", "SIGNS", "age", "brief", "headline", "summary"]

ORDER = (State.FAILED, State.INCOMPLETE, State.STALE, State.SILENT, State.NEVER, State.OK)
"""The states, the worst first."""

SIGNS = {**_WEIGHTS, "stale": "?", "silent": "…", "never": "○"}
"""What stands beside a state or weight, for those who do not see colours."""

MEANING = {
    State.OK: "every line is as it was sealed, and none is missing",
    State.FAILED: "the log is not as it was sealed",
    State.INCOMPLETE: "what is here holds, but something could not be determined",
    State.STALE: "it could not be looked at for too long: nothing is known of its newest lines",
    State.SILENT: "nothing new came for longer than agreed, although its writer should say something",
    State.NEVER: "nothing of it has been seen yet",
}
"""What a state means."""

ADVICE = {
    State.OK: "There is nothing to do.",
    State.FAILED: "Keep everything as it is, make a copy, and start with the first finding: it says where to look.",
    State.INCOMPLETE: "This is no proof that all is well. Give what the findings ask for.",
    State.STALE: "This is trouble of operation, no sign of tampering. Correct its cause; nothing is lost by the wait.",
    State.SILENT: "See whether the writer runs, and whether its lines come through.",
    State.NEVER: "See whether the paths are right, and whether its writer was ever started.",
}
"""What to do in a state."""

_MANY = {
    State.FAILED: ("has failed", "have failed"),
    State.INCOMPLETE: ("is incomplete", "are incomplete"),
    State.STALE: ("is stale", "are stale"),
    State.SILENT: ("is silent", "are silent"),
    State.NEVER: ("was never seen", "were never seen"),
}
_LONGEST = 600  # characters of a text that are shown


def headline(counts: Mapping[State, int]) -> str:
    """Return the worst of all states as a sentence."""
    whole = sum(counts.values())
    worst = next((state for state in ORDER if counts.get(state)), None)
    if worst is None:
        return "No log is watched"
    if worst is State.OK:
        return f"All {number(whole)} logs are ok" if whole > 1 else "The log is ok"
    count = counts[worst]
    logs = "log" if whole == 1 else "logs"
    return f"{number(count)} of {number(whole)} {logs} {_MANY[worst][count > 1]}"


def summary(counts: Mapping[State, int]) -> str:
    """Return how many logs are in each state."""
    return ", ".join(f"{number(counts[state])} {state.value}" for state in ORDER if counts.get(state))


def age(ms: float) -> str:
    """Return a stretch of time for people, in its two largest units from hours on.

    Args:
        ms: Its length in milliseconds; a negative one is as good as none.
    """
    seconds = max(int(ms // 1000), 0)
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86_400
    if days:
        return f"{number(days)} d {hours % 24} h" if hours % 24 else f"{number(days)} d"
    if hours:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{minutes} min" if minutes else f"{seconds} s"


def brief(text: str, most: int = _LONGEST) -> str:
    """Return a text, cut where it is longer than can be shown.

    >>> brief("a" * 9, 4)
    'aaaa… (9 characters)'
    """
    return text if len(text) <= most else f"{text[:most]}… ({number(len(text))} characters)"

"""An event as receivers get it: plain values, bounded, and with nothing in them that a terminal would act on.

Names of files and texts of lines are an attacker's choice. Each text here is one line of printable characters, cut to
a length of its own, so that a whole event has less than 64 KiB in JSON, whatever stands in the log.

>>> from tallystick.watch.events import Event, Reason
>>> from tallystick.watch.standing import State
>>> event = Event("1", 0, "a\\x1b[2J", Reason.CHANGE, State.OK, State.SILENT, 0, trouble="no line for 15 minutes")
>>> plain = plain_event(event)
>>> plain["entry"], plain["summary"]
('a\\\\x1b[2J~3f365b4b', 'a\\\\x1b[2J~3f365b4b is silent: no line for 15 minutes')
>>> cloud_event(plain, "urn:tallystick:watch:db1")["type"]
'tallystick.watch.change'
"""

import hashlib
import json
from importlib import resources
from typing import Any

from tallystick.reports.words import number, safe, when
from tallystick.verify.catalogue import CATALOGUE, Kind
from tallystick.watch.events import Event

__all__ = ["as_line", "clipped", "cloud_event", "distinct", "plain_event", "reduced", "schema"]

_LONGEST = {
    "id": 128, "entry": 200, "trouble": 300, "advice": 300,
    "detail": 300, "cause": 300, "log": 100, "path": 512, "position": 40, "to": 40, "excerpt": 640, "sha256": 64,
}  # fmt: skip
"""Characters of each text."""
_LABELS = 16  # that an event carries at most
_LABEL, _VALUE = 64, 100  # characters of a label's name and value


def plain_event(event: Event) -> dict[str, Any]:
    """Return an event in the form of `tallystick_event` 1, bounded, with a summary in one line for people."""
    plain: dict[str, Any] = {name: _bounded(name, value) for name, value in event.to_dict().items()}
    if plain["finding"] is not None:
        plain["finding"] = {name: _bounded(name, value) for name, value in plain["finding"].items()}
    labels = list(plain["labels"].items())[:_LABELS]
    plain["labels"] = {clipped(str(name), _LABEL): clipped(str(value), _VALUE) for name, value in labels}
    return plain | {"summary": _summary(plain), "reduced": False, "dropped": 0}


def reduced(plain: dict[str, Any]) -> dict[str, Any]:
    """Return an event without any text of the log or name of a file, for a receiver that refuses the whole one.

    A firewall before a receiver may refuse what an attacker wrote into the log; that must not silence the alert.
    """
    found = plain["finding"]
    if found is not None:
        title = CATALOGUE[Kind(found["kind"])].title
        found = found | {"detail": title, "cause": None, "log": None, "path": None, "excerpt": None}
    less = plain | {"finding": found, "trouble": "", "reduced": True}
    return less | {"summary": _summary(less)}


def cloud_event(plain: dict[str, Any], source: str) -> dict[str, Any]:
    """Return an event in the structured mode of CloudEvents 1.0.

    Args:
        plain: The event as `plain_event` returns it.
        source: URI of this service.
    """
    return {
        "specversion": "1.0",
        "id": plain["id"],
        "source": source,
        "type": f"tallystick.watch.{plain['reason']}",
        "subject": plain["entry"],
        "time": when(plain["time"]),
        "datacontenttype": "application/json",
        "data": plain,
    }


def as_line(value: dict[str, Any]) -> bytes:
    """Return a value as one line of JSON in ASCII."""
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) that each event follows."""
    text = resources.files("tallystick.watch").joinpath("event-1.schema.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def clipped(text: str, most: int) -> str:
    """Return text on one line, printable, with at most so many characters; the middle of a longer one is left out.

    >>> clipped("0123456789", 9)
    '0123…6789'
    """
    text = safe(text[: most * 2] + text[-most * 2 :] if len(text) > most * 4 else text)
    if len(text) <= most:
        return text
    half = (most - 1) // 2
    return f"{text[: most - 1 - half]}…{text[-half:]}"


def distinct(text: str, most: int) -> str:
    """Return text as `clipped` does; if that changed it, with a few digits that keep it apart from others.

    >>> distinct("app", 50), distinct("app with more", 14)
    ('app', 'app with more')
    >>> distinct("a name that is too long", 14)
    'a …ng~2b28f744'
    """
    short = clipped(text, most)
    if short == text:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{clipped(text, most - 9)}~{digest}"


def _bounded(name: str, value: Any) -> Any:
    if name in ("id", "entry"):
        return distinct(value, _LONGEST[name])
    return clipped(value, _LONGEST.get(name, 100)) if isinstance(value, str) else value


def _summary(plain: dict[str, Any]) -> str:
    entry, before, after = plain["entry"], plain["before"], plain["after"]
    if after == "ok":
        return f"{entry} is ok" if before in ("ok", "never") else f"{entry} is ok again; it was {before}"
    told = f"{entry} is {'still ' if plain['reason'] == 'repeat' else ''}{after}"
    found = plain["finding"]
    if found is not None:
        told += f": {found['kind']}"
        if found["path"]:
            told += f" at {clipped(found['path'], 120)}" + (f":{found['line']}" if found["line"] else "")
        elif found["position"]:
            told += f" at {found['position']}"
        if plain["more"]:
            told += f", and {number(plain['more'])} more"
    elif plain["trouble"]:
        told += f": {clipped(plain['trouble'], 120)}"
    return told

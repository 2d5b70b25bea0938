"""How a record looks before it is sealed: a line of text, or one JSON object in canonical form (RFC 8785).

>>> canonical({"user": 7, "tally": "mine", "big": 2**60, "raw": b"x"})
'{"big":"1152921504606846976","raw":"x","tally_":"mine","user":7}'
"""

import logging
import time
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any

import rfc8785

__all__ = ["JSONFormatter", "PlainFormatter", "canonical", "shown"]

_DEEPEST = 32  # levels of a field's value
_EXACT = 2**53 - 1  # I-JSON, RFC 7493: whole numbers that every reader reads alike
_SEALS = frozenset({"tally", "tallystick"})  # names of the members that seals and control lines have
_OWN = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}


class PlainFormatter(logging.Formatter):
    """A record as text, its time in UTC; the log writes line ends inside it as `\\n` and `\\r`."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self, fmt: str = "%(asctime)s %(levelname)s %(name)s %(message)s", **options: Any) -> None:
        """Take a format as `logging.Formatter` does."""
        super().__init__(fmt, **options)


class JSONFormatter(PlainFormatter):
    """A record as one JSON object in canonical form (RFC 8785), so that a carrier may write it again.

    Members are `time`, `level`, `logger`, `message`, `exception` and `stack` where there are such, and the extra
    fields. What JSON cannot hold becomes text; extra fields of these names, and `tally` and `tallystick`, get a `_`
    at their end. A message whose arguments do not fit is there as it was written, with `unformatted` saying why.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the object."""
        fields: dict[str, Any] = {
            "time": self.formatTime(record),
            "level": record.levelname,
            "logger": record.name,
        }
        try:
            fields["message"] = record.getMessage()
        except Exception as error:
            fields["message"] = f"{shown(record.msg)} {shown(record.args)}"
            fields["unformatted"] = shown(error)
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            fields["stack"] = self.formatStack(record.stack_info)
        return canonical(
            fields,
            ((name, value) for name, value in vars(record).items() if name not in _OWN),
            reserved=("exception", "stack"),
        )


def canonical(fields: Mapping[str, Any], more: Iterable[tuple[str, Any]] = (), *, reserved: Iterable[str] = ()) -> str:
    """Return one JSON object in canonical form, which no value can break.

    Args:
        fields: Members by name. What JSON cannot hold becomes text: numbers that are not exact or not finite, bytes,
            objects, values that contain themselves. A member `tally` or `tallystick`, at any depth, gets a `_` at the
            end of its name.
        more: More members; they get a `_` where `fields` has their name.
        reserved: Names that `more` does not get either.
    """
    taken = {*_SEALS, *fields, *reserved}
    whole = dict(fields)
    for name, value in more:
        free = _free(name, taken)
        whole[free] = value
        taken.add(free)
    return rfc8785.dumps(_plain(whole, _DEEPEST, ())).decode()


def shown(value: object, show: Callable[[object], str] = repr) -> str:
    """Return how a value looks, even if it cannot show itself."""
    try:
        return show(value)
    except Exception as error:
        return f"({type(value).__name__} that does not show itself: {type(error).__name__})"


def _free(name: str, taken: Container[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _plain(value: Any, depth: int, around: tuple[int, ...]) -> Any:
    """Return what JSON can hold of a value (I-JSON, RFC 7493); what it cannot is text."""
    if type(value) is str:
        return _encodable(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if -_EXACT <= value <= _EXACT else shown(int(value), str)
    if isinstance(value, float):
        return float(value) if value - value == 0 else str(float(value))
    if depth and id(value) not in around:
        inside = (*around, id(value))
        try:
            if isinstance(value, Mapping):
                return _members(value, depth - 1, inside)
            if isinstance(value, list | tuple):
                return [_plain(each, depth - 1, inside) for each in value]
        except Exception as error:
            return f"({type(value).__name__} that cannot be read: {type(error).__name__})"
    return _text(value)


def _members(value: Mapping[Any, Any], depth: int, around: tuple[int, ...]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, each in value.items():
        free = _free(_text(name), _SEALS)
        while free in members:
            free += "_"
        members[free] = _plain(each, depth, around)
    return members


def _text(value: Any) -> str:
    return _encodable(value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else shown(value, str))


def _encodable(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()

"""How a record looks before it is sealed: a line of text, or one JSON object in canonical form (RFC 8785).

>>> canonical({"user": 7, "tally": "mine", "big": 2**60, "raw": b"x"})
'{"big":"1152921504606846976","raw":"x","tally_":"mine","user":7}'
"""

import copy
import logging
import re
import time
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any

import rfc8785

__all__ = [
    "JSONFormatter",
    "PlainFormatter",
    "as_it_came",
    "canonical",
    "escape_line",
    "one_line",
    "shown",
    "unescape_line",
]

_DEEPEST = 32  # levels of a field's value
_EXACT = 2**53 - 1  # I-JSON, RFC 7493: whole numbers that every reader reads alike
_SEALS = frozenset({"tally", "tallystick"})  # names of the members that seals and control lines have
_OWN = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}

# Characters that end a line, steer a terminal or turn the direction of text: controls but the tab, NEL and its like,
# U+2028 and U+2029, and Unicode's bidirectional overrides and isolates.
_CONTROLS = "\x00-\x08\x0a-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069"
_TO_ESCAPE = re.compile(rf"[{_CONTROLS}]|\\(?=[\\nrxu{_CONTROLS}])")
_ESCAPED = re.compile(r"\\(?:([\\nr])|x([0-9a-f]{2})|u([0-9a-f]{4}))")
_SHORT = {"\n": "\\n", "\r": "\\r", "\\": "\\\\"}
_LONG = {"n": "\n", "r": "\r", "\\": "\\"}


class PlainFormatter(logging.Formatter):
    """A record as text, its time in UTC; handlers write line ends inside it as `escape_line` does."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"
    _second: tuple[object, str] = (None, "")  # of what second the text is, and how it was made

    def __init__(self, fmt: str = "%(asctime)s %(levelname)s %(name)s %(message)s", **options: Any) -> None:
        """Take a format as `logging.Formatter` does."""
        super().__init__(fmt, **options)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """Return the time as `logging.Formatter` does; all but the milliseconds is made once a second."""
        form = datefmt or self.default_time_format
        wanted = (record.created // 1, form, self.converter)
        made, text = self._second
        if wanted != made:
            text = time.strftime(form, self.converter(record.created))
            self._second = (wanted, text)
        return text if datefmt or not self.default_msec_format else self.default_msec_format % (text, record.msecs)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the name is logging's)
        """Return the line; an extra field that cannot be shown is replaced by a remark, and nothing else is."""
        try:
            return super().formatMessage(record)
        except Exception:
            guarded = copy.copy(record)
            guarded.__dict__ = {name: _guarded(value) for name, value in vars(record).items()}
            return super().formatMessage(guarded)


class JSONFormatter(PlainFormatter):
    """A record as one JSON object in canonical form (RFC 8785), so that a carrier may write it again.

    Members are `time`, `level`, `logger`, `message`, `exception` and `stack` where there are such, and the extra
    fields. What JSON cannot hold becomes text; extra fields of these names, and `tally` and `tallystick`, get a `_`
    after them. A message whose arguments do not fit is there as it was written, with `unformatted` saying why. Each
    member is made by itself: one that cannot be shown takes nothing from the others.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the object."""
        fields: dict[str, Any] = {
            "time": _made(lambda: self.formatTime(record)),
            "level": record.levelname,
            "logger": record.name,
        }
        try:
            fields["message"] = record.getMessage()
        except Exception as error:
            fields["message"] = f"{shown(record.msg)} {shown(record.args)}"
            fields["unformatted"] = shown(error)
        # Records that came through a socket have the text of their exception only.
        if exc_info := record.exc_info:
            fields["exception"] = _made(lambda: self.formatException(exc_info))
        elif record.exc_text:
            fields["exception"] = record.exc_text
        if stack := record.stack_info:
            fields["stack"] = _made(lambda: self.formatStack(stack))
        return canonical(
            fields,
            ((name, value) for name, value in vars(record).items() if name not in _OWN),
            reserved=("exception", "stack"),
        )


def canonical(fields: Mapping[str, Any], more: Iterable[tuple[str, Any]] = (), *, reserved: Iterable[str] = ()) -> str:
    """Return one JSON object in canonical form, which no value can break.

    Args:
        fields: Members by name. What JSON cannot hold becomes text: numbers that are not exact or not finite, bytes,
            objects, values that contain themselves. A member `tally` or `tallystick`, at any depth, gets a `_` after
            its name; a text that would give the seven bytes `"tally"` has its `t` as `\\u0074`, so that the line stays
            JSON when it is sealed (spec section 4).
        more: More members; they get a `_` where `fields` has their name.
        reserved: Names that `more` does not get either.
    """
    taken = {*_SEALS, *fields, *reserved}
    whole = dict(fields)
    for name, value in more:
        free = _free(name, taken)
        whole[free] = value
        taken.add(free)
    text = rfc8785.dumps(_plain(whole, _DEEPEST, ())).decode()
    return text.replace('"tally"', '"\\u0074ally"')


def escape_line(text: str) -> str:
    """Return a text as one line that shows what it holds, and that `unescape_line` undoes.

    Line ends become `\\n` and `\\r`, other controls and the like `\\x1b` or `\\u2028`. A backslash is doubled only
    where it would be read as the beginning of one of these.

    >>> escape_line("two\\nlines"), escape_line(r"C:\\temp\\new"), unescape_line(r"C:\\temp\\\\new")
    ('two\\\\nlines', 'C:\\\\temp\\\\\\\\new', 'C:\\\\temp\\\\new')
    """
    return _TO_ESCAPE.sub(lambda found: _escape(found[0]), text)


def unescape_line(line: str) -> str:
    """Return the text of which `escape_line` made a line."""
    return _ESCAPED.sub(lambda found: _LONG[found[1]] if found[1] else chr(int(found[2] or found[3], 16)), line)


def _escape(character: str) -> str:
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")


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


def _made(make: Callable[[], str]) -> str:
    try:
        return make()
    except Exception as error:
        return f"(not formatted: {shown(error)})"


def _guarded(value: Any) -> Any:
    """Return a value if it shows itself, else a text that says why not."""
    try:
        str(value)
    except Exception:
        return shown(value, str)
    return value


def _plain(value: Any, depth: int, around: tuple[int, ...]) -> Any:
    """Return what JSON can hold of a value (I-JSON, RFC 7493); what it cannot is text, and nothing raises."""
    if type(value) is str:
        return _encodable(value)
    try:
        return _read(value, depth, around)
    except Exception as error:  # even to ask for its class may be more than a lazy object can answer
        return f"({type(value).__name__} that cannot be read: {type(error).__name__})"


def _read(value: Any, depth: int, around: tuple[int, ...]) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if -_EXACT <= value <= _EXACT else shown(int(value), str)
    if isinstance(value, float):
        return float(value) if value - value == 0 else str(float(value))
    if depth and id(value) not in around:
        inside = (*around, id(value))
        if isinstance(value, Mapping):
            return _members(value, depth - 1, inside)
        if isinstance(value, list | tuple):
            return [_plain(each, depth - 1, inside) for each in value]
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


def as_it_came(item: Any, error: BaseException) -> str:
    """Return a line for what cannot be formatted: level, logger and message, as far as these can be shown."""
    if not isinstance(item, logging.LogRecord):
        return f"{_at_all(item)} (not formatted: {_at_all(error)})"
    message = f"{_at_all(item.msg)} {_at_all(item.args)}" if item.args else _at_all(item.msg, str)
    return f"{_at_all(item.levelname, str)} {_at_all(item.name, str)} {message} (not formatted: {_at_all(error)})"


def _at_all(value: object, show: Callable[[object], str] = repr) -> str:
    """Return how a value looks, even if it ends the program when it is shown."""
    try:
        return shown(value, show)
    except BaseException as error:
        return f"({type(value).__name__} that does not show itself: {type(error).__name__})"


def one_line(text: str) -> str:
    """Return a text without the line end after it, and what would break the line escaped; JSON escapes by itself."""
    text = text.removesuffix("\n").removesuffix("\r")
    return text if text[:1] == "{" and text[-1:] == "}" else escape_line(text)

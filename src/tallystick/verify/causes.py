"""Innocent causes of a bad line, where there is a sign of one (spec section 7).

>>> carrier(b'{"log":"user=7 tally=abcd","stream":"stdout"}')
'docker'
"""

import re

from tallystick import _core

__all__ = ["carrier", "cause"]

_CARRIERS = {
    "docker": rb'\{"log":"',
    "cri": rb"\d{4}-\d\d-\d\dT\S+ (?:stdout|stderr) [FP][ :]",
    "journal-json": rb'\{.*"(?:__?[A-Z][A-Z_]*|MESSAGE)" ?:',
    "journal-export": rb"(?:__?[A-Z][A-Z_]*|MESSAGE)=",
    "rfc5424": rb"(?:\d+ )?<\d{1,3}>1 ",
    "rfc3164": rb"(?:<\d{1,3}>)?(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\S+) \S+ \S+: ",
    # A seal or a statement within a string of an object; a line of our own has them at its top.
    "json": (
        rb'(?:\{(?!"tallystick").*|\s+"[^"]*": )"(?:[^"\\]|\\.)*(?: tally=[a-z2-7]{8}\.|\\"tally\\":)'
        rb'|\{.*[^{]"(?:\{\\"tallystick\\":\\")?tallystick/v1 '
    ),
}
_ESCAPE = re.compile(rb"#0[0-3][0-7]")
_ROUND = 1024  # bytes; carriers' limits are multiples of it


def carrier(line: bytes) -> str | None:
    """Return the kind of envelope that a line seems to be in, by its beginning.

    Args:
        line: Its beginning.
    """
    return next((kind for kind, look in _CARRIERS.items() if re.match(look, line, re.DOTALL)), None)


def cause(event: _core.Event, beginning: bytes) -> str | None:
    """Return what may have caused a line without a seal that holds, if there is a sign of it.

    Args:
        event: What the core found.
        beginning: Of its first line, as much as is at hand.
    """
    if event.kind not in ("unsealed", "altered") or not event.texts:
        return None
    if event.texts[0].startswith(b"\xef\xbb\xbf"):
        return "a byte order mark stands before it: if the text was converted, verify it without these bytes, EF BB BF"
    if event.replaced:
        return "it holds U+FFFD: a carrier may have replaced bytes that were no UTF-8"
    kind = next(filter(None, map(carrier, [beginning, *event.texts])), None)
    if kind and event.reason != "tag":  # else the seal fits the line: nothing was put around it
        option = f"--envelope {kind}" + (" and the name of the field with --field" if kind == "json" else "")
        return f"it looks like a line in an envelope: if a carrier put it in one, verify with {option}"
    if event.kind == "altered" and _ESCAPE.search(event.texts[0]):
        return "it holds escapes like #011: rsyslog may have written control characters so; see --envelope rfc3164"
    if event.length >= _ROUND and event.length % _ROUND in (0, _ROUND - 1):
        return f"it is {event.length} bytes long: a carrier may have cut it at its limit"
    return None

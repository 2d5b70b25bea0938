"""How values are written for people, with nothing in them that a terminal or a page would act on.

>>> safe("a\\x1b[31m.log"), number(12345), plural(1, "line"), size(1500), when(0)
('a\\\\x1b[31m.log', '12,345', '1 line', '1.5 kB', '1970-01-01T00:00:00Z')
"""

import datetime

__all__ = ["UNVOUCHED", "number", "plural", "rate", "safe", "size", "when"]

UNVOUCHED = "nobody vouches for that: with the public key alone it is as good as the place where it was kept"
"""What is said of what was verified before, where no verification key vouches for it."""


def safe(text: str) -> str:
    """Return text in which nothing makes a terminal do anything: names of files are an attacker's choice."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(ord(c)) for c in text)


def _escaped(code: int) -> str:
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name that is no UTF-8
        code -= 0xDC00
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def number(value: int) -> str:
    """Return a number for people."""
    return f"{value:,}"


def plural(count: int, word: str) -> str:
    """Return a number with its noun."""
    return f"{number(count)} {word}{'' if count == 1 else 's'}"


def size(value: int) -> str:
    """Return a number of bytes for people."""
    amount = float(value)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError


def rate(count: int, seconds: float) -> str:
    """Return how many in a second."""
    return number(round(count / seconds)) if seconds > 0 else "many"


def when(ms: int) -> str:
    """Return a time as RFC 3339, in UTC."""
    try:
        moment = datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        return f"{ms} ms after 1970"
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")

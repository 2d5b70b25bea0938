"""Names: of logs, of entries that wait to become one, and of those who hold a lease.

>>> check_name("payments"), check_entry(next_entry("payments"))
(None, None)
>>> check_name(".payments")
Traceback (most recent call last):
tallystick.errors.KeyStoreError: '.payments' cannot be the name of a log
hint: take 1 to 64 of A-Z a-z 0-9 . _ - and begin with a letter or a digit
>>> shown(b"pid 7\x1b[2J")
'pid 7?[2J'
"""

import itertools
import os
import re
import sys
from datetime import UTC, datetime

from tallystick.errors import KeyStoreError

__all__ = ["check_entry", "check_name", "moving_entry", "next_entry", "ourselves", "shown"]

_WAITING = re.compile(r"~(next|moving)\.")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def next_entry(name: str) -> str:
    """Return the name of the entry in which the successor of a log waits in its key store; no log can have it."""
    return f"~next.{name}"


def moving_entry(name: str) -> str:
    """Return the name of the entry in which a log that comes from elsewhere waits; no log can have it."""
    return f"~moving.{name}"


def check_entry(name: str) -> None:
    """Raise KeyStoreError unless this can be the name of a log, or of an entry that waits to become one."""
    check_name(_WAITING.sub("", name, count=1))


def check_name(name: str) -> None:
    """Raise KeyStoreError unless this can be the name of a log (spec section 3)."""
    if not _NAME.fullmatch(name):
        raise KeyStoreError(
            f"{name[:100]!r} cannot be the name of a log",
            hint="take 1 to 64 of A-Z a-z 0-9 . _ - and begin with a letter or a digit",
        )


def ourselves() -> str:
    """Return who holds a lease that this process takes now, in words for people, in ASCII."""
    command = os.path.basename(sys.argv[0] if sys.argv else "") or "python"
    # Others read this. The first ones of our own arguments hold no secret; another program's may.
    shown = itertools.takewhile(lambda word: _NAME.fullmatch(word), sys.argv[1:3] if command == "tallystick" else [])
    words = " ".join([command, *shown])
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    said = f"pid {os.getpid()} ({words[:200]}) on {os.uname().nodename} since {now}"
    return said.encode("ascii", "replace").decode()


def shown(said: bytes) -> str:
    """Return who claims to hold a lease, fit to be shown. Anyone may have written anything there."""
    text = said.decode("ascii", "replace")
    text = "".join(letter if letter.isprintable() and letter.isascii() else "?" for letter in text).strip()
    return text or "another process"

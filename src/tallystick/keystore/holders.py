"""Who holds a lease, in words for people.

>>> shown(b"pid 7 (tallystick run)\n"), shown(b"\x1b[2J"), shown(b"")
('pid 7 (tallystick run)', '?[2J', 'another process')
"""

import itertools
import os
import re
import socket
import sys
from datetime import UTC, datetime

__all__ = ["ourselves", "shown"]

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def ourselves() -> str:
    """Return who holds a lease that this process takes now, in words for people, in ASCII."""
    command = os.path.basename(sys.argv[0] if sys.argv else "") or "python"
    # Others read this. The first ones of our own arguments hold no secret; another program's may.
    shown = itertools.takewhile(lambda word: _WORD.fullmatch(word), sys.argv[1:3] if command == "tallystick" else [])
    words = " ".join([command, *shown])
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    said = f"pid {os.getpid()} ({words[:200]}) on {socket.gethostname()} since {now}"
    return said.encode("ascii", "replace").decode()


def shown(said: bytes) -> str:
    """Return who claims to hold a lease, fit to be shown. Anyone may have written anything there."""
    text = said.decode("ascii", "replace")
    text = "".join(letter if letter.isprintable() and letter.isascii() else "?" for letter in text).strip()
    return text or "another process"

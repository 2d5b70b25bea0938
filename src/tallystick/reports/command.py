"""The command line as it stands in a report: quoted for a shell, and with no password in it.

>>> command_line(["tallystick", "verify", "my audit.log", "--store=redis://app:secret@db.example/0"])
"tallystick verify 'my audit.log' --store=redis://app@db.example/0"
"""

import re
import shlex
from collections.abc import Sequence

from tallystick.errors import KeyStoreError

__all__ = ["command_line"]

_URL = re.compile(
    r"(?P<before>(?:--?[A-Za-z-]+=?)?)(?P<url>(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):.*(?://|@).*)", re.DOTALL
)


def command_line(arguments: Sequence[str]) -> str:
    """Return a command as a shell takes it. Of a URL is shown what is known to be no secret."""
    return shlex.join(map(_without_password, arguments))


def _without_password(argument: str) -> str:
    found = _URL.fullmatch(argument)
    if found is None:
        return argument
    from tallystick.keystore.remote import Place  # few commands name a server

    try:
        shown = Place.parse(found["url"], None).shown
    except KeyStoreError:  # malformed, so nobody knows where in it a password stands
        shown = f"{found['scheme']}:…"
    return found["before"] + shown

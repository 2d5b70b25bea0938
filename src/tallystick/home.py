"""Where this user's own files are by default; in containers there is often no such place.

A user id that nobody set up, as OpenShift gives, has no entry in passwd, and its HOME is unset or `/`. Then there is no
default: a name is never guessed, and the error says which option to give.

>>> from unittest import mock
>>> with mock.patch.dict(os.environ, {"HOME": "/home/ada"}, clear=True):
...     user_place("XDG_STATE_HOME", ".local/state")
'/home/ada/.local/state/tallystick'
>>> with mock.patch.dict(os.environ, {"HOME": "/"}, clear=True), mock.patch("pwd.getpwuid", side_effect=KeyError):
...     user_place("XDG_STATE_HOME", ".local/state")
"""

import os
from contextlib import suppress

from tallystick.errors import ReportError

__all__ = ["nobody", "require_temporary", "user_place"]


def user_place(variable: str, below: str) -> str | None:
    """Return the directory of this program below one that the user named, or below the user's home.

    Args:
        variable: Environment variable that names one, such as `XDG_STATE_HOME`.
        below: Where it is below the home otherwise.

    Returns:
        An absolute path; None if there is no such place.
    """
    named = os.environ.get(variable, "")
    if not named:
        home = _home()
        if home is None:
            return None
        named = os.path.join(home, below)
    return os.path.join(os.path.abspath(named), "tallystick")


def nobody() -> str:
    """Return the beginning of an error: that this user has no home, so that there is no default."""
    home = os.environ.get("HOME")
    said = "HOME is not set" if home is None else f"HOME is {home!r}"
    return f"user id {os.geteuid()} has no home directory ({said})"


def require_temporary() -> None:
    """Refuse to begin where there is no directory for temporary files, as on a root that is read-only.

    Raises:
        ReportError: There is none.
    """
    import tempfile  # most commands need none

    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        raise ReportError("no directory for temporary files can be written", hint="name one by TMPDIR") from None


def _home() -> str | None:
    """Return the user's home; `/` is what container runtimes say where there is none."""
    homes = [os.environ.get("HOME", "")]
    with suppress(ImportError, KeyError):
        import pwd  # some systems have no users of this kind

        homes.append(pwd.getpwuid(os.geteuid()).pw_dir)
    return next((home for home in homes if os.path.isabs(home) and os.path.normpath(home) not in ("/", "//")), None)

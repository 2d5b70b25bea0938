"""The environment and the descriptors of the command that `run` runs: nothing that only the writer needs.

>>> from unittest import mock
>>> with mock.patch.dict(os.environ, {"BAO_TOKEN": "s.1", "TALLYSTICK_STORE": "/srv", "COLOUR": "blue"}, clear=True):
...     sorted(withheld("payments", None, None, passed=["BAO_TOKEN"]))
['TALLYSTICK_STORE']
"""

import os
import re
from collections.abc import Collection

from tallystick.errors import TallystickError

__all__ = ["sockets", "withheld"]

_OURS = ("BAO_TOKEN", "VAULT_TOKEN", "BAO_SECRET_ID", "VAULT_SECRET_ID")
_PASSWORD = ("PGPASSWORD",)
# Those that name a role are left: all that runs in its pod, task or machine has it.
_ACCESS_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
_MASTER_KEY = re.compile(r"[A-Za-z0-9_-]{43}")


def withheld(name: str, store: str | None, custody: str | None, *, passed: Collection[str]) -> set[str]:
    """Return the names of variables that the command does not get.

    Args:
        name: The log.
        store: URL of its key store, None for that of the environment.
        custody: URL of its custody, None for that of the environment or of the log.
        passed: Names that it gets all the same.
    """
    place = store or os.environ.get("TALLYSTICK_STORE", "")
    names = {each for each in os.environ if each.startswith("TALLYSTICK_") or each in _OURS}
    if place.startswith("postgresql:"):
        names |= {each for each in _PASSWORD if each in os.environ}
    names |= _of_custody(name, store, custody or os.environ.get("TALLYSTICK_CUSTODY"))
    return names - set(passed)


def sockets() -> list[int]:
    """Return the descriptors that a service manager passes on: 3 and more, if it says that they are for us."""
    count = os.environ.get("LISTEN_FDS", "")
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or not re.fullmatch(r"[0-9]{1,6}", count):
        return []
    there = {int(fd) for fd in os.listdir("/proc/self/fd")}
    return [fd for fd in range(3, 3 + int(count)) if fd in there and _is_given(fd)]


def _is_given(fd: int) -> bool:
    try:
        return os.get_inheritable(fd)  # our own files are not
    except OSError:  # it listed the directory
        return False


def _of_custody(name: str, store: str | None, custody: str | None) -> set[str]:
    """Return the variables that custody reads."""
    keys = {each for each, text in os.environ.items() if _MASTER_KEY.fullmatch(text.strip())}
    access = {each for each in _ACCESS_KEYS if each in os.environ}
    if custody is None and keys | access:
        custody = _noted_custody(name, store)
        if custody is None:  # any of them may be it; its reader reports that it cannot be read
            return keys | access
    kind, _, place = (custody or "").partition(":")
    return {"master-key": {place} & set(os.environ), "aws-kms": access}.get(kind, set())


def _noted_custody(name: str, store: str | None) -> str | None:
    """Return the custody that a log's state notes; no copy of the state may come into this process."""
    from tallystick import courier, keystore

    try:
        return courier.look(keystore.connect(store), name).custody
    except TallystickError:
        return None

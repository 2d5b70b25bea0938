"""The command line as other users see it, for example in the output of `ps`: without passwords in URLs.

They can be seen for the instant until this program has started; a variable or a file is the better place for them.

>>> hide_passwords()  # of this process, which was given none
"""

import sys
from contextlib import suppress

from tallystick.secreturl import without_passwords

__all__ = ["hide_passwords"]

_BEGINS, _ENDS = 45, 46  # fields after the name in /proc/self/stat: where arguments are in memory


def hide_passwords() -> None:
    """Write over passwords in this process's arguments, where the system shows them to others."""
    if not any(without_passwords(each) != each for each in sys.orig_argv):
        return
    import ctypes  # few command lines hold any

    with suppress(OSError, ValueError, IndexError):
        with open("/proc/self/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        begins, ends = int(fields[_BEGINS]), int(fields[_ENDS])
        if begins == 0:  # the system does not say
            return
        whole = ctypes.string_at(begins, ends - begins)
        hidden = b"\0".join(_hidden(each) for each in whole.split(b"\0"))
        ctypes.memmove(begins, hidden, len(whole))


def _hidden(argument: bytes) -> bytes:
    """Return an argument of the same length without passwords."""
    shown = without_passwords(argument.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
    return argument if shown == argument else shown[: len(argument)].ljust(len(argument), b" ")

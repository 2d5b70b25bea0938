"""The PKCS #11 library of an HSM: where it is, and that nobody else can have put it there."""

import glob
import os
import stat

from tallystick.errors import CustodyError

__all__ = ["find"]

_PLACES = ("/usr/lib/*-linux-*", "/usr/lib64", "/usr/lib", "/usr/local/lib", "/opt/*/lib")


def find(path: str, name: str) -> str:
    """Return the path of a library.

    Args:
        path: Its path, or that of its directory; may be empty.
        name: Its name without `lib` and `.so`; may be empty.

    Raises:
        CustodyError: It is not there, or others than root and this user can change it.
    """
    names = [f"lib{name}.so", f"{name}.so"]
    if os.path.isdir(path):
        places = [path]
    elif path:
        return _unplanted(path)
    else:
        places = [f"{place}{below}" for place in _PLACES for below in ("/pkcs11", "/softhsm", "")]
    found = [there for place in places for each in names for there in sorted(glob.glob(f"{place}/{glob.escape(each)}"))]
    if not found:
        raise CustodyError(f"there is no PKCS #11 library {name!r}", hint="install it, or name it by module-path")
    return _unplanted(found[0])


def _unplanted(path: str) -> str:
    """Return the path of a library that only root and this user can have put there.

    The URL is noted in the state, so an attacker who may write the key store chooses the path. A library
    of theirs would run in our name.
    """
    real = os.path.realpath(path)
    if not os.path.lexists(real):
        raise CustodyError(
            f"the PKCS #11 library {path} is not there", hint="install it, or name another by module-path"
        )
    above = real
    while True:
        there = os.stat(above)
        shared = there.st_mode & 0o022 and not (stat.S_ISDIR(there.st_mode) and there.st_mode & stat.S_ISVTX)
        if shared or there.st_uid not in (0, os.geteuid()):
            raise CustodyError(
                f"the PKCS #11 library {path} is not loaded, for others than root and this user can change {above}",
                hint="install it where they cannot",
            )
        if above == "/":
            return real
        above = os.path.dirname(above)

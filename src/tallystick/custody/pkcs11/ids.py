"""The IDs of keys that are made for states (CKA_ID): whose key, of which stay here, of which version of the state.

>>> from tallystick.custody.base import Owner
>>> one = new(Owner(root=bytes(32), context=b"", version=7), None)
>>> is_ours(one), version(one), stay(new(Owner(bytes(32), b"", 8), one)) == stay(one)
(True, 7, True)
"""

import os
from typing import Any

from tallystick.custody.base import Owner

__all__ = ["LENGTH", "OURS", "beginning", "is_ours", "new", "of", "stay", "version"]

OURS = b"tally1"  # the beginning of the IDs of keys that are made here
LENGTH = len(OURS) + 32 + 8 + 8 + 8  # bytes: P, stay, version, random; some tokens take no more than 64


def beginning(owner: Owner) -> bytes:
    """Return the part that the IDs of all keys of a log share."""
    return OURS + owner.root


def new(owner: Owner, replacing: bytes | None) -> bytes:
    """Return an ID that no key has.

    Args:
        owner: The log, with the version of the state.
        replacing: The ID of the key of the present state; None where the log comes to this token.
    """
    since = os.urandom(8) if replacing is None else stay(replacing)
    return beginning(owner) + since + owner.version.to_bytes(8, "big") + os.urandom(8)


def of(pkcs11: Any, key: Any) -> bytes:
    """Return the ID of a key; empty where it has none, or was destroyed meanwhile."""
    try:
        return bytes(key[pkcs11.Attribute.ID] or b"")
    except (pkcs11.AttributeTypeInvalid, pkcs11.ObjectHandleInvalid):
        return b""


def is_ours(name: bytes) -> bool:
    """Tell whether an ID is that of a key made for a state."""
    return len(name) == LENGTH and name.startswith(OURS)


def stay(name: bytes) -> bytes:
    """Return the part that all keys of a log share from when it came to this token until it left or ended."""
    return name[len(OURS) + 32 : len(OURS) + 40]


def version(name: bytes) -> int:
    """Return the version of the state that the key is for."""
    return int.from_bytes(name[LENGTH - 16 : LENGTH - 8], "big")

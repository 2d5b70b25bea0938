"""Mode, owner and group of a file, which stay when the writer puts another one in its place.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as d, open(f"{d}/old", "w") as old, open(f"{d}/new", "w") as new:
...     os.fchmod(old.fileno(), 0o604)
...     keep_rights(new.fileno(), old.fileno()), oct(os.fstat(new.fileno()).st_mode)
(None, '0o100604')
"""

import errno
import os
import stat
from contextlib import suppress

__all__ = ["keep_rights"]

_ACL = "system.posix_acl_access"
_GROUP = 0o070


def keep_rights(new: int, old: int) -> str | None:
    """Give a new file the mode, owner, group and access list of an old one.

    Where the group cannot be kept, another group gets no right that was meant for that one.

    Args:
        new: Descriptor of the new file; nobody but its owner can open it yet.
        old: Descriptor of the old file.

    Returns:
        What could not be kept, for a message; None if everything was.

    Raises:
        OSError: The mode cannot be set.
    """
    before = os.fstat(old)
    for ids in ((before.st_uid, -1), (-1, before.st_gid)):
        with suppress(OSError):
            os.fchown(new, *ids)
    after = os.fstat(new)
    same_owner, same_group = after.st_uid == before.st_uid, after.st_gid == before.st_gid
    listed = _access_list(old)
    mode = stat.S_IMODE(before.st_mode) & 0o777
    # With an access list these bits are its mask: they say nothing of the group.
    os.fchmod(new, mode if same_group and listed is None else mode & ~_GROUP)
    same_list = _keep_access_list(new, listed if same_group else None) and (same_group or listed is None)
    kept = {"owner": same_owner, "group": same_group, "access list": same_list}
    return " and ".join(part for part, same in kept.items() if not same) or None


def _access_list(fd: int) -> bytes | None:
    if not hasattr(os, "getxattr"):
        return None
    try:
        return os.getxattr(fd, _ACL)
    except OSError:
        return None


def _keep_access_list(fd: int, listed: bytes | None) -> bool:
    """Give a file an access list, or none; return whether it has it."""
    if not hasattr(os, "setxattr"):
        return listed is None
    try:
        if listed is None:
            os.removexattr(fd, _ACL)  # one that the directory gave it
        else:
            os.setxattr(fd, _ACL, listed)
    except OSError as error:
        return listed is None and error.errno in (errno.ENODATA, errno.EOPNOTSUPP)
    return True

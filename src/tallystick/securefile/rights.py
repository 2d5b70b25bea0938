"""The rights that a file gives, and files that give no more than those that they were made from.

A file that is made from others tells what they hold. It gets what all of them allow; a copy gets the rights of its
original, with owner, group and access list where we may set them, and less where we may not.

>>> import tempfile
>>> with tempfile.NamedTemporaryFile() as file:
...     os.chmod(file.name, 0o640)
...     (f"{Rights.common([file.name]).mode:o}", f"{Rights.common([file.name, '/nowhere']).mode:o}")
('640', '600')
"""

import errno
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

__all__ = ["PRIVATE", "Rights", "keep_rights"]

_ACL = "system.posix_acl_access"


@dataclass(frozen=True, slots=True)
class Rights:
    """The most that a file may allow.

    Args:
        mode: Its permissions.
        group: The group that its group permissions are for; None where it does not matter.
    """

    mode: int
    group: int | None = None

    @classmethod
    def common(cls, paths: Iterable[str | os.PathLike[str] | int]) -> Self:
        """Return the rights that all of some files give; where one cannot be seen, or there is none, the owner's."""
        mode, groups = 0o666, set()
        for path in paths:
            try:
                found = os.stat(path)
                listed = _access_list(path) is not None
            except (OSError, ValueError):
                return cls(0o600)
            # With an access list these bits are its mask, and say nothing of the group.
            mode &= stat.S_IMODE(found.st_mode) & (~0o070 if listed else ~0)
            groups.add(found.st_gid)
        if not groups:
            return cls(0o600)
        return cls(mode | 0o600, groups.pop()) if len(groups) == 1 else cls(mode & ~0o070 | 0o600)

    def narrow(self, fd: int) -> None:
        """Take from a file of ours what it allows beyond these rights."""
        found = os.fstat(fd)
        mode = stat.S_IMODE(found.st_mode)
        allowed = self.mode if self.group in (None, found.st_gid) else self.mode & ~0o070
        if mode & ~allowed:
            os.fchmod(fd, mode & allowed)


PRIVATE = Rights(0o600)
"""Those of a file that only its owner may read."""


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
    os.fchmod(new, mode if same_group and listed is None else mode & ~0o070)
    same_list = _keep_access_list(new, listed if same_group else None) and (same_group or listed is None)
    kept = {"owner": same_owner, "group": same_group, "access list": same_list}
    return " and ".join(part for part, same in kept.items() if not same) or None


def _access_list(file: str | os.PathLike[str] | int) -> bytes | None:
    """Return the access list of a file that has one beside its mode."""
    if not hasattr(os, "getxattr"):
        return None
    try:
        return os.getxattr(file, _ACL)
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

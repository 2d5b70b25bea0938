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

__all__ = ["PRIVATE", "Rights", "copy_rights"]

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


def copy_rights(source: int, target: int) -> None:
    """Give an open file the owner, the group, the access list and the mode of another one; never more than it had.

    Args:
        source: Descriptor of the other one.
        target: Descriptor of the file, which is ours.
    """
    found = os.fstat(source)
    os.fchmod(target, 0o600)
    with suppress(OSError):
        os.fchown(target, -1, found.st_gid)
    with suppress(OSError):
        os.fchown(target, found.st_uid, -1)
    mode = stat.S_IMODE(found.st_mode) & 0o777
    if os.fstat(target).st_gid != found.st_gid:
        mode &= ~0o070
    listed = _access_list(source)
    try:
        _set_access_list(target, listed)
    except OSError:
        mode &= ~0o070
        listed = None
    with suppress(PermissionError):  # it may be another's already; then it keeps 0600
        os.fchmod(target, mode)


def _access_list(path: str | os.PathLike[str] | int) -> bytes | None:
    """Return the access list of a file that has one beside its mode."""
    try:
        return os.getxattr(path, _ACL)
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.EOPNOTSUPP, errno.ENOSYS):
            return None
        raise


def _set_access_list(fd: int, listed: bytes | None) -> None:
    if listed is not None:
        os.setxattr(fd, _ACL, listed)
        return
    try:
        os.removexattr(fd, _ACL)  # one that the directory gave
    except OSError as error:
        if error.errno not in (errno.ENODATA, errno.EOPNOTSUPP, errno.ENOSYS):
            raise

"""Whether a file system overwrites the content of a file in place, or writes elsewhere and keeps the old bytes.

>>> file_system("/nowhere/at/all")
"""

import os
from contextlib import suppress

__all__ = ["file_system", "overwrites"]

# Others copy on write or keep a log (btrfs, zfs, bcachefs, f2fs, nilfs2, ubifs), lie on one that is not known here
# (overlay, nfs, fuse, virtiofs, 9p), or in memory that is swapped (tmpfs).
_IN_PLACE = {"ext2", "ext3", "ext4", "jfs", "xfs"}


def overwrites(kind: str) -> bool:
    """Return whether a file system, as `file_system` calls it, overwrites in place; one that is not known does not."""
    return kind in _IN_PLACE


def file_system(directory: str) -> str | None:
    """Return the kind of file system that a directory is on, such as `ext4`; None where the system does not tell."""
    with suppress(OSError, ValueError, StopIteration):
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as lines:
                mount = next(line.split()[1] for line in lines if line.startswith("mnt_id:"))
        finally:
            os.close(fd)
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
            return _kind(next(line for line in mounts if line.split(" ", 1)[0] == mount))
    return None


def _kind(line: str) -> str:
    """Return the kind of file system in a line of mountinfo.

    >>> _kind("36 35 8:1 / / rw,noatime shared:1 - ext4 /dev/sda1 rw,data=journal")
    'ext4 with data=journal'
    """
    kind, _, options = line.partition(" - ")[2].split(" ", 2)
    # Then overwritten bytes stay in the journal for a while.
    return f"{kind} with data=journal" if "data=journal" in options.rstrip("\n").split(",") else kind

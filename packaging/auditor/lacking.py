"""What Python in a browser lacks of an operating system, filled in before our code is imported.

There is one user, whom no other can trick, and no hole in a file. Bytes of a key are copied once more than elsewhere,
into memory that goes with the worker.
"""

import os
from collections.abc import Sequence

__all__ = ["fill"]


def fill() -> None:
    """Add what is lacking."""
    for name, value in {
        "geteuid": os.getuid,
        "getegid": os.getgid,
        "getgroups": list,
        "preadv": _preadv,
        "SEEK_DATA": 3,
    }.items():
        if not hasattr(os, name):
            setattr(os, name, value)


def _preadv(fd: int, buffers: Sequence[bytearray], offset: int) -> int:
    (held,) = buffers
    data = os.pread(fd, len(held), offset)
    held[: len(data)] = data
    return len(data)

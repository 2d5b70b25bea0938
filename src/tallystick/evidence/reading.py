"""Files that evidence is read from: read once, in bounds, for they may be pipes."""

import os
from tempfile import TemporaryFile

from tallystick import _core
from tallystick.errors import FormatError, ReportError, reason

__all__ = ["StrPath", "add_public", "read"]

StrPath = str | os.PathLike[str]

_PUBLIC = 4_000_000  # bytes of a public file


def add_public(keys: _core.Keys, path: str) -> bytes:
    """Add a public file to keys and return what it holds. It is read once, for it may be a pipe."""
    data = read(path, _PUBLIC)
    with open(os.memfd_create("public"), "w+b") if hasattr(os, "memfd_create") else TemporaryFile() as copy:
        copy.write(data)
        copy.seek(0)
        try:
            keys.add_public(copy.fileno())
        except FormatError as error:
            raise error.found_in(path) from None
    return data


def read(path: str, limit: int) -> bytes:
    """Return what a file holds, if that is no more than a limit."""
    try:
        with open(path, "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise ReportError(f"{path}: {reason(error)}", hint="check the name") from error
    if len(data) > limit:
        raise FormatError(f"longer than {limit} bytes, too many for evidence, a public file or receipts", path=path)
    return data

"""Takes the text out of one line, so that its log still verifies (spec section 4)."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tallystick import _core
from tallystick.errors import ReportError
from tallystick.evidence.finding import found as finding
from tallystick.evidence.finding import rights
from tallystick.evidence.reading import StrPath
from tallystick.securefile import new_file, refuse_existing, write_all
from tallystick.verify.inputs import Input
from tallystick.verify.keys import add_file

__all__ = ["Redaction", "redact"]

_PIECE = 2**20


@dataclass(frozen=True, slots=True)
class Redaction:
    """A line that was redacted.

    Args:
        position: `chain.epoch.index` of the line.
        line: Its redacted form, without line end.
        path: The file that holds it.
        count: How often it stands there.
    """

    position: str
    line: bytes
    path: str
    count: int


def redact(
    position: str,
    paths: Iterable[StrPath],
    *,
    key: StrPath,
    output: StrPath | int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Redaction:
    """Take the text out of one line, so that the log still verifies; the files stay as they are.

    Args:
        position: `chain.epoch.index`, with the log id and a dot before it where files hold lines of several logs.
        paths: Files that hold all lines of the line's epoch and its checkpoint.
        key: The verification key; only its holder can redact.
        output: Where a copy of the file that holds the line goes, with the line redacted: a file that must not exist
            yet, or a descriptor.
        progress: Called with the bytes read so far and those there are.

    Returns:
        The redacted line.

    Raises:
        FormatError: The position or the key is invalid.
        ReportError: The line cannot be redacted, with the reason, or a file cannot be read or written.
    """
    keys = _core.Keys()
    add_file(os.fspath(key), keys.add_key)
    refuse_existing(output)
    with finding(position, paths, None, None, progress) as (found, inputs):
        try:
            line = found.redact(keys)
        except ValueError as error:
            raise ReportError(f"the line {position} cannot be redacted: {error}") from None
        source = inputs[found.spots[0][0]]
        at = position.removeprefix(f"{found.log_id}.")
        if output is not None:
            if others := {spot[0] for spot in found.spots} - {source.number}:
                names = f"{source.path} and {inputs[min(others)].path}"
                raise ReportError(f"the line {at} stands in {names}", hint="name one of them at a time")
            _copy(source, found.spots, at, line, output)
    return Redaction(at, line, source.path, sum(spot[0] == source.number for spot in found.spots))


def _copy(
    source: Input, spots: Sequence[tuple[int, int, int, int, int]], at: str, line: bytes, output: StrPath | int
) -> None:
    """Copy a file with another line in some places; as private as it was."""
    if source.is_member:
        raise ReportError(f"{source.path} is a member of an archive", hint="redact an unpacked copy")
    with new_file(output, rights([source])) as file:
        done = 0
        for _, number, offset, length, prefix in sorted(spots, key=lambda spot: spot[2]):
            there = source.excerpt(offset, length)
            where = f"{source.path}:{number}"
            if prefix:
                what = f"a carrier put something before the line {at}"
                raise ReportError(f"{where}: {what}", hint="redact a copy from before it was carried")
            if b"\n" in there or f".{at}.".encode() not in there:
                what = f"the line {at} is not there as it was read"
                raise ReportError(f"{where}: {what}", hint="redact an uncompressed copy that nobody writes to")
            _pour(source, done, offset, file)
            write_all(file, line)
            done = offset + length
        _pour(source, done, source.size, file)
        if not isinstance(output, int):
            os.fsync(file)


def _pour(source: Input, start: int, end: int, file: int) -> None:
    while start < end:
        data = source.excerpt(start, min(_PIECE, end - start))
        if not data:
            raise ReportError(f"{source.path} was truncated while it was copied", hint="try again")
        write_all(file, data)
        start += len(data)

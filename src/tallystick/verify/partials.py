"""Partial results, read for another run to go on with, and written (spec section 12).

>>> from tallystick.verify.memory.partial import Partial
>>> one = Partial("1.0", (), (), "c" * 64, ("logs/a*",), 0, ())
>>> paths_of([one, one])
('logs/a*',)
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace

from tallystick import _core, securefile
from tallystick.errors import FormatError, ReportError, reason
from tallystick.objects import Address, Object, connect, is_url
from tallystick.verify.catalogue import Kind, Weight
from tallystick.verify.memory.context import program
from tallystick.verify.memory.given import Given
from tallystick.verify.memory.holder import Stored
from tallystick.verify.memory.partial import MOST, Partial
from tallystick.verify.memory.record import DamagedError, Record
from tallystick.verify.remote import Known
from tallystick.verify.report import Finding

__all__ = ["believed", "contradictions", "known_objects", "paths_of", "read_partials", "write_partial"]

_MADE = "make it again, with the same keys, options and version of the program as here"


def read_partials(
    paths: Iterable[str | os.PathLike[str]], logs: _core.Keys, context: str, weakened: Sequence[str]
) -> list[Partial]:
    """Read partial results, each of which must have been made as this run is.

    Args:
        paths: Their files.
        logs: The logs, in the order of their keys.
        context: Digest of all that the scan depends on but the inputs.
        weakened: What the scan is told to pass over or to take out.

    Raises:
        FormatError: One is damaged, or was made with other keys or options.
        ReportError: One cannot be read.
    """
    found = []
    for path in [os.fspath(path) for path in paths]:
        try:
            partial = Partial.of(_content(path), logs)
        except DamagedError as error:
            raise FormatError(str(error), hint=_MADE, path=path) from None
        if partial.context != context:
            raise FormatError(_difference(partial, logs, weakened), hint=_MADE, path=path)
        found.append(believed(partial, logs))
    return found


def believed(partial: Partial, logs: _core.Keys) -> Partial:
    """Return what a partial result says in the name of those who vouch for it; the rest is read again.

    With C of some chains nobody can judge the lines of others, nor may he say anything of them.
    """
    scope = set(partial.scope)
    if scope == set(logs.scope()):
        return partial
    records = (record for record in partial.records if _is_of(record, logs, scope))
    return replace(partial, records=tuple(records))


def _is_of(record: Record, logs: _core.Keys, scope: set[tuple[int, int]]) -> bool:
    try:
        return all(_core.Summary.from_memory(one, 0).is_of(logs, scope) for one in record.summaries)
    except FormatError:
        return False


def _content(path: str) -> bytearray:
    try:
        fd = securefile.opened(path, os.O_RDONLY)
        with open(fd, "rb") as file:
            data = bytearray(file.read(MOST + 1))
    except OSError as error:
        raise ReportError(f"{path}: {reason(error)}", hint="name a file that `verify --partial` wrote") from error
    if len(data) > MOST:
        raise ReportError(f"{path}: it is larger than a partial result may be", hint="make several smaller ones")
    return data


def _difference(partial: Partial, logs: _core.Keys, weakened: Sequence[str]) -> str:
    """Say in what a partial result was made otherwise than this run."""
    if partial.program != program():
        return f"it was made by version {partial.program} of the program, and this is {program()}"
    if partial.logs != tuple(logs.public_keys()):
        return "it was made with other keys"
    if partial.weakened != tuple(weakened):
        return f"it was made with other options ({', '.join(partial.weakened) or 'none'})"
    return "it was made with other exceptions, or without the verification key"


def paths_of(partials: Iterable[Partial]) -> tuple[str, ...]:
    """Return what partial results are about, each once."""
    return tuple(dict.fromkeys(path for partial in partials for path in partial.paths))


def known_objects(partials: Iterable[Partial]) -> dict[str, Known]:
    """Return the objects that partial results read, by their URLs; the newest where there are several.

    Raises:
        ReportError: A URL is invalid, or what reads it is not installed.
    """
    known: dict[str, Known] = {}
    for record in (record for partial in partials for record in partial.records):
        held = record.holder
        if not isinstance(held, Stored) or not is_url(held.url):
            continue
        address, looked = Address.of(held.url), max((part.looked for part in record.all_parts), default=0)
        if held.url not in known or known[held.url].looked < looked:
            store = connect(address.root)
            there = Object(store, held.url, held.size, held.etag or None, held.version or None, held.changed)
            known[held.url] = Known(there, looked)
    return known


def contradictions(given: Given) -> list[Finding]:
    """Report what holds the bytes that partial results disagree on."""
    detail = "partial results read different bytes here, though nothing says that it was changed between them"
    return [
        Finding(Kind.CONTRADICTION, Weight.FAILED, f"{what}: {detail}", path=what, count=0)
        for what in sorted(set(given.disagreeing))
    ]


def write_partial(
    path: str | os.PathLike[str],
    records: Sequence[Record],
    *,
    logs: _core.Keys,
    context: str,
    weakened: Sequence[str],
    paths: Sequence[str],
    files: Sequence[str],
    time: int,
) -> None:
    """Write a partial result.

    Args:
        path: Where to.
        records: What was found.
        logs: The logs.
        context: Digest of all that the scan depended on but the inputs.
        weakened: What the scan was told to pass over or to take out.
        paths: What was named.
        files: What was read: nobody may read the result who may not read these.
        time: When the run began, ms since 1970.

    Raises:
        ReportError: It cannot be written.
    """
    made = Partial(program(), tuple(logs.public_keys()), tuple(weakened), context, tuple(paths), time, tuple(records))
    securefile.write_over(path, made.to_bytes(logs), securefile.Rights.common(files))

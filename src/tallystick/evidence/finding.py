"""Finds a line, and what proves it, in the files of a log; no key is needed (spec section 10).

>>> parse_position("oedhcsck.1.0.7")
('oedhcsck', (1, 0, 7))
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from tallystick import _core
from tallystick.errors import FormatError, ReportError
from tallystick.evidence.reading import StrPath, add_public, read
from tallystick.securefile import Rights
from tallystick.verify.columns import Column
from tallystick.verify.inputs import Input
from tallystick.verify.looking import open_inputs

__all__ = ["found", "parse_position", "rights"]

_RECEIPTS = 2**26  # bytes of a file of receipts


def parse_position(text: str) -> tuple[str | None, tuple[int, int, int]]:
    """Return the log id, if there is one, and chain, epoch and index of a position as people write it.

    >>> parse_position("1.0.7"), parse_position("oedhcsck.1.0.7")
    ((None, (1, 0, 7)), ('oedhcsck', (1, 0, 7)))

    Raises:
        FormatError: It is not a position.
    """
    number = "(0|[1-9][0-9]{0,9})"
    found = re.fullmatch(rf"(?:([a-z2-7]{{8}})\.)?{number}\.{number}\.{number}", text)
    at = (int(found[2]), int(found[3]), int(found[4])) if found else (0, 0, 0)
    if found is None or not (1 <= at[0] < 2**32 and at[1] < 2**8 and at[2] < 2**16):
        raise FormatError(f"{text!r} is not a position", hint="write chain.epoch.index, or LOGID.chain.epoch.index")
    return found[1], at


@contextmanager
def found(
    position: str,
    paths: Iterable[StrPath],
    public: StrPath | None,
    envelope: _core.Envelope | None,
    progress: Callable[[int, int], None] | None,
    receipts: Iterable[StrPath] = (),
    column: Column | None = None,
) -> Iterator[tuple[_core.Found, list[Input]]]:
    """Look for a line; give what proves it, and the files, which are open in the block."""
    log, at = parse_position(position)
    finder, keys = _core.Finder(log, at), None
    if public is not None:
        keys = _core.Keys()
        for text in add_public(keys, os.fspath(public)).split(b"\n")[1:]:
            finder.know(text.strip())
    for path in receipts:
        try:
            finder.receive(read(os.fspath(path), _RECEIPTS))
        except FormatError as error:
            raise error.found_in(os.fspath(path)) from None
    inputs, unread = open_inputs((os.fspath(path) for path in paths), envelope, column=column)
    try:
        total, done = sum(one.size for one in inputs), 0
        for one in inputs:
            for chunk in one.chunks():
                data, end = chunk.data, chunk.end
                if chunk.lines is not None:
                    end = len(data := chunk.lines.text())
                finder.feed(data, end, file=chunk.file, offset=chunk.offset, cut=chunk.cut)
                done += chunk.read
                if progress is not None:
                    progress(done, total)
        outcome = finder.finish(keys)
        if isinstance(outcome, _core.Trouble):
            place = f"{inputs[outcome.spot[0]].path}:{outcome.spot[1]}: " if outcome.spot else ""
            lacking = [f"{one.path}: {one.what}" for one in unread if not one.passed]
            lacking += [f"{one.path}: {one.trouble}" for one in inputs if one.trouble]
            said = [f"{place}{outcome.what}"] if inputs or not lacking else []
            raise ReportError("; ".join([*said, *lacking]))
        yield outcome, inputs
    finally:
        for one in inputs:
            one.close()


def rights(inputs: Iterable[Input]) -> Rights:
    """Return the rights of a file that is made from others."""
    return Rights.common(one.path for one in inputs)

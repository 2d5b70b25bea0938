"""Reads a log as it stood at one moment, though it goes on being written, renamed, compressed and removed.

Heads are read first, then the files are listed, then opened: so every line that a head counts is in a file that is
open, whatever it is called by now. If anything moved meanwhile, or a file holds a newer chain than the head counts, all
of that is done again, a bounded number of times. What is judged is one pass in that order. That a file vanished excuses
nothing: a pass in which lines are missing says so.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tallystick import _core
from tallystick.verify.heads import Heads
from tallystick.verify.inputs import Input
from tallystick.verify.looking import LOOKS, Inputs, Unread

__all__ = ["Moment", "read_moment"]

_PASSES = 3  # over everything
PATIENCE = 1.5  # seconds: a head counts what was written within 1 (spec section 6)
_TAIL = 8192  # bytes at the end of a file in which its newest chain is looked for
_MARGIN = 0.0005  # seconds


@dataclass(frozen=True, slots=True)
class Moment:
    """One pass: heads, then the files, then what they hold, chunk by chunk."""

    heads: Heads
    inputs: list[Input]
    unread: list[Unread]
    verification: _core.Verification
    chunks: Sequence[_core.Chunk]


def read_moment(
    files: Inputs,
    logs: _core.Keys,
    heads: Callable[[], Heads],
    scan: Callable[[list[Input], Heads], _core.Verification],
    *,
    patient: bool,
) -> Moment:
    """Read heads, files and lines, in this order.

    Args:
        files: What is verified; closed if this raises.
        logs: The logs.
        heads: Reads the heads.
        scan: Scans inputs; is given the heads, too.
        patient: The heads may still follow the log: wait for them.

    Raises:
        ReportError: Nothing can be read.
        KeyStoreError: The key store that was named cannot be read.
    """
    try:
        for left in reversed(range(_PASSES)):
            found = _steady(files, logs, heads, patient=patient)
            inputs, unread = files.ready()
            verification = scan(inputs, found)
            chunks, moved = verification.chunks(), any(one.moved for one in inputs)
            if not left or not (moved or (patient and _is_old(found, chunks, logs, heads))):
                return Moment(found, inputs, unread, verification, chunks)
            del verification  # while it is there, the keys cannot learn of the chains that a newer head counts
            files.forget_moved()
        raise AssertionError
    except BaseException:
        files.close()
        raise


def _steady(files: Inputs, logs: _core.Keys, heads: Callable[[], Heads], *, patient: bool) -> Heads:
    """Read heads and open files until nothing moves and no file is ahead of its head."""
    until, pause = time.monotonic() + PATIENCE, _MARGIN
    found, looks = heads(), 0
    while True:
        # A head that is as old as the first of these looks counts no line of a file that the last one did not open.
        if files.look() and (looks := looks + 1) <= LOOKS:
            continue
        if not (patient and _is_ahead(files.open_now(), found)) or time.monotonic() > until:
            return found
        time.sleep(pause)
        pause = min(0.05, pause * 2)
        found = heads()


def _chains(heads: Heads) -> dict[str, int]:
    return {log_id: head.at[0] for log_id, head in heads.found.items()}


def _is_ahead(inputs: Iterable[Input], heads: Heads) -> bool:
    """Does the end of a file claim a newer chain than the head? That may be a lie, which costs a little time."""
    chains = _chains(heads)
    for one in inputs if chains else ():
        end = one.tail(_TAIL)
        if any((_core.newest_chain(end, log_id) or 0) > chain for log_id, chain in chains.items()):
            return True
    return False


def _is_old(heads: Heads, chunks: Iterable[_core.Chunk], logs: _core.Keys, read: Callable[[], Heads]) -> bool:
    """Is a newer chain here than a head counts, and has the head got further meanwhile?"""
    counted, newest = _chains(heads), dict[str, int]()
    ids: Sequence[str] = [log_id for _, log_id, *_ in logs.logs()]
    for chunk in chunks:
        for number, _, _, last in chunk.edges:
            newest[ids[number]] = max(last[0], newest.get(ids[number], 0))
    older = {log_id for log_id, chain in counted.items() if newest.get(log_id, 0) > chain}
    if not older:
        return False
    now = _chains(read())
    return any(now.get(log_id, 0) > counted[log_id] for log_id in older)

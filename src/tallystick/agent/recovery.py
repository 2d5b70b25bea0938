"""How far the log came before the agent ended: read from the log itself (spec/agent.md section 3).

>>> came(Record((1, 0, 1), ((1, 1, b"a" * 48 + b"b" * 48),)), [((1, 0, 1), b"a" * 16), ((1, 0, 2), b"b" * 16)])
2
"""

import os
from collections import deque
from collections.abc import Iterator, Sequence

from tallystick import _core
from tallystick.agent.clients import Clients
from tallystick.agent.journal import HASHES, Record
from tallystick.securefile import Place
from tallystick.sinks.tail import lines_of

__all__ = ["came", "recover"]

_FIRST = (1, 0, 1)  # position of the first line of a log, but for its `open`

Entry = tuple[tuple[int, int, int], bytes]


def recover(clients: Clients, records: Sequence[Record], output: str, *, certain: bool) -> list[str]:
    """Take into `clients` what is in the log of the batches that a journal names.

    Args:
        clients: As the journal had them before these batches; those of which nobody can tell how far they came expire.
        records: The batches, the oldest first.
        output: Path of the log.
        certain: Can the journal lack no batch that the log has?

    Returns:
        What has to be reported.
    """
    if not certain:
        lost = clients.all()
        for client in lost:
            clients.forget(client)
        said = f"the machine was restarted in the middle of a log: {len(lost)} clients are refused"
        return [f"{said}, for their lines may be in it"] if lost else []
    numbered = {client.number: client for client in clients.all()}
    expired = 0
    for record, found, is_known in _looked_up(records, output):
        for number, first, hashes in record.runs:
            here = min(found, len(hashes) // HASHES)
            found -= here
            if (known := numbered.get(number)) is None:
                continue
            if not is_known:
                clients.forget(numbered.pop(number))
                expired += 1
            elif here:
                known.memory.remember(first, hashes[: here * HASHES], HASHES)
                known.sealed = known.memory.taken
    return [f"{expired} clients are refused, for their last lines may be in a rotated file"] if expired else []


def _looked_up(records: Sequence[Record], output: str) -> list[tuple[Record, int, bool]]:
    """Return of each batch how many of its lines are in the log, and whether the log can tell.

    The log is read backwards, once, and no more of it is held than one batch has.
    """
    looked: list[tuple[Record, int, bool]] = []
    place = Place.of(output)
    try:
        lines = _entries(lines_of(place, os.path.basename(output)))
        line = next(lines, None)
        oldest: tuple[int, int, int] | None = None
        for record in reversed(records):
            total = sum(len(hashes) for _, _, hashes in record.runs) // HASHES
            # `closed` is durable before the next chain opens, and with it all that was sealed before.
            if record.at[0] < records[-1].at[0]:
                looked.append((record, total, True))
                continue
            # A batch is sealed at once: its lines are the first ones, with statements of the log's own between them: a
            # checkpoint after each line at most, and few others.
            here: deque[Entry] = deque(maxlen=2 * total + 64)
            while line is not None and line[0] >= record.at:
                oldest, half = line
                if half is not None:
                    here.append((oldest, half))
                line = next(lines, None)
            entries = list(reversed(here))
            found = came(record, entries)
            # Where the file holds nothing from before the batch, it may have been rotated, unless the log begins there.
            begins = record.at <= _FIRST if oldest is None else record.at >= oldest
            reaches = line is not None or begins
            looked.append((record, found, reaches or found == total))
    finally:
        place.close()
    return looked[::-1]


def came(record: Record, entries: Sequence[Entry]) -> int:
    """Return how many lines of a batch are in the log, of which some entries are given."""
    expected = b"".join(hashes for _, _, hashes in record.runs)
    halves = [expected[at + 32 : at + HASHES] for at in range(0, len(expected), HASHES)]
    found = 0
    for at, half in entries:
        if at < record.at or found == len(halves):
            continue
        if half == halves[found]:
            found += 1
    return found


def _entries(lines: Iterator[bytes]) -> Iterator[tuple[tuple[int, int, int], bytes | None]]:
    """Give position and hash of the lines of a log that are sealed, its own among them."""
    for line in lines:
        claimed = _core.claimed_position(line)
        if claimed is not None:
            yield claimed[1], _core.entry_hash(line)

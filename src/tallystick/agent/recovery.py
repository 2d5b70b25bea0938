"""How far the log came before the agent ended: read from the log itself (spec/agent.md section 3).

>>> came(Record((1, 0, 1), ((1, 1, b"a" * 48 + b"b" * 48),)), [((1, 0, 1), b"a" * 16), ((1, 0, 2), b"b" * 16)])
2
"""

import os
from collections.abc import Sequence

from tallystick import _core
from tallystick.agent.clients import Clients
from tallystick.agent.journal import HASHES, Record
from tallystick.securefile import Place
from tallystick.sinks.tail import lines_of

__all__ = ["came", "recover"]

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
    entries, begins_before = _entries(output, records[0].at) if records else ([], True)
    numbered = {client.number: client for client in clients.all()}
    expired = 0
    for place, record in enumerate(records):
        later = records[place + 1].at if place + 1 < len(records) else None
        # `closed` is durable before the next chain opens, and with it all that was sealed before.
        complete = later is not None and later[0] > record.at[0]
        total = sum(len(hashes) for _, _, hashes in record.runs) // HASHES
        found = total if complete else came(record, entries)
        unknown = found < total and not begins_before and (not entries or record.at < entries[0][0])
        for number, first, hashes in record.runs:
            here = min(found, len(hashes) // HASHES)
            found -= here
            if (known := numbered.get(number)) is None:
                continue
            if unknown:
                clients.forget(numbered.pop(number))
                expired += 1
            elif here:
                known.memory.remember(first, hashes[: here * HASHES], HASHES)
                known.sealed = known.memory.taken
    return [f"{expired} clients are refused, for their last lines may be in a rotated file"] if expired else []


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


def _entries(output: str, since: tuple[int, int, int]) -> tuple[list[Entry], bool]:
    """Return the lines of a log from a position on, the oldest first, and whether the file has older ones."""
    entries: list[Entry] = []
    place = Place.of(output)
    try:
        for line in lines_of(place, os.path.basename(output)):
            claimed = _core.claimed_position(line)
            if claimed is None:
                continue
            if claimed[1] < since:
                return entries[::-1], True
            half = _core.entry_hash(line)
            if half is not None:
                entries.append((claimed[1], half))
    finally:
        place.close()
    # A log that begins here has nothing before its first line.
    return entries[::-1], since <= (1, 0, 1)

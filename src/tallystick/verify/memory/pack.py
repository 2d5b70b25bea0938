"""Many records of objects in one file: so a run over an archive opens some files, and not one for each object.

A pack is a magic word with the version of the form, 32 bytes that vouch for the rest, and the rest, compressed with
zstd: the length of a header, the header as JSON, which is the context and what each record says, and the summaries. It
is no longer than what is recognized among logs as a file of ours. A pack is never changed: new records come in new
ones, which take in what is still of use of others that hold little of that.

>>> from tallystick.verify.memory.holder import Stored
>>> from tallystick.verify.memory.record import Part, sha256
>>> part = Part(11, sha256(b"first line\\n"), 1_700_000_000_000)
>>> record = Record("c" * 64, "", Stored("s3://logs/a", 11, '"e"', 3), (part,), b"summary", (), 11, True)
>>> (pack,) = packed([record])
>>> read(pack.to_bytes(sha256), sha256) == pack, fits(record)
(True, True)
"""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from tallystick.verify.memory.holder import AnyHolder, Stored
from tallystick.verify.memory.record import SHORT, Record, Vouch, headed, header_of, read_vouched, sha256, vouched

__all__ = ["ENDING", "LARGEST", "Pack", "Packs", "fits", "packed", "read"]

ENDING = ".pack"
"""With what the name of a pack ends; it begins as the names of its records do."""

LARGEST = 2**20 - 2**12
"""Bytes of a pack before they are compressed, but for its context."""

_MAGIC = b"tallymem\x04"
_FEW = 2**14  # bytes of the summaries of a record that is packed, at most
_SAID = 400  # bytes that a record says of itself, with one part


def fits(record: Record) -> bool:
    """Does a record belong into a pack? One of a file changes as that grows, and a long one has a file of its own."""
    return isinstance(record.holder, Stored) and _weight(record) < _FEW


def _weight(record: Record) -> int:
    assert isinstance(record.holder, Stored)
    url = len(json.dumps(record.holder.url)) + len(record.holder.etag)
    return len(record.held) + _SAID + 2 * url + 110 * len(record.all_parts)


@dataclass(frozen=True, slots=True)
class Pack:
    """Records with the same context.

    Args:
        records: The records.
        weight: Bytes that they take, at most.
    """

    records: tuple[Record, ...]
    weight: int = field(compare=False)

    @property
    def context(self) -> str:
        """The context of its records."""
        return self.records[0].context

    @property
    def name(self) -> str:
        """What it is called in its directory."""
        said = (f"{record.name} {record.looked}".encode() for record in self.records)
        held = sha256(b"\n".join(said))
        return f"{self.context[:SHORT]}-{held.hex()[:SHORT]}{ENDING}"

    def to_bytes(self, vouch: Vouch) -> bytes:
        """Return the form in which it is kept.

        Args:
            vouch: Gives 32 bytes that vouch for a digest.
        """
        header = {"context": self.context, "records": [record.said() for record in self.records]}
        return vouched(_MAGIC, headed(header, (record.held for record in self.records)), vouch)


def packed(records: Iterable[Record]) -> list[Pack]:
    """Put records into packs."""
    made: list[list[Record]] = []
    weights: list[int] = []
    for record in sorted(records, key=lambda record: record.context):
        weight = _weight(record)
        if not made or weights[-1] + weight > LARGEST or made[-1][0].context != record.context:
            made.append([])
            weights.append(0)
        made[-1].append(record)
        weights[-1] += weight
    return [Pack(tuple(those), weight) for those, weight in zip(made, weights, strict=True)]


def read(data: bytes | bytearray, vouch: Vouch) -> Pack:
    """Read the form in which a pack is kept.

    Args:
        data: The bytes.
        vouch: Gives 32 bytes that vouch for a digest.

    Raises:
        DamagedError: Nothing vouches for it, or it has another form.
    """
    return read_vouched(_MAGIC, data, vouch, _read)


def _read(held: bytes) -> Pack:
    said, at = header_of(held)
    records = Record.all_of(str(said["context"]), said["records"], held, at)
    if not records or not all(map(fits, records)):
        raise ValueError
    return Pack(records, sum(map(_weight, records)))


class Packs:
    """The packs of a directory with one context, by their names, and the objects that they are about, by their URLs."""

    def __init__(self) -> None:
        self._packs: dict[str, Pack] = {}
        self._records: dict[str, Record] = {}  # the newest of each URL
        self._used: set[str] = set()  # URLs

    def add(self, name: str, pack: Pack) -> None:
        """Take a pack that was read or written; of two records about one object the one counts that was read last."""
        self._packs[name] = pack
        for record in pack.records:
            known = self._records.get(_url(record))
            if known is None or known.looked <= record.looked:
                self._records[_url(record)] = record

    def find(self, holder: AnyHolder) -> Record | None:
        """Return the record about an object; None for files."""
        return self._records.get(holder.url) if isinstance(holder, Stored) else None

    def use(self, record: Record) -> bool:
        """Note that a record is of use; is it here?"""
        if found := self.find(record.holder) is record:
            self._used.add(_url(record))
        return found

    def used(self) -> set[str]:
        """Return the packs that are about objects whose records were of use."""
        return {name for name, pack in self._packs.items() if not self._used.isdisjoint(map(_url, pack.records))}

    def begin(self) -> None:
        """Begin again to note what is of use."""
        self._used = set()

    def changed(self, new: Collection[Record]) -> tuple[list[Pack], set[str]]:
        """Return packs with new records, and the names of those that they stand for: these hold little else of use."""
        gone, kept = set[str](), list[Record]()
        urls = set(map(_url, new))
        for name, pack in self._packs.items() if new else ():
            those = [one for one in pack.records if _url(one) not in urls and self._records[_url(one)] is one]
            if sum(map(_weight, those)) < LARGEST // 2:
                gone.add(name)
                kept += those
        return packed((*kept, *new)), gone

    def drop(self, names: Iterable[str]) -> None:
        """Forget packs, whose records stand in others by now."""
        for name in names:
            for record in self._packs.pop(name).records:
                if self._records.get(_url(record)) is record:
                    del self._records[_url(record)]


def _url(record: Record) -> str:
    assert isinstance(record.holder, Stored)
    return record.holder.url

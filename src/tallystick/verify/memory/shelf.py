"""Records, by what they are about: found, held against what vouches for them, and put back."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TypeVar

from tallystick import _core
from tallystick.errors import ReportError, explain
from tallystick.verify.memory.directory import Directory
from tallystick.verify.memory.gathered import Origin
from tallystick.verify.memory.holder import Stored
from tallystick.verify.memory.pack import ENDING, Packs, fits, read
from tallystick.verify.memory.record import SHORT, DamagedError, Record, name_of

__all__ = ["Shelf"]

T = TypeVar("T")


class Shelf:
    """The records of a directory with one context.

    Attributes:
        lost: What was of no use, or could not be kept, and why.
    """

    def __init__(self, directory: Directory, keys: _core.Keys, context: str) -> None:
        """Take the directory, the keys that vouch for what is in it, and the context."""
        self._directory, self._keys, self._context = directory, keys, context
        self._read: dict[str, Record | None] = {}
        self._new: dict[str, Record] = {}  # what was not written yet
        self._used: set[str] = set()  # names of those that are in no pack
        self._alike: dict[str, list[str]] | None = None  # names by what they begin with; None where that has to be seen
        self._damaged: set[str] = set()
        self.lost: list[str] = []

    def about(self, origin: Origin) -> Iterator[Record]:
        """Give the records that may be about an input: its own first, then those of files that begin alike."""
        own = name_of(origin.context, origin.edge, origin.holder)
        known = own in self._directory.names or own in self._read or self._packs.find(origin.holder) is not None
        if known and (record := self._record(own, origin)) is not None:
            yield record
        if isinstance(origin.holder, Stored):
            return
        if self._alike is None:
            self._alike = {}
            for name in self._directory.names | self._read.keys():
                self._alike.setdefault(name.rpartition("-")[0], []).append(name)
        others = [name for name in self._alike.get(own.rpartition("-")[0], ()) if name != own]
        found = (self._record(name, origin) for name in sorted(others))
        yield from sorted((record for record in found if record is not None), key=lambda record: -record.length)

    def reading(self) -> AbstractContextManager[None]:
        """Read records in the block with one look at the directory."""
        return self._directory.reading()

    def use(self, record: Record) -> None:
        """Note that a record was of use."""
        if not self._packs.use(record):
            self._used.add(record.name)

    def damaged(self, record: Record, why: str) -> None:
        """Note that a record holds what it should not."""
        self._lose(record.name, why)

    def learn(self, records: Iterable[Record]) -> None:
        """Take what was found elsewhere."""
        new = {record.name: record for record in records}
        self._read |= new
        self._new |= new
        self._used |= new.keys()

    def keep(self, records: Iterable[Record]) -> None:
        """Take records in the place of those that there were; they are written by `write`."""
        kept: dict[str, Record | None] = {}
        for record in records:
            self.use(record)
            if (packed := self._packs.find(record.holder)) is not record:
                kept[name := record.name] = record
                if self._read.get(name, packed) != record:
                    self._new[name] = record
        self._alike = None
        # What is of no use now is read again if it is of use later.
        self._read = kept

    @property
    def has_new(self) -> bool:
        """Is something not written yet?"""
        return bool(self._new or self._damaged)

    def write(self) -> None:
        """Put records in their places; that it cannot be done takes nothing from what was verified."""
        small = {name: record for name, record in self._new.items() if fits(record)}
        packs, replaced = self._packs.changed(small.values())
        data = {name: one.to_bytes(self._keys.vouch) for name, one in self._new.items() if name not in small}
        made = {pack.name: pack for pack in packs}
        data |= {name: pack.to_bytes(self._keys.vouch) for name, pack in made.items()}
        try:
            unused = (self._damaged | replaced | small.keys()) - data.keys()
            self._directory.keep(data, self._used | self._packs.used(), unused)
        except ReportError as error:
            self.lost.append(f"not kept: {explain(error)}")
            return
        self._packs.drop(replaced - made.keys())
        for name, pack in made.items():
            self._packs.add(name, pack)
        self._packs.begin()
        self._new, self._damaged, self._used, self._alike = {}, set(), set(), None

    def _record(self, name: str, origin: Origin) -> Record | None:
        packed = self._packs.find(origin.holder)
        if name not in self._read and (packed is None or name in self._directory.names):
            alone = self._load(name, self._of)
            is_newer = packed is not None and (alone is None or alone.looked <= packed.looked)
            self._read[name] = packed if is_newer else alone
        record = self._read.get(name, packed)
        return record if record and (record.context, record.edge) == (origin.context, origin.edge) else None

    def _of(self, name: str, data: bytearray) -> Record:
        record = Record.of(data, self._keys.vouch)
        if record.name != name:
            raise DamagedError("it is in the place of another")
        return record

    @cached_property
    def _packs(self) -> Packs:
        """The packs with the context; they are read once."""
        packs = Packs()
        for name in sorted(self._directory.names):
            if name.endswith(ENDING) and name.startswith(self._context[:SHORT]):
                pack = self._load(name, lambda _, data: read(data, self._keys.vouch))
                if pack is not None and pack.context == self._context:
                    packs.add(name, pack)
        return packs

    def _load(self, name: str, of: Callable[[str, bytearray], T]) -> T | None:
        try:
            data = self._directory.read(name)
            return of(name, data) if data is not None else None
        except DamagedError as error:
            self._lose(name, str(error))
        except ReportError as error:
            self._lose(name, explain(error))
        return None

    def _lose(self, name: str, why: str) -> None:
        self._read[name] = None
        self._damaged.add(name)
        self.lost.append(f"{self._directory.where(name)}: {why}")

"""Records, by what they are about: found, held against what vouches for them, and put back."""

from collections.abc import Iterable, Iterator

from tallystick import _core
from tallystick.errors import ReportError, explain
from tallystick.verify.memory.directory import Directory
from tallystick.verify.memory.gathered import Origin
from tallystick.verify.memory.record import DamagedError, Record, name_of

__all__ = ["Shelf"]


class Shelf:
    """The records of a directory.

    Attributes:
        lost: What was of no use, or could not be kept, and why.
    """

    def __init__(self, directory: Directory, keys: _core.Keys) -> None:
        """Take the directory, and the keys that vouch for what is in it."""
        self._directory, self._keys = directory, keys
        self._read: dict[str, Record | None] = {}
        self._used: set[str] = set()
        self._damaged: set[str] = set()
        self.lost: list[str] = []

    def about(self, origin: Origin) -> Iterator[Record]:
        """Give the records that may be about an input: its own first, then those of files that begin alike."""
        own = name_of(origin.context, origin.edge, origin.holder)
        alike = own.rpartition("-")[0] + "-"
        others = [name for name in self._directory.names if name.startswith(alike) and name != own]
        if own in self._directory.names and (record := self._record(own, origin)) is not None:
            yield record
        found = (self._record(name, origin) for name in sorted(others))
        yield from sorted((record for record in found if record is not None), key=lambda record: -record.length)

    def use(self, record: Record) -> None:
        """Note that a record was of use."""
        self._used.add(record.name)

    def damaged(self, record: Record, why: str) -> None:
        """Note that a record holds what it should not."""
        self._lose(record.name, why)

    def keep(self, records: Iterable[Record]) -> None:
        """Put records in their places; that it cannot be done takes nothing from what was verified."""
        kept = {record.name: record for record in records}
        new = {name: record for name, record in kept.items() if self._read.get(name) != record}
        data = {name: record.to_bytes(self._keys.vouch) for name, record in new.items()}
        try:
            self._directory.keep(data, self._used | set(kept), self._damaged - set(kept))
        except ReportError as error:
            self.lost.append(f"not kept: {explain(error)}")

    def _record(self, name: str, origin: Origin) -> Record | None:
        if name not in self._read:
            self._read[name] = self._load(name)
        record = self._read[name]
        return record if record and (record.context, record.edge) == (origin.context, origin.edge) else None

    def _load(self, name: str) -> Record | None:
        try:
            data = self._directory.read(name)
            if data is None:
                return None
            record = Record.of(data, self._keys.vouch)
            if record.name != name:
                raise DamagedError("it is in the place of another")
        except DamagedError as error:
            self._lose(name, str(error))
        except ReportError as error:
            self._lose(name, explain(error))
        else:
            return record
        return None

    def _lose(self, name: str, why: str) -> None:
        self._read[name] = None
        self._damaged.add(name)
        self.lost.append(f"{self._directory.where(name)}: {why}")

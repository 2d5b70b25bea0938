"""Records out of partial results, by what they are about: nothing is written, and none is of use but what was given.

Two of them may contradict each other: they say of one object, or of one file that was not touched between, that it held
different bytes. Then neither is believed. What is there is read, and that they disagree is reported.
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext

from tallystick.verify.memory.gathered import Origin
from tallystick.verify.memory.holder import AnyHolder, Stored
from tallystick.verify.memory.record import Record, name_of

__all__ = ["Given"]


class Given:
    """The records of some partial results; none, where a partial result is made.

    Attributes:
        records: What a run found, once it is over.
        disagreeing: What holds the bytes of which partial results say different things: a URL, or a number of a file.
        lost: What was of no use, and why.
    """

    has_new = False

    def __init__(self, records: Iterable[Record]) -> None:
        self._by_name: dict[str, list[Record]] = {}
        self._alike: dict[str, list[Record]] = {}
        self.records: tuple[Record, ...] = ()
        self.disagreeing: list[str] = []
        self.lost: list[str] = []
        self.learn(records)

    def learn(self, records: Iterable[Record]) -> None:
        """Take some more records."""
        new: dict[str, list[Record]] = {}
        for record in records:
            new.setdefault(record.name, list(self._by_name.get(record.name, ()))).append(record)
        self._by_name |= new
        for name, about in new.items():
            agreeing = self._agreeing(about)
            self._by_name[name] = agreeing
            self._alike.setdefault(name.rpartition("-")[0], []).extend(agreeing)

    def _agreeing(self, about: list[Record]) -> list[Record]:
        """Return the records about one file or object that no other contradicts, each once."""
        by_holder: dict[AnyHolder, dict[object, Record]] = {}
        for record in about:
            by_holder.setdefault(record.holder, {}).setdefault((record.held_bytes, record.summaries), record)
        kept: list[Record] = []
        for holder, said in by_holder.items():
            if len(said) == 1 or not holder.is_untouched(holder):
                kept += said.values()
            elif len({record.held_bytes for record in said.values()}) > 1 and _is_told(holder):
                self.disagreeing.append(_called(holder))
        return kept

    def about(self, origin: Origin) -> Iterator[Record]:
        """Give the records that may be about an input: its own first, then those of files that begin alike."""
        own = name_of(origin.context, origin.edge, origin.holder)
        found = self._by_name.get(own, [])
        others = (record for record in self._alike.get(own.rpartition("-")[0], []) if record.name != own)
        for record in (*found, *others):
            if (record.context, record.edge) == (origin.context, origin.edge):
                yield record

    def reading(self) -> AbstractContextManager[None]:
        """Read nothing: all of them are here."""
        return nullcontext()

    def use(self, record: Record) -> None:
        """Note that a record was of use: nothing depends on it here."""

    def damaged(self, record: Record, why: str) -> None:
        """Note that a record holds what it should not."""
        self.lost.append(f"{_called(record.holder)}: {why}")

    def keep(self, records: Iterable[Record]) -> None:
        """Take what a run found."""
        self.records = tuple(records)

    def write(self) -> None:
        """Write nothing."""


def _is_told(holder: AnyHolder) -> bool:
    """Would other bytes have been seen as another object? A store that tells contents by time alone does not."""
    return not isinstance(holder, Stored) or bool(holder.etag)


def _called(holder: AnyHolder) -> str:
    return holder.url if isinstance(holder, Stored) else f"file {holder.inode} of device {holder.device}"

"""Facts about one log, whatever is expected of it: its chains, its openings, its gaps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tallystick import _core
from tallystick.verify.judge.openings import Openings
from tallystick.verify.positions import At, after
from tallystick.verify.source import Source

__all__ = ["LogFacts"]


@dataclass(frozen=True, slots=True)
class LogFacts:
    """Facts about one log.

    Args:
        source: The summary that they stand in.
        number: Number of the log in this run.
        name: Its name.
        log_id: Its log id.
        label: What it is called in this run.
        with_v: Is its verification key at hand?
        narrowed: Is that key narrowed?
        covers: First and last chain that the key covers.
        chains: The chains of which a line is here.
        numbers: Their numbers, in order.
        extent: From where on it is judged as a set.
        openings: What their openings say of the chains before them.
    """

    source: Source
    number: int
    name: str
    log_id: str
    label: str
    with_v: bool
    narrowed: bool
    covers: tuple[int, int]
    chains: Mapping[int, _core.ChainFacts]
    numbers: Sequence[int]
    extent: _core.Extent
    openings: Openings

    @classmethod
    def of(cls, source: Source, number: int) -> "LogFacts":
        """Return the facts about the log with a number."""
        name, log_id, with_v, narrowed, first, last = source.keys.logs()[number]
        chains = dict(source.facts.chains(number, with_v))
        numbers = sorted(chains)
        extent = source.facts.extent(number)
        openings = Openings((chains[chain].open for chain in numbers), extent)
        label, covers = source.labels[number], (first, last)
        return cls(source, number, name, log_id, label, with_v, narrowed, covers, chains, numbers, extent, openings)

    def covers_chain(self, chain: int) -> bool:
        """Does the key cover a chain?"""
        return self.covers[0] <= chain <= self.covers[1]

    @property
    def first(self) -> At:
        """The first position present; there must be one."""
        return self.chains[self.numbers[0]].first

    def gaps(self, chain: int, end: At | None = None) -> list[_core.Gap]:
        """Return the absent positions of a chain that is here, up to its last line or to `end` if that is later."""
        return self.source.facts.gaps(self.number, (chain, 0, 0), end)

    def ending(self, chain: int) -> str | None:
        """Return how a chain that is here ended: `closed`, `ended`, or None where neither is here."""
        ending = self.chains[chain].ending
        return ending.ending if ending else None

    def has_ended(self) -> bool:
        """Did the log end with the newest chain that is here?"""
        return bool(self.numbers) and self.ending(self.numbers[-1]) == "ended"

    def reaches(self, end: At) -> bool:
        """Was everything before a position written, as far as the last line of its chain tells?"""
        return self.source.facts.reaches(self.number, end)

    def has_other_statement(self, at: At, digest: bytes) -> bool:
        """Is the newest statement before a position another one, for certain?"""
        found = self.source.facts.statement_before(self.number, at)
        return found is not None and found.hash != digest

    def newest_pin(self) -> str | None:
        """Return the newest statement that is here, as the text of a pin (spec section 6)."""
        for chain in reversed(self.numbers):
            facts = self.chains[chain]
            newest = self.source.facts.statement_before(self.number, after(facts.last)) or facts.open
            if newest is not None:
                return newest.pin(self.log_id)
        return None

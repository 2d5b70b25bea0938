"""What was seen of a log: counts, times, chains and epochs, whether anything is wrong with them or not."""

from collections.abc import Iterator, Sequence
from typing import overload

from tallystick import _core
from tallystick.verify.judge.ends import end_anchor
from tallystick.verify.judge.gaps import start_anchor
from tallystick.verify.judge.view import LogView
from tallystick.verify.judge.witnesses import witness_reports
from tallystick.verify.positions import dotted
from tallystick.verify.report import ChainReport, EpochReport, LogReport

__all__ = ["log_report"]

_MOST_CHAINS = 1000  # chains that a report lists one by one


def log_report(log: LogView) -> LogReport:
    """Return what was seen of a log."""
    facts = log.facts
    counts = facts.source.facts.counts(facts.number)
    key = "verification key" if facts.with_v else "public key"
    chains = facts.chains.values()
    times = [chain.times for chain in chains if chain.times]
    return LogReport(
        facts.label,
        facts.log_id,
        f"narrowed {key}" if facts.narrowed else key,
        dotted(facts.first) if facts.chains else None,
        dotted(facts.chains[facts.numbers[-1]].last) if facts.chains else None,
        (min(t[0] for t in times), max(t[1] for t in times)) if times else None,
        start_anchor(log),
        end_anchor(log),
        len(facts.chains),
        sum(chain.checkpoints for chain in chains),
        counts.sealed,
        counts.prefixed,
        counts.reserialized,
        counts.redacted,
        0 if facts.with_v else sum(lines for chain in chains for _, _, lines, _ in chain.uncovered),
        tuple(_chain_report(number, facts.chains[number]) for number in facts.numbers[:_MOST_CHAINS]),
        facts.newest_pin(),
        witnesses=witness_reports(log),
    )


class _Epochs(Sequence[EpochReport]):
    """The epochs of a chain, made where they are asked for: a service looks every second at what may have very many."""

    __slots__ = ("_facts",)

    def __init__(self, facts: _core.ChainFacts) -> None:
        self._facts = facts

    @overload
    def __getitem__(self, index: int) -> EpochReport: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[EpochReport]: ...

    def __getitem__(self, index: int | slice) -> EpochReport | Sequence[EpochReport]:
        return tuple(self)[index]

    def __len__(self) -> int:
        return len(self._facts.epochs)

    def __iter__(self) -> Iterator[EpochReport]:
        for epoch, lines, checkpoint in self._facts.epochs:
            expected, time = (checkpoint[0] + 1, checkpoint[1]) if checkpoint else (None, None)
            yield EpochReport(epoch, lines, expected, time)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (_Epochs, tuple)) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))


def _chain_report(chain: int, facts: _core.ChainFacts) -> ChainReport:
    return ChainReport(
        chain,
        dotted(facts.first),
        dotted(facts.last),
        facts.lines,
        facts.open.time if facts.open else None,
        facts.checkpointed,
        facts.ending.ending if facts.ending else None,
        _Epochs(facts),
    )

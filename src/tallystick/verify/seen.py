"""What was seen of a log: counts, times, chains and epochs, whether anything is wrong with them or not."""

from typing import TYPE_CHECKING

from tallystick import _core
from tallystick.verify.report import ChainReport, EpochReport, LogReport
from tallystick.verify.source import dotted

if TYPE_CHECKING:
    from tallystick.verify.chains import LogJudge

__all__ = ["log_report"]

_MOST_CHAINS = 1000  # chains that a report tells one by one


def log_report(judge: "LogJudge") -> LogReport:
    """Return what was seen of a log."""
    counts = judge.source.summary.counts(judge.number)
    key = "verification key" if judge.with_v else "public key"
    times = [facts.times for facts in judge.chains.values() if facts.times]
    return LogReport(
        judge.label,
        judge.log_id,
        f"narrowed {key}" if judge.narrowed else key,
        dotted(judge.first) if judge.chains else None,
        dotted(judge.chains[judge.numbers[-1]].last) if judge.chains else None,
        (min(t[0] for t in times), max(t[1] for t in times)) if times else None,
        judge.start_anchor,
        judge.end_anchor,
        len(judge.chains),
        sum(facts.checkpoints for facts in judge.chains.values()),
        counts.sealed,
        counts.prefixed,
        counts.reserialized,
        counts.redacted,
        0 if judge.with_v else sum(n for f in judge.chains.values() for _, _, n, _ in f.uncovered),
        tuple(_chain_report(chain, judge.chains[chain]) for chain in judge.numbers[:_MOST_CHAINS]),
        judge.pin(),
    )


def _chain_report(chain: int, facts: _core.ChainFacts) -> ChainReport:
    epochs = tuple(
        EpochReport(epoch, lines, checkpoint[0] + 1 if checkpoint else None, checkpoint[1] if checkpoint else None)
        for epoch, lines, checkpoint in facts.epochs
    )
    return ChainReport(
        chain,
        dotted(facts.first),
        dotted(facts.last),
        facts.lines,
        facts.open.time if facts.open else None,
        max((epoch.time for epoch in epochs if epoch.time is not None), default=None),
        facts.ending.ending if facts.ending else None,
        epochs,
    )

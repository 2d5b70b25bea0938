"""Findings about one log as a whole, and about each of its chains, in the order of the checks (spec section 7)."""

from collections.abc import Iterator

from tallystick.verify.catalogue import Kind, Weight
from tallystick.verify.judge.ends import bad_head_findings, end_findings
from tallystick.verify.judge.gaps import gap_findings, no_line_findings
from tallystick.verify.judge.statements import chain_findings, statement_findings
from tallystick.verify.judge.view import LogView
from tallystick.verify.judge.witnesses import witness_findings
from tallystick.verify.report import Finding

__all__ = ["log_findings"]


def log_findings(log: LogView) -> Iterator[Finding]:
    """Give the findings about one log."""
    yield from bad_head_findings(log)
    if log.facts.narrowed:
        yield _narrowed(log)
    if log.expected.subset:
        detail = "lines were filtered out, as the caller says: gaps are reported, not judged"
        yield log.finding(Kind.SUBSET, Weight.INCOMPLETE, detail, count=0)
    if not log.facts.chains:
        yield from no_line_findings(log)
        yield from witness_findings(log)
        return
    yield from gap_findings(log)
    yield from statement_findings(log)
    yield from end_findings(log)
    yield from witness_findings(log)
    yield from chain_findings(log)


def _narrowed(log: LogView) -> Finding:
    first, last = log.facts.covers
    lines = log.facts.source.facts.counts(log.facts.number).narrowed
    outside = [f"{lines} lines"] if lines != 1 else ["1 line"]
    if log.anchors.pins_outside:
        outside.append(f"{log.anchors.pins_outside} pin{'' if log.anchors.pins_outside == 1 else 's'}")
    if log.anchors.head and not log.facts.covers_chain(log.anchors.head.at[0]):
        outside.append("the head")
    what = f"chain {first}" if first == last else f"chains {first} to {last}"
    detail = f"the key covers {what} only; outside it lie {' and '.join(outside)}, which were not judged"
    weight = Weight.NOTE if Kind.NARROWED in log.expected.allow else Weight.INCOMPLETE
    return log.finding(Kind.NARROWED, weight, detail, count=lines)

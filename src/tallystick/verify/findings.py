"""From a merged summary to findings (spec section 7)."""

from collections.abc import Sequence

from tallystick import _core
from tallystick.verify.chains import LogJudge
from tallystick.verify.lines import double_findings, line_findings, nothing_verified
from tallystick.verify.report import Finding, LogReport, Weight
from tallystick.verify.source import Demand, Source

__all__ = ["judge"]


def judge(
    summary: _core.Summary, keys: _core.Keys, paths: Sequence[str], demand: Demand
) -> tuple[list[Finding], list[LogReport]]:
    """Return all findings, the worst first, and what was seen of each log."""
    chunks = summary.chunks()
    lines_before: dict[tuple[int, int], int] = {}
    file, lines = -1, 0
    for chunk in chunks:
        if chunk.file != file:
            file, lines = chunk.file, 0
        lines_before[chunk.file, chunk.chunk] = lines
        lines += chunk.lines
    doubles = summary.doubles(keys)
    source = Source(summary, keys, paths, chunks, lines_before)
    judges = [LogJudge(source, number, demand) for number in range(len(keys.logs()))]
    findings = [finding for judge in judges for finding in judge.findings()]
    findings += double_findings(source, doubles, demand)
    findings += line_findings(source, judges, doubles, demand)
    if not any(judge.chains for judge in judges) and all(f.weight is Weight.NOTE for f in findings):
        findings += nothing_verified(source)
    order = [Weight.FAILED, Weight.INCOMPLETE, Weight.NOTE]
    findings.sort(key=lambda f: (order.index(f.weight), f.log or "", f.path or "", f.line or 0))
    return findings, [judge.report() for judge in judges]

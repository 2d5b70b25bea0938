"""Judging: from facts and expectations to single findings, and to what was seen of each log (spec section 7).

Everything here is a pure function of what it is given. Findings are generated, since there may be millions of them,
and they are the same each time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tallystick.verify.findings import unread_findings
from tallystick.verify.judge.adopted import adopted_findings
from tallystick.verify.judge.case import Case
from tallystick.verify.judge.duplicates import duplicate_findings
from tallystick.verify.judge.lines import carried_findings, line_findings, nothing_verified_findings
from tallystick.verify.judge.log import log_findings
from tallystick.verify.judge.notices import notice_findings
from tallystick.verify.judge.seen import log_report
from tallystick.verify.report import Finding, LogReport

__all__ = ["Judgement", "judge"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """The judgement on what was found.

    Args:
        logs: What was seen of each log; its verdict comes with the findings.
    """

    _case: Case
    logs: Sequence[LogReport]

    def findings(self) -> Iterator[Finding]:
        """Give each finding by itself, before exceptions are held against it and before any are folded."""
        case = self._case
        yield from unread_findings(case.unread, case.expected.allow)
        for log in case.logs:
            yield from log_findings(log)
        yield from duplicate_findings(case.source, case.duplicates, case.expected)
        yield from line_findings(case)
        yield from carried_findings(case)
        yield from notice_findings(case)
        yield from adopted_findings(case)
        yield from nothing_verified_findings(case)


def judge(case: Case) -> Judgement:
    """Judge what was found by what is expected. The inputs must stay open until the findings were taken."""
    return Judgement(case, [log_report(log) for log in case.logs])

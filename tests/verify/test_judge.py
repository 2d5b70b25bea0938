"""Judging gives a value: the same for the same case, however often and in whichever order it is asked."""

from pathlib import Path

import pytest

from tallystick.verify import Finding, LogReport
from tallystick.verify import run as verify_run
from tallystick.verify.judge import Judgement, judge
from tallystick.verify.judge.case import Case
from tests.forging import whole
from tests.verify import table
from tests.verify.test_table import CASES

pytestmark = pytest.mark.usefixtures("no_store")
KINDS = ("open end", "unclean end", "missing", "duplicate", "truncated", "narrowed")
SOME = [case for case in CASES if case.kind in KINDS]


class Judged:
    """Stands where a run asks for judgement, and asks in several ways."""

    def __init__(self) -> None:
        self.reports_first: list[LogReport] = []
        self.reports_last: list[LogReport] = []
        self.findings: list[list[Finding]] = []

    def __call__(self, case: Case) -> Judgement:
        judgement = judge(case)
        self.reports_first = list(judgement.logs)
        half = judgement.findings()
        next(half, None)  # begun, and left
        self.findings = [list(judgement.findings()), list(judgement.findings()), list(judge(case).findings())]
        self.reports_last = list(judge(case).logs)
        return judgement


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in SOME])
def test_findings_and_reports_are_the_same_whenever_they_are_asked_for(
    case: table.Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = Judged()
    monkeypatch.setattr(verify_run, "judge", judged)
    report = table.verified(case, tmp_path)
    first, *others = judged.findings
    assert all(other == first for other in others)
    assert judged.reports_first == judged.reports_last
    assert [(log.start, log.end) for log in report.logs] == [(log.start, log.end) for log in judged.reports_first]


def test_exceptions_are_held_against_single_findings_before_any_are_folded(tmp_path: Path) -> None:
    log = whole().without("1.0.1", "1.1.0", "2.0.1")
    # Of three gaps one is listed; without the exception the last would be one of those that are only counted.
    settings = {"max_findings": 1, "exceptions": "missing 2.0.1: known\n"}
    case = table.Case("missing", None, "three gaps", log, "", settings=settings)
    found = [(finding.kind, finding.position, finding.count) for finding in table.verified(case, tmp_path).findings]
    assert [one for one in found if one[0] in ("missing", "excepted")] == [
        ("missing", "1.0.1", 1),
        ("missing", None, 1),
        ("excepted", "2.0.1", 1),
    ]

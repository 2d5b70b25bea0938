"""Every row of the table in section 7, clause by clause: what it tells, and the nearest case that it does not tell.

Each case names the whole answer: the verdict, and of all findings weight, kind, count, file, line and positions.
"""

from pathlib import Path

import pytest

from tests.verify import rows_of_doubles, rows_of_ends, rows_of_lines, rows_of_sets, rows_of_statements
from tests.verify.table import Case, check_place, rows, told, verified

ROWS = (rows_of_lines, rows_of_doubles, rows_of_sets, rows_of_statements, rows_of_ends)
CASES = [case for rows_ in ROWS for case in rows_.CASES]


pytestmark = pytest.mark.usefixtures("no_store")


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_a_row_of_the_table(case: Case, tmp_path: Path) -> None:
    report = verified(case, tmp_path)
    assert told(report) == "\n".join([case.told.split("\n")[0], *sorted(case.told.split("\n")[1:])])
    assert (case.kind in {finding.kind for finding in report.findings}) == (case.clause is not None)
    for finding in report.findings:
        check_place(finding, case.files)


def test_the_table_has_the_rows_that_are_tried() -> None:
    assert len(rows()) == 24
    assert {case.kind for case in CASES} == set(rows())
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("kind", rows())
def test_each_clause_of_a_row_has_a_case_and_each_row_one_that_it_spares(kind: str) -> None:
    clauses = [case.clause for case in CASES if case.kind == kind and case.clause is not None]
    assert any(case.kind == kind and case.clause is None for case in CASES)
    for clause in clauses:
        assert clause in rows()[kind], f"no words of the row: {clause}"
    untried = [part for part in rows()[kind].split(";")[:-1] if not any(clause in part for clause in clauses)]
    assert not untried

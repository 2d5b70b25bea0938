"""The time line: what is here, what is not, and where the findings are."""

import dataclasses

import pytest

from tallystick import ChainReport, Finding
from tallystick.reports.timeline import WIDTH, timeline
from tests.reports import made


def drawn(report, number=0):
    log = report.logs[number]
    findings = [(n, one) for n, one in enumerate(report.findings, 1) if one.log == log.name]
    return timeline(log, findings)


def states(row):
    return [block.state for block in row.blocks]


def test_all_of_a_report_lies_in_the_drawing(report):
    for number in range(len(report.logs)):
        drawing = drawn(report, number)
        for row in drawing.rows if drawing else ():
            for block in row.blocks:
                assert 0 <= block.x <= block.x + block.width <= WIDTH + 1, block
            for mark in row.marks:
                assert 0 <= mark.x <= WIDTH
                assert mark.reach is None or 0 <= mark.reach[0] < mark.reach[1] <= WIDTH


def test_a_chain_is_a_row_and_an_epoch_a_block():
    drawing = drawn(made.calm())
    assert [row.label for row in drawing.rows] == ["chain 1", "chain 2", "chain 3"]
    assert [len(row.blocks) for row in drawing.rows] == [40, 25, 60]
    assert drawing.axis == "time"
    assert drawing.ticks[0].label == "2026-09-21 14:30"
    assert "epoch 1.0: 4,097 lines, 2026-09-21T14:14:20Z" in drawing.rows[0].blocks[0].title


def test_gaps_are_drawn():
    rows = drawn(made.bad()).rows
    assert [row.label for row in rows] == ["chain 1", "chain 2", "chain 3", "chain 4"]
    assert states(rows[1]) == ["whole"] * 7 + ["part"] + ["whole"] * 4 + ["gap"] + ["whole"] * 11
    assert states(rows[2]) == ["gap"]
    assert rows[2].blocks[0].title == "chain 3 is not here"
    assert states(rows[3])[-1] == "open"


def test_marks_stand_at_the_positions_of_findings():
    rows = drawn(made.bad()).rows
    altered, unclean = sorted(rows[0].marks, key=lambda mark: mark.x)
    assert altered.title == "failed: altered 1.19.3370"
    block = rows[0].blocks[19]
    assert block.x <= altered.x <= block.x + block.width + 1
    assert unclean.first == 7
    assert [mark.weight.value for mark in rows[2].marks] == ["failed"]
    assert rows[1].marks[-1].reach is not None  # epochs 12 and 13


def test_claims_that_make_no_sense_are_not_drawn_to_scale():
    for opened in (0, 2**53 - 1):
        log = made.log(made.chain(1, 3, made.START), made.chain(2, 3, opened))
        drawing = timeline(log, [])
        assert drawing.axis == "lines"
        assert [len(row.blocks) for row in drawing.rows] == [3, 3]


def test_a_line_that_claims_to_be_of_a_far_chain_stretches_nothing():
    finding = Finding("altered", made.FAILED, "x", log="payments", position="4294967295.0.7")
    drawing = timeline(made.calm().logs[0], [(1, finding)])
    assert len(drawing.rows) == 3
    assert drawing.notes == ("1 finding about this log has no place here; the table has all.",)


@pytest.mark.parametrize("position", [None, "", "1", "1.2", "1.x.2", "1.2.3.4", "¹.2.3", "-1.0.0"])
def test_a_position_that_is_none_has_no_mark(position):
    finding = Finding("altered", made.FAILED, "x", log="payments", position=position)
    assert timeline(made.calm().logs[0], [(1, finding)]).notes


def test_chains_at_the_end_that_findings_miss_are_drawn():
    finding = Finding("missing", made.FAILED, "x", log="payments", position="5.0.0")
    rows = timeline(made.calm().logs[0], [(1, finding)]).rows
    assert [row.label for row in rows] == ["chain 1", "chain 2", "chain 3", "4–5"]
    assert len(rows[3].marks) == 1


def test_many_chains_share_rows_and_a_block_is_one():
    drawing = drawn(made.large())
    assert len(drawing.rows) == 32
    assert drawing.shared == 32
    assert [len(row.blocks) for row in drawing.rows[:-1]] == [32] * 31
    assert "part" in {state for row in drawing.rows for state in states(row)}
    assert drawing.notes[0].startswith("There are many chains")


def test_only_the_first_thousand_chains_are_known_and_that_is_said():
    log = dataclasses.replace(made.large().logs[0], chains=5000)
    finding = Finding("missing", made.FAILED, "x", log="payments", position="4000.0.0")
    drawing = timeline(log, [(1, finding)])
    assert "Only the first 1,000 of 5,000 chains are drawn." in drawing.notes
    assert drawing.rows[-1].label == "993–1000"


def test_a_log_whose_chains_are_not_known_has_no_drawing():
    assert timeline(dataclasses.replace(made.calm().logs[0], by_chain=()), []) is None


def test_a_chain_without_epochs_is_drawn():
    chain = ChainReport(1, "1.0.0", "1.0.4", 5, None, None, None, ())
    log = dataclasses.replace(made.calm().logs[0], chains=1, by_chain=(chain,))
    (row,) = timeline(log, []).rows
    assert states(row) == ["open"]

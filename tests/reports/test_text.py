"""The report for people: in a pipe and on a terminal."""

import dataclasses
import re

import pytest

from tallystick import Finding, Verdict
from tallystick.reports import render
from tallystick.reports.meanings import verdict
from tests.reports import made

ANSI = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(autouse=True)
def terminal(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


BAD = """\
failed: the log is not as it was sealed

log payments (k7m2q3xa), judged with its verification key
  range     1.0.0 to 4.59.4096
  claimed   2026-09-21T14:13:20Z to 2026-09-21T18:12:20Z
  anchors   start: the log's first chain
            end: nothing
  lines     503,811 sealed, 12 prefixed, 3 redacted; 3 chains, 123 checkpoints
  chain 1   1.0.0 to 1.39.4096, 163,880 lines from 2026-09-21T14:13:20Z, closed
  chain 2   2.0.0 to 2.24.4096, 94,111 lines from 2026-09-21T15:13:20Z, closed
  chain 4   4.0.0 to 4.59.4096, 245,820 lines from 2026-09-21T17:13:20Z, no end
            here

findings    8: 5 failed, 1 incomplete, 2 note
failed altered audit.log.1:81213 1.19.3370
    the seal does not match the line: line or seal was changed
    at byte 9123456: user=7 action=transfer amount=900
failed missing ×120 2.7.800 to 2.7.919
    these lines were sealed and are not here; the checkpoint of the epoch counts
    them
failed missing 2.12.0 to 2.13.4096
    two epochs are not here
    perhaps: a rotated file that was not given: audit.log.2
failed missing 3.0.0
    chain 3 of the log is not here
failed unsealed audit.log:120033
    a line without a seal
    at byte 123123123: user=0 action=grant role=admin
incomplete open end audit.log:500123 4.59.4096
    nothing anchors the end: give the head, or a pin
note unclean end 1.39.4096
    chain 1 has no closing line
note excepted audit.log:7
    unsealed line allowed: banner of the old version
    at byte 510: user=0 action=grant role=admin

exceptions  1 used, 1 unused, 1 expired
  used      line 3: unsealed 9f9f banner of the old version
  unused    line 4: missing payments 9.0.0 disk loss in March
  expired   line 5: altered payments 1.2.3 until 2026-01-01

503,811 lines, 1 of them unsealed, 123.5 MB, 2 files in 1.37 s (367,745 lines/s)
"""


def test_a_report_on_a_terminal_of_80_columns_looks_like_this():
    shown = render(made.bad(), "text", 80)
    assert "\x1b[1;31mfailed\x1b[0m altered" in shown
    assert ANSI.sub("", shown) == BAD


def test_in_a_pipe_it_says_the_same_without_colour_and_each_line_stays_one():
    piped = render(made.bad(), "text")
    assert piped.split() == BAD.split()
    assert "the checkpoint of the epoch counts them\n" in piped
    assert "\x1b" not in piped


def test_no_line_is_wider_than_the_terminal(report):
    for width in (40, 80, 200):
        for line in ANSI.sub("", render(report, "text", width)).splitlines():
            assert len(line) <= width, line


def test_colour_can_be_refused(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[1;31m" not in render(made.bad(), "text", 80)


@pytest.mark.parametrize("width", [None, 80])
def test_what_an_attacker_names_does_nothing(width):
    shown = ANSI.sub("", render(made.hostile(), "text", width))
    assert all(sign.isprintable() or sign == "\n" for sign in shown)
    assert "[bold]x[/bold]" in shown  # shown, not obeyed
    assert "\\x1b[31mred[/]" in shown
    assert "\\u202e" in shown
    assert "\\x9b\\xff\\x0a" in " ".join(shown.split())


def test_the_first_line_is_the_verdict(report):
    assert render(report, "text").startswith(f"{verdict(report)}: ")


def test_an_untouched_log_is_reported_in_few_words():
    shown = render(made.calm(), "text")
    assert shown.startswith("ok: every line is as it was sealed, and none is missing\n")
    assert "findings" not in shown


def test_the_headline_does_not_promise_more_than_was_found():
    def first(kind, weight):
        return render(made.report(findings=(Finding(kind, weight, "x"),)), "text").splitlines()[0]

    assert first("excepted", made.NOTE).endswith("but for what the exceptions file allows")
    assert first("unclean end", made.NOTE).endswith("but for the last second before a crash")
    assert first("nothing verified", made.INCOMPLETE) == "incomplete: nothing could be verified"


def test_many_chains_are_summed_up_and_many_findings_cut():
    shown = render(made.large(), "text")
    assert "\n  chains    1,000 closed\n" in shown
    assert "\n… and 900 more findings: see --format json or --format html\n" in shown
    assert shown.count("\nfailed altered ") == 100


def test_with_several_logs_a_finding_names_its_own():
    assert "\nincomplete late start svc-2 1.0.0\n" in render(made.partial(), "text")
    assert "  no line of it is here\n" in render(made.partial(), "text")


def test_a_report_that_took_no_time_is_shown():
    assert "(many lines/s)" in render(dataclasses.replace(made.calm(), seconds=0.0), "text")


def test_a_real_report_is_shown(verified):
    shown = render(verified, "text")
    assert shown.startswith("failed: the log is not as it was sealed\n")
    assert verified.verdict is Verdict.FAILED
    assert re.search(r"^failed altered .*app\.log:3 1\.0\.2$", shown, re.MULTILINE)


def test_an_invalid_form_is_reported():
    with pytest.raises(ValueError, match="there is no form 'xml' of a report; there are text, json, sarif, html"):
        render(made.calm(), "xml")

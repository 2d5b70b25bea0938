"""The page: all logs, the worst first, and each with all that was seen of it, whatever they are called."""

import html
import re
from dataclasses import replace
from itertools import pairwise

import pytest

from tallystick.watch.standing import State
from tests.watch.web import board
from tests.watch.web.conftest import Client


def rows(text):
    """Return state and name of each row."""
    return re.findall(r'<tr data-state="(\w+)">.*?<th scope="row"><a href="[^"]*"><bdi>(.*?)</bdi>', text, re.DOTALL)


def test_all_logs_are_listed_the_worst_first(ask):
    answer = ask("/")
    assert answer.status == 200
    assert rows(answer.text) == [
        ("failed", "payments"),
        ("stale", "web/1"),
        ("silent", "audit"),
        ("never", "backup"),
        ("ok", "ledger"),
    ]
    assert "<h1>1 of 5 logs has failed</h1>" in answer.text
    assert "the key store does not answer" in answer.text


def test_each_row_says_how_its_day_was_in_words(ask):
    days = re.findall(r'aria-label="Last 24 hours: ([^"]*)"', ask("/").text)
    assert re.fullmatch(r"ok 2[23] h.*, failed 1 h", days[0])
    assert re.fullmatch(r"ok (23 h.*|1 d)", days[-1])


@pytest.mark.parametrize("state", [state.value for state in State])
def test_a_state_is_shown_alone(ask, state):
    found = rows(ask(f"/?state={state}").text)
    assert {each for each, _ in found} == ({state} if state != "incomplete" else set())


def test_a_log_is_found_by_a_part_of_its_name(ask):
    assert rows(ask("/?q=AUD").text) == [("silent", "audit")]
    assert "No log is like that" in ask("/?q=nowhere").text


@pytest.mark.parametrize("query", ["state=fine", "page=0", "page=x", "page=9999999"])
def test_an_invalid_demand_is_refused(ask, query):
    assert ask(f"/?{query}").status == 400
    assert "<h1>" in ask(f"/?{query}", Accept="text/html").text


def test_a_log_has_its_findings_its_chains_and_its_reports(ask, reports):
    text = ask("/logs/payments").text
    assert re.search(r"<h1><bdi>payments</bdi>: <b>failed</b> for <time [^>]*>1 h[^<]*</time></h1>", text)
    assert len(re.findall(r'<tr id="f\d+">', text)) == len(reports["failed"].findings)
    assert html.escape(reports["failed"].findings[0].excerpt) in text
    assert text.count('class="block ') >= 3
    for form in ("html", "json", "sarif"):
        assert f'href="/reports/{form}/payments"' in text


def test_a_log_that_was_never_seen_has_a_page(ask):
    text = ask("/logs/backup").text
    assert "Nothing was looked at yet" in text
    assert "/reports/" not in text


def test_after_a_restart_the_kept_findings_are_shown_until_the_first_look(standings, serving, reports):
    standings.put(board.standing("kept", reports["failed"]))
    assert reports["failed"].findings[0].detail in Client(serving(standings))("/logs/kept").text


@pytest.mark.parametrize("form", ["html", "json", "sarif"])
def test_the_report_of_the_last_look_is_served_whole(ask, form, reports):
    from tallystick.reports import render

    answer = ask(f"/reports/{form}/payments")
    assert answer.text == render(reports["failed"], form)
    assert answer.headers["content-disposition"] == f'attachment; filename="tallystick-payments.{form}"'


NAMES = [
    "web/1",
    "../../etc/passwd",
    "a b&c=d?e#f",
    "ключ",
    "\u202eevil",
    "x" * 300,
    "%2e%2e",
    "a\udcffb",
    "..a",
    '"><b>',
]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_leads_to_its_page(standings, serving, reports, name):
    standings.put(board.standing(name, reports["failed"]), board.day_of(State.FAILED), reports["failed"])
    ask = Client(serving(standings))
    found = {html.unescape(path) for path in re.findall(r'<th scope="row"><a href="([^"]*)"', ask("/").text)}
    paths = [path for path in found if path not in ("/logs/payments", "/logs/ledger", "/logs/audit", "/logs/backup")]
    assert len(paths) == (1 if name == "web/1" else 2)
    for path in paths:
        answer = ask(path)
        assert answer.status == 200
        assert ask(html.unescape(re.search(r'href="(/reports/json/[^"]*)"', answer.text)[1])).status == 200
        assert ask(path.replace("/logs/", "/api/v1/logs/", 1)).json["log"]["name"] in (name, "web/1")


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e%2fapp.py",
        "/static//etc/passwd",
        "/logs/none",
        "/reports/exe/payments",
        "/reports/json/none",
        "/x",
        "//",
        "/logs",
        "/logs/%00",
    ],
)
def test_nothing_else_is_there(ask, path):
    answer = ask(path)
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["status"] == 404


def test_two_thousand_logs_take_pages_of_a_hundred(standings, serving, reports):
    for number in range(2000):
        standings.put(board.standing(f"service-{number:04}", reports["ok"]), board.day_of(State.OK))
    ask = Client(serving(standings))
    first = ask("/")
    assert len(rows(first.text)) == 100
    assert len(first.body) < 120_000
    assert rows(first.text)[0] == ("failed", "payments")
    seen = set()
    for page in range(1, 22):
        seen |= {name for _, name in rows(ask(f"/?page={page}").text)}
    assert len(seen) == 2005


def test_a_failure_of_a_second_is_seen_in_the_day(standings, serving, reports):
    end = board.now()
    bands = [board.Band(end - 5000, end - 4000, State.FAILED), board.Band(end - 4000, end, State.OK)]
    standings.put(board.standing("short", reports["ok"]), bands)
    text = Client(serving(standings))("/logs/short").text
    assert re.search(r'<rect class="failed" x="143" y="0" width="1" height="16"/>', text)
    assert "failed 1 s" in text


def test_headings_go_down_step_by_step_and_every_table_has_named_columns(ask):
    for path in ("/", "/logs/payments", "/logs/backup"):
        text = ask(path).text
        levels = [int(level) for level in re.findall(r"<h([1-6])", text)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))
        for table in re.findall(r"<table.*?</table>", text, re.DOTALL):
            assert "<caption" in table
            assert '<th scope="col"' in table
        assert "style=" not in text
        assert not re.search(r"\son[a-z]+=", text)


def test_a_page_tells_alerts_that_wait(standings, serving):
    standings.alerts = 3
    assert "3 alerts still to be delivered" in Client(serving(standings))("/").text


def test_labels_are_shown(ask):
    assert "<bdi>team</bdi>=<bdi>money</bdi>" in ask("/logs/payments").text


def test_nothing_is_watched(serving):
    assert "No log is watched" in Client(serving(board.Board()))("/").text


def test_a_log_of_tomorrow_is_no_trouble(standings, serving, reports):
    ahead = replace(board.standing("ahead", reports["ok"]), since=board.now() + board.DAY)
    standings.put(ahead, [board.Band(board.now() + 1000, board.now() + 2000, State.OK)])
    assert Client(serving(standings))("/logs/ahead").status == 200

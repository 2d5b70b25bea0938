"""The API: JSON that follows its schema, and errors as problem details."""

import sys

import jsonschema
import pytest
from referencing import Registry, Resource

from tallystick.reports import plain
from tallystick.watch.web import api
from tests.servers import until
from tests.watch.web import board
from tests.watch.web.conftest import Client


@pytest.fixture(scope="session")
def valid():
    """Check an answer against the schema."""
    report = Resource.from_contents(plain.schema())
    registry = Registry().with_resource("urn:tallystick:report:1", report)
    checker = jsonschema.Draft202012Validator(api.schema(), registry=registry)
    checker.check_schema(api.schema())
    return checker.validate


def test_all_logs_are_answered_in_the_order_of_the_configuration(ask, valid):
    answer = ask("/api/v1/logs")
    assert answer.headers["content-type"] == "application/json"
    valid(answer.json)
    assert [one["name"] for one in answer.json["logs"]] == ["payments", "ledger", "web/1", "audit", "backup"]
    assert answer.json["logs"][2]["url"] == "/api/v1/logs/web%2F1"
    assert answer.json["logs"][0]["seen"]["counts"] == [{"kind": "altered", "weight": "failed", "count": 1}]


def test_one_log_is_answered_with_its_day_and_findings(ask, valid, reports):
    answer = ask("/api/v1/logs/payments")
    valid(answer.json)
    assert answer.json["log"]["state"] == "failed"
    assert [band["state"] for band in answer.json["day"]] == ["ok", "failed"]
    assert answer.json["findings"][0]["position"] == reports["failed"].findings[0].position


def test_each_entry_of_any_state_follows_the_schema(ask, valid):
    for one in ask("/api/v1/logs").json["logs"]:
        valid(ask(one["url"]).json)


def test_the_answer_can_be_narrowed_to_a_state(ask):
    assert [one["name"] for one in ask("/api/v1/logs?state=silent").json["logs"]] == ["audit"]


def test_the_schema_allows_no_field_that_it_does_not_know(ask, valid):
    answer = ask("/api/v1/logs").json
    with pytest.raises(jsonschema.ValidationError):
        valid(answer | {"more": 1})
    assert ask("/api/v1/schema").json == api.schema()


def test_the_process_lives(ask):
    assert ask("/healthz").json == {"status": "ok"}


def test_it_is_ready_once_each_log_was_looked_at_and_while_the_loop_goes_on(standings, serving, reports):
    ask = Client(serving(standings))
    assert ask("/readyz").status == 200
    standings.put(board.standing("new", tried=None))
    assert ask("/readyz").json["detail"] == "not every log was looked at yet"
    standings.put(board.standing("new", reports["ok"]))
    assert ask("/readyz").status == 200
    standings.turned -= 3600
    assert ask("/readyz").json["detail"] == "the service does not go on"


def test_metrics_are_what_their_maker_gives(standings, serving):
    def metrics(seen, accept):
        return "text/plain; version=0.0.4", f"logs {len(seen.all())} {accept}\n".encode()

    answer = Client(serving(standings, metrics=metrics))("/metrics", Accept="x/y")
    assert (answer.headers["content-type"], answer.text) == ("text/plain; version=0.0.4", "logs 5 x/y\n")


def test_without_the_package_of_metrics_there_are_none(standings, serving, monkeypatch):
    monkeypatch.setitem(sys.modules, "tallystick.watch.metrics", None)
    answer = Client(serving(standings))("/metrics")
    assert (answer.status, answer.json["detail"]) == (404, "no metrics are served")


def test_an_error_says_what_is_wrong_in_the_form_of_rfc_9457(ask):
    answer = ask("/api/v1/logs/none")
    assert answer.json == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "there is no log of that name",
    }


def test_a_fault_of_ours_is_an_error_without_its_inner_life(standings, serving, monkeypatch, caplog):
    ask = Client(serving(standings))
    monkeypatch.setattr(standings, "all", lambda: 1 / 0)
    answer = ask("/api/v1/logs")
    assert answer.status == 500
    assert "division" not in answer.text
    assert "content-security-policy" in answer.headers
    until(lambda: "ZeroDivisionError" in caplog.text, "the traceback in the log")

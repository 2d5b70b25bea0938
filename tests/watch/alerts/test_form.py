"""Events follow their schema, and stay small and harmless, whatever stands in the log."""

import copy
import dataclasses
import json

import jsonschema
import pytest

from tallystick.verify.catalogue import Kind
from tallystick.verify.report import Finding
from tallystick.watch.alerts import schema
from tallystick.watch.alerts.form import as_line, cloud_event, distinct, plain_event, reduced
from tallystick.watch.alerts.syslog import message
from tallystick.watch.events import Event, Reason
from tallystick.watch.standing import State
from tests.watch.events import HOSTILE, event, hostile, over

VALIDATOR = jsonschema.Draft202012Validator(schema())
EVENTS = {
    "failed": event(1),
    "over": over(2),
    "repeat": event(3, reason=Reason.REPEAT, finding=None, trouble="no line for 15 minutes", after=State.SILENT),
    "bare": Event("4", 0, "app", Reason.CHANGE, State.NEVER, State.OK, 0),
    "hostile": hostile(5),
    "emoji": event("6" * 500, "\U0001f525" * 500, finding=None, trouble="\U0001f525" * 500, advice="\U0001f525" * 500),
}


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_follows_the_schema_whole_and_reduced(name):
    plain = plain_event(EVENTS[name])
    for each in (plain, reduced(plain)):
        VALIDATOR.validate(json.loads(as_line(each)))


def test_the_schema_has_exactly_the_fields_of_an_event_and_a_finding():
    more = {"tallystick_event", "summary", "reduced", "dropped"}
    for part, cls in (("event", Event), ("finding", Finding)):
        found = schema()["$defs"][part]
        fields = {field.name for field in dataclasses.fields(cls)} | (more if part == "event" else set())
        assert set(found["properties"]) == set(found["required"]) == fields
    assert schema()["$defs"]["finding"]["properties"]["kind"]["enum"] == [kind.value for kind in Kind]
    assert schema()["$defs"]["state"]["enum"] == [state.value for state in State]
    assert schema()["$defs"]["event"]["properties"]["reason"]["enum"] == [reason.value for reason in Reason]


@pytest.mark.parametrize("change", [{"more": -1}, {"after": "bad"}, {"summary": "a\x1b[31m"}, {"new": 1}, {"id": 1}])
def test_the_schema_refuses_what_is_no_event(change):
    plain = copy.deepcopy(plain_event(event(1))) | change
    assert not VALIDATOR.is_valid(plain)


@pytest.mark.parametrize("name", ["hostile", "emoji"])
def test_the_largest_event_has_less_than_64_kib_and_is_one_line_of_printable_ascii(name):
    line = as_line(cloud_event(plain_event(EVENTS[name]), "urn:tallystick:watch:db1"))
    assert len(line) < 65536
    assert line.endswith(b"\n")
    assert all(0x20 <= byte < 0x7F for byte in line[:-1])


def test_texts_of_an_attacker_are_printable_once_the_json_is_read():
    def texts(value):
        if isinstance(value, dict):
            return [text for pair in value.items() for each in pair for text in texts(each)]
        return [value] if isinstance(value, str) else []

    found = texts(json.loads(as_line(plain_event(EVENTS["hostile"]))))
    assert len(found) > 30
    assert all(text.isprintable() for text in found)


def test_a_reduced_event_holds_nothing_of_the_log():
    plain = plain_event(event(1, finding=None, trouble="cannot open evil"))
    assert "evil" not in json.dumps(reduced(plain))
    marked = {name: f"evil {name}" for name in ("detail", "cause", "log", "path", "excerpt")}
    plain = plain_event(event(1))
    plain["finding"] |= marked
    less = reduced(plain)
    assert "evil" not in json.dumps(less)
    assert (less["finding"]["kind"], less["finding"]["line"], less["reduced"]) == ("altered", 3, True)


def test_a_message_of_syslog_is_one_line_of_ascii_and_short():
    for each in EVENTS.values():
        line = message(plain_event(each), 4, HOSTILE)
        assert len(line) <= 2000
        assert all(0x20 <= byte < 0x7F for byte in line)
    assert b'kind="altered"' in message(plain_event(event(1)), 4, "db1")


def test_names_that_are_cut_alike_stay_apart():
    names = ["a" * 500, "a" * 501, "a\x1b", "a\\x1b", "a\x00" * 300, "a\x00" * 301]
    assert len({distinct(name, 200) for name in names}) == len(names)
    assert all(len(distinct(name, 200)) <= 200 for name in names)


@pytest.mark.parametrize(
    ("given", "summary"),
    [
        (event(1), "app is failed: altered at /var/log/app.log:3, and 2 more"),
        (event(1, reason=Reason.REPEAT, more=0), "app is still failed: altered at /var/log/app.log:3"),
        (event(1, finding=None, after=State.STALE, trouble="store away"), "app is stale: store away"),
        (over(1), "app is ok again; it was failed"),
        (EVENTS["bare"], "app is ok"),
    ],
)  # fmt: skip
def test_a_summary_says_it_in_one_line(given, summary):
    assert plain_event(given)["summary"] == summary

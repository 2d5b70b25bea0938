"""The JSON report and its schema say the same, and neither can change without the other."""

import copy
import dataclasses
import json

import jsonschema
import pytest

from tallystick import (
    ChainReport,
    EpochReport,
    ExceptionUse,
    FileReport,
    Finding,
    KeyReport,
    LogReport,
    Remembered,
    Report,
)
from tallystick.reports import render
from tallystick.reports.plain import schema
from tests.reports import made

VALIDATOR = jsonschema.Draft202012Validator(schema())
PARTS = {
    "report": Report,
    "finding": Finding,
    "log": LogReport,
    "chain": ChainReport,
    "epoch": EpochReport,
    "exception": ExceptionUse,
    "file": FileReport,
    "key": KeyReport,
    "remembered": Remembered,
}


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(schema())


def test_a_report_made_by_hand_follows_the_schema(report):
    if report == made.hostile():
        assert json.loads(render(report, "json"))["files"][0] == made.HOSTILE
    VALIDATOR.validate(json.loads(render(report, "json")))


def test_a_real_report_follows_the_schema(verified):
    VALIDATOR.validate(json.loads(render(verified, "json")))


def test_the_version_comes_first(report):
    assert render(report, "json").startswith('{\n "tallystick_report": 1,\n "verdict": ')


@pytest.mark.parametrize("part", PARTS)
def test_the_schema_has_exactly_the_fields_of_each_part(part):
    fields = {field.name for field in dataclasses.fields(PARTS[part])}
    fields |= {"tallystick_report"} if part == "report" else set()
    described = schema()["$defs"][part]
    assert set(described["properties"]) == fields
    assert set(described["required"]) == fields
    assert described["additionalProperties"] is False


@pytest.mark.parametrize(
    "path",
    [
        (),
        ("findings", 0),
        ("logs", 0),
        ("logs", 0, "by_chain", 0),
        ("logs", 0, "by_chain", 0, "epochs", 0),
        ("exceptions", 0),
        ("on_disk", 0),
        ("keys", 0),
    ],
)
def test_a_field_that_nobody_knows_and_one_that_is_absent_are_refused(path):
    honest = json.loads(render(made.bad(), "json"))
    for change in ("more", "less"):
        value = copy.deepcopy(honest)
        part = value
        for step in path:
            part = part[step]
        if change == "more":
            part["new"] = 1
        else:
            part.popitem()
        with pytest.raises(jsonschema.ValidationError):
            VALIDATOR.validate(value)


def test_nothing_but_ascii_is_printed():
    assert render(made.hostile(), "json").isascii()

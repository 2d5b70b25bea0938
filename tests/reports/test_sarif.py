"""The SARIF report follows the official schema, and what services make of it is what was found."""

import dataclasses
import json
import re
from pathlib import Path

import jsonschema
import pytest

from tallystick import Finding
from tallystick.reports import render
from tallystick.verify.catalogue import CATALOGUE
from tests.reports import made

OFFICIAL = json.loads((Path(__file__).parent / "data" / "sarif-schema-2.1.0.json").read_text())
VALIDATOR = jsonschema.Draft7Validator(OFFICIAL, format_checker=jsonschema.FormatChecker())


def run(report):
    """Return the run of a report, which follows the schema."""
    log = json.loads(render(report, "sarif"))
    VALIDATOR.validate(log)
    assert log["version"] == "2.1.0"
    (one,) = log["runs"]
    return one


def test_a_report_made_by_hand_follows_the_official_schema(report):
    assert len(run(report)["results"]) == len(report.findings)


def test_a_real_report_follows_the_official_schema(verified):
    assert len(run(verified)["results"]) == len(verified.findings)


def test_there_is_a_rule_for_each_kind_and_each_result_names_its_own():
    one = run(made.bad())
    driver = one["tool"]["driver"]
    assert (driver["name"], bool(re.match(r"[0-9]+\.[0-9]+", driver["version"]))) == ("tallystick", True)
    rules = driver["rules"]
    assert [rule["id"] for rule in rules] == [kind.replace(" ", "-") for kind in CATALOGUE]
    for result, finding in zip(one["results"], made.bad().findings, strict=True):
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == finding.kind.replace(" ", "-")
    assert {rule["id"]: rule["defaultConfiguration"]["level"] for rule in rules}["open-end"] == "warning"


def test_weights_become_levels():
    levels = [result["level"] for result in run(made.bad())["results"]]
    assert levels == ["error"] * 5 + ["warning", "note", "note"]


def test_a_result_says_where_it_is():
    result = run(made.bad())["results"][0]
    (location,) = result["locations"]
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "audit.log.1"},
        "region": {
            "startLine": 81213,
            "byteOffset": 9123456,
            "snippet": {"text": "user=7 action=transfer amount=900"},
        },
    }
    assert location["logicalLocations"][0]["fullyQualifiedName"] == "payments:1.19.3370"
    assert (result["properties"]["position"], result["properties"]["count"]) == ("1.19.3370", 1)


def test_each_result_has_a_file_or_services_refuse_the_whole_log():
    for result in run(made.bad())["results"]:
        assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    missing = run(made.bad())["results"][3]
    assert "as a whole" in missing["locations"][0]["message"]["text"]


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("logs/audit.log", "logs/audit.log"),
        ("/var/log/x.log", "file:///var/log/x.log"),
        ("a b%:é.log", "a%20b%25%3A%C3%A9.log"),
        ("x\udcff\x1b#?.log", "x%FF%1B%23%3F.log"),
        ("../[1].log", "../%5B1%5D.log"),
    ],
)
def test_paths_become_uris_byte_for_byte(path, uri):
    one = run(made.report(findings=(Finding("altered", made.FAILED, "x", path=path, line=1),)))
    assert one["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == uri


def test_fingerprints_are_those_of_the_finding_and_not_of_the_run():
    def prints(report):
        return [result["partialFingerprints"]["tallystick/v1"] for result in run(report)["results"]]

    before = made.bad()
    # Another day, the files were rotated: lines are elsewhere, positions and hashes are as they were.
    findings = tuple(dataclasses.replace(one, path="audit.log.9", line=1, offset=0) for one in before.findings)
    later = dataclasses.replace(before, findings=findings[::-1], time=before.time + 1, seconds=9.9)
    assert prints(later) == prints(before)[::-1]
    assert len(set(prints(before))) == len(before.findings)


def test_what_was_excepted_is_suppressed_and_nothing_else():
    results = run(made.bad())["results"]
    assert [len(result["suppressions"]) for result in results] == [0] * 7 + [1]
    assert results[-1]["suppressions"][0] == {
        "kind": "external",
        "status": "accepted",
        "justification": "unsealed line allowed: banner of the old version",
    }
    assert not any("suppressions" in result for result in run(made.partial())["results"])


def test_the_invocation_has_exit_code_and_time():
    (invocation,) = run(made.bad())["invocations"]
    assert invocation == {
        "executionSuccessful": True,
        "exitCode": 5,
        "exitCodeDescription": "failed",
        "startTimeUtc": "2026-09-22T20:13:20Z",
        "endTimeUtc": "2026-09-22T20:13:21Z",
    }
    assert run(made.bad())["properties"]["verdict"] == "failed"


def test_nothing_in_a_message_is_taken_for_a_placeholder_or_a_link():
    text = run(made.hostile())["results"][0]["message"]["text"]
    assert "{{0}}" in text
    assert "](" not in text
    assert render(made.hostile(), "sarif").isascii()
    assert all(sign.isprintable() for sign in text)

"""The gravest first: findings stand in one order in all forms. Each log has a verdict, and the worst counts."""

import json
import random
import re

import pytest

import tallystick
from tallystick import Verdict
from tallystick.reports import render

WEIGHTS = ["failed", "incomplete", "note"]


@pytest.fixture(scope="module")
def verified(tmp_path_factory):
    """A report on three logs, a calm one, one whose beginning is not here, and one that was doctored in many ways."""
    path = tmp_path_factory.mktemp("order")
    place = {"store": f"file:{path}/store"}
    for name in ("calm", "open", "bad"):
        tallystick.create(name, **place, custody=f"master-key:{path}/master.key", key_file=f"{path}/{name}.key")
        for _ in range(3):
            with tallystick.open(name, output=f"{path}/{name}.log", **place) as log:
                for number in range(20):
                    log.write(f"user={number} action=login")
    lines = (path / "bad.log").read_bytes().splitlines(keepends=True)
    dice = random.Random(7)
    for number, at in enumerate(dice.sample(range(5, 60), 12)):
        lines[at] = [lines[at].replace(b"login", b"admin"), b"", lines[at] * 2][number % 3]
    (path / "bad.log").write_bytes(b"".join(lines))
    lines = (path / "open.log").read_bytes().splitlines(keepends=True)
    (path / "open.log").write_bytes(b"".join(lines[len(lines) // 3 :]))  # two chains of three
    (path / "broken.gz").write_bytes(b"\x1f\x8b\x08\x00")
    return tallystick.verify(
        [path / "calm.log", path / "open.log", path / "bad.log", path / "broken.gz"],
        keys=[path / f"{name}.key" for name in ("calm", "open", "bad")], store="none",
    )  # fmt: skip


def told(report):
    return [(finding.weight.value, finding.kind) for finding in report.findings]


def test_there_are_findings_of_each_weight(verified):
    assert {weight for weight, _ in told(verified)} >= {"failed", "incomplete"}
    assert len({kind for _, kind in told(verified)}) >= 6


def test_findings_come_by_weight_and_those_of_a_kind_together(verified):
    found = told(verified)
    assert [weight for weight, _ in found] == sorted((weight for weight, _ in found), key=WEIGHTS.index)
    runs = [pair for number, pair in enumerate(found) if number == 0 or pair != found[number - 1]]
    assert len(runs) == len(set(runs))


def test_each_form_has_the_findings_in_the_same_order(verified):
    text = re.findall(r"^(failed|incomplete|note) ([a-z ]+?)(?: ×| \S*/|\n| (?:calm|open|bad)\b)",
                      render(verified, "text").partition("\nfindings")[2], re.MULTILINE)  # fmt: skip
    sarif = json.loads(render(verified, "sarif"))["runs"][0]["results"]
    levels = {"error": "failed", "warning": "incomplete", "note": "note"}
    plain = json.loads(render(verified, "json"))["findings"]
    page = re.findall(r"</span> (\w+)</span><br><b>([a-z ]+)</b>", render(verified, "html"))
    assert text == told(verified)
    assert [(levels[one["level"]], one["ruleId"].replace("-", " ")) for one in sarif] == told(verified)
    assert [(one["weight"], one["kind"]) for one in plain] == told(verified)
    assert page == told(verified)


def test_the_kinds_in_the_page_are_in_the_order_of_the_findings(verified):
    table = render(verified, "html").partition("Kinds of findings")[2].partition("</table>")[0]
    kinds = re.findall(r'</span> (\w+)</span></td><th scope="row">([a-z ]+)</th>', table)
    assert kinds == list(dict.fromkeys(told(verified)))


def test_each_log_has_its_verdict_and_the_banner_the_worst(verified):
    verdicts = {log.name: log.verdict.value for log in verified.logs}
    assert verdicts["bad"] == "failed"
    assert verdicts["calm"] == verdicts["open"] == "incomplete"
    assert verified.verdict is Verdict.FAILED
    text, page = render(verified, "text"), render(verified, "html")
    assert text.startswith("failed: ")
    assert dict(re.findall(r"^log (\w+) \([a-z2-7]+\): (\w+),", text, re.MULTILINE)) == verdicts
    assert dict(re.findall(r'<a href="#log\d">(\w+)</a></th><td><span class="tag (\w+)">', page)) == verdicts
    assert "<h1><b>failed</b>: " in page
    properties = json.loads(render(verified, "sarif"))["runs"][0]["properties"]
    assert {log["name"]: log["verdict"] for log in properties["logs"]} == verdicts

"""Reports for programs and for people say of each witness what it received, when, and whether it vouches."""

import dataclasses
import html
import json
import re

import pytest

from tallystick.reports import render
from tallystick.verify.report import WitnessReport
from tests.reports import made

KEY = "w.example+4d843037+ARYSjYS4JTXhCu7TwIRFVWrRtWvm4PMJrIV/CQ/zFmRw"
GOOD = WitnessReport("w.example", KEY, "https://w.example/", None, "1.0.4", made.START, ("tallystick/v1 head …",))
AWAY = WitnessReport(
    "x.example", KEY, f"https://x.example/{made.HOSTILE}", f"it is away {made.HOSTILE}", None, None, ()
)


def report(*witnesses: WitnessReport):
    calm = made.calm()
    return dataclasses.replace(calm, logs=(dataclasses.replace(calm.logs[0], witnesses=witnesses),))


def test_sarif_holds_what_each_witness_says_and_no_signed_text() -> None:
    text = render(report(GOOD, AWAY), "sarif")
    (run,) = json.loads(text)["runs"]
    good, away = run["properties"]["logs"][0]["witnesses"]
    assert (good["vouches"], good["name"], good["position"], good["received"]) == (
        True,
        "w.example",
        "1.0.4",
        made.START,
    )
    assert (away["vouches"], away["position"], away["received"]) == (False, None, None)
    assert "\x1b" not in away["trouble"] + away["url"]
    assert "tallystick/v1 head" not in text


@pytest.mark.parametrize(
    ("one", "words"), [(GOOD, "received 1.0.4, "), (AWAY, "it does not vouch for the end: it is away")]
)
def test_a_page_says_what_a_witness_says(one: WitnessReport, words: str) -> None:
    page = render(report(one), "html")
    told = re.search(rf"<dt>Witness {re.escape(one.name)}</dt><dd>(.*?)</dd>", page, re.DOTALL)
    assert told is not None
    assert words in html.unescape(re.sub("<[^>]*>", "", told[1]))
    assert "<script>alert" not in told[1]

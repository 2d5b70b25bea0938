"""Metrics say what the standings say, in both forms, for any names and many entries."""

import time

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_metrics

from tallystick.verify.catalogue import Kind, Weight
from tallystick.watch.alerts import Delivery
from tallystick.watch.metrics import exposition
from tallystick.watch.standing import Newest, Standing, State
from tests.watch.events import HOSTILE, NOON, standing

FORMS = {"": plain_metrics, "application/openmetrics-text; version=1.0.0,text/plain;q=0.5": open_metrics}


class Given:
    """Standings made by hand."""

    def __init__(self, *standings):
        self._all = standings

    def all(self):
        return self._all

    def queued(self):
        return 3

    def late(self):
        return 2.5


def samples(standings, accept="", deliveries=()):
    """Values by name and labels; a series that comes twice fails."""
    found = {}
    for family in FORMS[accept](exposition(standings, accept, deliveries)[1].decode()):
        for sample in family.samples:
            key = (sample.name.removeprefix("tallystick_watch_"), *sorted(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


@pytest.mark.parametrize("accept", FORMS)
def test_each_value_of_a_standing_is_there(accept):
    counts = {("altered", "failed"): 7, ("unclean end", "note"): 1}
    given = Given(
        standing("app", State.FAILED, counts=counts, labels={"team": "pay"}),
        Standing("new", State.NEVER, NOON),
    )
    found = samples(given, accept, [Delivery("webhook https://a", 2, NOON / 1000, 5, 4, 1)])
    app = ("entry", "app")
    assert {state: found["state", app, ("state", state.value)] for state in State} == {
        state: float(state is State.FAILED) for state in State
    }
    assert found["findings", app, ("kind", "altered"), ("weight", "failed")] == 7
    assert found["findings", app, ("kind", "unclean end"), ("weight", "note")] == 1
    for name, value in {"lines": 1000, "bytes": 80_000, "lag_bytes": 17, "look_duration_seconds": 0.25}.items():
        assert found[name, app] == value
    for name, ms in {"look": 500, "line": 0, "checkpoint": -1000, "head": -2000, "pin": -3000, "oldest_look": -4000,
                     "state_since": -60_000, "try": 600}.items():  # fmt: skip
        assert found[f"{name}_timestamp_seconds", app] == (NOON + ms) / 1000
    assert found["entry_info", app, ("label_team", "pay")] == 1
    assert found["state", ("entry", "new"), ("state", "never")] == 1
    assert ("lines", ("entry", "new")) not in found
    assert found["alerts_queued",] == 3
    assert found["late_seconds",] == 2.5
    assert found["entries",] == 2
    assert found["last_try_timestamp_seconds",] == (NOON + 600) / 1000
    to = ("receiver", "webhook https://a")
    counted = [found[f"alerts_{what}_total", to] for what in ("delivered", "failed", "dropped")]
    assert (found["alerts_waiting", to], *counted) == (2, 5, 4, 1)
    assert found["alerts_oldest_timestamp_seconds", to] == NOON / 1000
    assert any(name == "build_info" for name, *_ in found)


def test_a_time_that_nobody_knows_is_not_shown():
    found = samples(Given(standing("app", newest=Newest())))
    assert ("look_timestamp_seconds", ("entry", "app")) in found
    assert not [key for key in found if key[0] in ("head_timestamp_seconds", "pin_timestamp_seconds")]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/openmetrics-text;version=1.0.0;q=0.75,text/plain", "application/openmetrics-text"),
        ("text/plain;version=0.0.4", "text/plain"),
        ("*/*", "text/plain"),
        ("application/openmetrics-text; version=x.y; escaping=\x00", "application/openmetrics-text"),
        (";;,,=\xff" * 1000, "text/plain"),
    ],
)  # fmt: skip
def test_the_form_is_the_one_that_is_asked_for(accept, kind):
    found, text = exposition(Given(standing("app")), accept)
    assert found.startswith(f"{kind}; version=")
    assert text.endswith(b"# EOF\n") == (kind == "application/openmetrics-text")


def test_receivers_that_are_called_alike_have_series_of_their_own():
    found = samples(Given(), "", [Delivery("webhook https://a", 1, 5.0, 0, 0, 0)] * 3)
    assert len([key for key in found if key[0] == "alerts_waiting"]) == 3


@pytest.mark.parametrize("accept", FORMS)
def test_hostile_names_stay_one_value_of_one_series(accept):
    names = [HOSTILE, HOSTILE * 1000, HOSTILE * 1001, 'a"} 1\nevil_metric{x="', "a\\", "a\\\\", "\udcff", "\\xff", ""]
    given = Given(*(standing(name, labels={HOSTILE: HOSTILE, "entry": "x", "": "y"}) for name in names))
    found = samples(given, accept)
    entries = {dict(key[1:])["entry"] for key in found if key[0] == "lines"}
    assert len(entries) == len(names)
    assert not any(key[0] == "evil_metric" for key in found)
    assert all(len(entry) <= 200 and entry.isprintable() for entry in entries)
    text = exposition(given, accept)[1].decode()
    assert all(char.isprintable() or char == "\n" for char in text)


def test_two_thousand_entries_with_each_kind_of_finding_are_shown_in_good_time_and_size():
    counts = {(kind.value, Weight.FAILED.value): 1_000_000 for kind in Kind}
    given = Given(*(standing(f"entry {number}", counts=counts if number < 50 else {}) for number in range(2000)))
    spent = []
    for _ in range(3):
        began = time.process_time()
        text = exposition(given, "")[1]
        spent.append(time.process_time() - began)
    assert min(spent) < 2  # a third of a second where nothing else runs
    assert len(text) < 6_000_000
    assert text.count(b"\n") < 2000 * 24 + 50 * len(Kind) + 100

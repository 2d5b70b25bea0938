"""Each event is delivered, in the order of its entry, whatever receivers do; one receiver holds up no other."""

import random
import threading
import time

import pytest

from tallystick.errors import TallystickError
from tallystick.watch import config
from tallystick.watch.alerts import Pace
from tallystick.watch.alerts.outbox import Outbox
from tallystick.watch.alerts.receiver import AwayError
from tallystick.watch.alerts.webhook import WebhookUrl
from tallystick.watch.events import Reason
from tests.servers import until
from tests.watch.alerts.receiving import Hook
from tests.watch.events import event, over


def in_order(ids):
    """Are the events of each entry in order? Their ids are `ENTRY/NUMBER`; what came twice counts once."""
    found = {}
    for each in dict.fromkeys(ids):
        entry, number = each.split("/")
        found.setdefault(entry, []).append(int(number))
    return all(numbers == sorted(numbers) for numbers in found.values())


def test_an_event_arrives_as_it_was_sent(alerts, hook):
    assert alerts(hook).send(event(1))
    hook.wait(lambda hook: hook.taken)
    (found,) = hook.taken
    assert (found["id"], found["finding"]["path"], found["finding"]["line"]) == ("1", "/var/log/app.log", 3)
    assert (found["before"], found["after"], found["delay"]) == ("ok", "failed", 1.5)
    assert found["labels"] == {"team": "payments"}
    assert hook.requests[0][0]["Content-Type"] == "application/json; charset=utf-8"


def test_an_event_whose_id_is_known_is_delivered_once_also_after_a_restart(alerts, hook):
    first = alerts(hook)
    for _ in range(3):
        first.send(event(1))
    hook.wait(lambda hook: hook.taken)
    until(lambda: first.queued() == 0, "the end of the queue")
    first.send(event(1))
    first.stop(5)
    second = alerts(hook)
    second.send(event(1))
    second.send(event(2))
    hook.wait(lambda hook: len(hook.taken) >= 2)
    assert hook.ids() == ["1", "2"]


@pytest.mark.parametrize("trouble", [500, 503, 429, 404, 302, "close"])
def test_an_event_that_was_not_taken_is_tried_until_it_is(alerts, hook, trouble):
    hook.plan = lambda _: trouble if len(hook.tried) <= 4 else 204
    said = []
    alerts(hook, said=said).send(event(1))
    hook.wait(lambda hook: hook.taken)
    assert [one["id"] for one in hook.tried] == ["1"] * 5
    until(lambda: len(said) == 2, "both messages")
    assert said[0].startswith(f"webhook http://127.0.0.1:{hook.port} does not take an alert: ")
    assert said[1].endswith("takes alerts again")
    assert "s3cr3t" not in "".join(said)
    assert "hook" not in "".join(said).replace("webhook", "")


def test_a_redirect_is_not_followed(alerts, hook):
    elsewhere = Hook().start()
    hook.plan = lambda _: (307, {"Location": elsewhere.url}) if len(hook.tried) < 3 else 200
    alerts(hook).send(event(1))
    hook.wait(lambda hook: hook.taken)
    assert not elsewhere.tried
    elsewhere.stop()


def test_retry_after_is_kept_to(alerts, hook):
    times = []

    def plan(_):
        times.append(time.monotonic())
        return (429, {"Retry-After": "1"}) if len(times) == 1 else 200

    hook.plan = plan
    sender = alerts(hook)
    sender.send(event(1))
    hook.wait(lambda hook: hook.tried)
    sender.send(event(2, "other"))  # no first attempt either
    hook.wait(lambda hook: len(hook.taken) == 2)
    assert times[1] - times[0] >= 1


def test_a_receiver_that_is_down_gets_all_in_order_once_it_is_up_again(alerts):
    hook = Hook()
    sender = alerts(hook)
    for number in range(40):
        sender.send(event(f"{number % 4}/{number}", str(number % 4)))
    until(lambda: sender.deliveries()[0].failed >= 3, "failures")
    assert sender.queued() == 40
    hook.start()
    hook.wait(lambda hook: len(hook.taken) == 40)
    assert in_order(hook.ids())
    hook.stop()


def test_a_receiver_that_stalls_holds_up_no_other(alerts, hook):
    dead = Hook(lambda _: "stall").start()
    sender = alerts(dead, hook)
    for number in range(20):
        sender.send(event(number))
    hook.wait(lambda hook: len(hook.taken) == 20)
    assert hook.ids() == [str(number) for number in range(20)]
    until(lambda: [each.queued for each in sender.deliveries()] == [20, 0], "the end of the queue")
    dead.stop()


@pytest.mark.parametrize("refusal", [403, 500, "close"])
def test_an_event_that_is_refused_holds_up_its_own_entry_only_and_then_comes_without_texts(alerts, hook, refusal):
    """A firewall before the receiver refuses what an attacker wrote into the log."""
    hook.plan = lambda one: refusal if one["finding"] and one["finding"]["excerpt"] else 200
    sender = alerts(hook, start=False)
    sender.send(event("bad/1", "bad"))
    sender.send(over("bad/2", "bad"))
    for number in range(10):
        sender.send(over(f"good/{number}", "good"))
    sender.start()
    hook.wait(lambda hook: len(hook.taken) == 12)
    assert in_order(hook.ids())
    by_id = {one["id"]: one for one in hook.taken}
    assert by_id["bad/1"]["reduced"]
    assert (by_id["bad/1"]["after"], by_id["bad/1"]["finding"]["kind"]) == ("failed", "altered")
    assert not by_id["bad/2"]["reduced"]


def test_the_only_event_of_all_comes_without_texts_if_nothing_else_helps(alerts, hook):
    hook.plan = lambda one: "close" if one["finding"]["excerpt"] else 200
    alerts(hook).send(event(1))
    hook.wait(lambda hook: hook.taken)
    assert hook.taken[0]["reduced"]


@pytest.mark.parametrize("trouble", [503, 500, "close"])
def test_an_outage_leaves_events_whole(alerts, hook, trouble):
    hook.plan = lambda _: trouble if len(hook.tried) < 10 else 200
    alerts(hook).send(event(1))
    hook.wait(lambda hook: hook.taken)
    assert not hook.taken[0]["reduced"]


def test_random_trouble_loses_nothing_and_keeps_the_order(alerts, hook):
    dice = random.Random(16)
    hook.plan = lambda _: dice.choice([200, 200, 500, 503, 429, 404, "close"])
    sender = alerts(hook, pace=Pace(first=0.001, longest=0.004))
    for number in range(150):
        sender.send(event(f"{number % 7}/{number}", str(number % 7)))
    hook.wait(lambda hook: len(set(hook.ids())) == 150)
    assert in_order(hook.ids())


@pytest.mark.parametrize("what", ["stall", "trickle"])
def test_an_answer_that_never_ends_is_cut_off_in_time(hook, what):
    hook.plan = lambda _: what
    began = time.monotonic()
    with pytest.raises(AwayError, match="does not answer within"):
        WebhookUrl(config.Webhook(hook.url), seconds=0.5).deliver({"id": "1"}, threading.Event())
    assert time.monotonic() - began < 40


def test_of_an_endless_body_little_is_read(hook):
    hook.plan = lambda _: "endless"
    WebhookUrl(config.Webhook(hook.url), seconds=20).deliver({"id": "1"}, threading.Event())


def test_the_end_of_the_service_does_not_wait_for_a_receiver_that_stalls(alerts, hook):
    hook.plan = lambda _: "stall"
    sender = alerts(hook)
    sender.send(event(1))
    hook.wait(lambda hook: hook.tried)
    began = time.monotonic()
    sender.stop(0.1)
    assert time.monotonic() - began < 40
    assert sender.queued() == 1
    hook.plan = lambda _: 200
    alerts(hook)
    hook.wait(lambda hook: hook.taken)


def test_a_repeat_that_waits_gives_way_to_what_is_newer(alerts):
    hook = Hook()
    sender = alerts(hook, start=False)
    sender.send(event(1))
    for number in range(2, 30):
        sender.send(event(number, reason=Reason.REPEAT))
    assert sender.queued() == 2
    sender.send(over(30))
    sender.start()
    hook.start()
    hook.wait(lambda hook: len(hook.taken) == 2)
    assert hook.ids() == ["1", "30"]
    hook.stop()


@pytest.mark.parametrize(
    "url",
    ["http://192.0.2.1/hook", "ftp://127.0.0.1/", "https://", "https://user:pw9@example.org/x", "http://localhost.example/",
     "http://127.0.0.1.example/", "http://[::1", "https://h:99999/", "not a url", "http://127.0.0.1@192.0.2.1/"],
)  # fmt: skip
def test_a_url_that_is_unsafe_is_refused_at_the_start_and_not_shown(alerts, url):
    with pytest.raises(TallystickError) as caught:
        alerts(config.Webhook(url))
    assert "pw9" not in str(caught.value)
    assert "/hook" not in str(caught.value)


def test_a_receiver_that_is_given_twice_is_refused(alerts, hook):
    with pytest.raises(TallystickError, match="given twice"):
        alerts(hook, hook)


def test_many_entries_are_delivered_in_good_time(alerts, hook):
    sender = alerts(hook, start=False)
    for number in range(300):
        sender.send(event(f"{number}/0", str(number)))
    began = time.monotonic()
    sender.start()
    hook.wait(lambda hook: len(hook.taken) == 300)
    assert time.monotonic() - began < 40


def test_a_fault_of_ours_ends_no_alerts(alerts, hook, monkeypatch):
    said, done = [], Outbox.done

    def failing(self, *given):
        if not said:
            raise KeyError("a fault")
        done(self, *given)

    monkeypatch.setattr(Outbox, "done", failing)
    sender = alerts(hook, said=said)
    sender.send(event(1))
    sender.send(event(2))
    hook.wait(lambda hook: "2" in hook.ids())
    assert "KeyError in the delivery of alerts" in said[0]

"""The queue survives kills, full disks and damage, and is bounded."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tallystick.errors import TallystickError
from tallystick.watch import config
from tallystick.watch.alerts import Alerts, Bounds, Pace
from tallystick.watch.alerts.form import plain_event
from tallystick.watch.alerts.outbox import Outbox
from tallystick.watch.events import Reason
from tests.processes import Started
from tests.servers import until
from tests.watch.alerts.receiving import Hook
from tests.watch.alerts.test_delivery import in_order
from tests.watch.events import event, over

KILLS = int(os.environ.get("TALLYSTICK_ALERT_KILLS", "8"))


def queue(tmp_path):
    (found,) = (tmp_path / "state" / "alerts").iterdir()
    return found


SENDER = """
import sys, time
from tallystick.watch import config
from tallystick.watch.alerts import Alerts, Pace
from tests.watch.events import event

alerts = Alerts(config.Alerts((config.Webhook(sys.argv[2]),)), sys.argv[1], pace=Pace(0.005, 0.02))
alerts.start()
for number in range(int(sys.argv[3]), 1_000_000):
    assert alerts.send(event(f"{number % 3}/{number}", str(number % 3)))
    print(number, flush=True)
    time.sleep(0.002)
time.sleep(600)
"""


def test_a_sender_that_is_killed_at_any_instant_loses_no_event(tmp_path):
    """What `send` returned from is delivered, at least once and in order, and few things twice."""
    dice, number = random.Random(5), 0
    hook = Hook(lambda _: dice.choice([200, 200, 200, 503, "close"])).start()
    sent = []
    for _ in range(KILLS):
        with Started(
            [sys.executable, "-c", SENDER, f"{tmp_path}/state", hook.url, str(number)],
            stdout=subprocess.PIPE, cwd=Path(__file__).parents[3],
        ) as process:  # fmt: skip
            assert process.stdout is not None
            sent.append(int(process.stdout.readline()))  # it runs
            time.sleep(dice.random() * 0.2)
            process.send_signal(signal.SIGKILL)
            sent += [int(line) for line in process.stdout.read().split(b"\n")[:-1]]
        number = sent[-1] + 1
    assert len(sent) >= KILLS
    with Started(
        [sys.executable, "-c", SENDER, f"{tmp_path}/state", hook.url, "999999"], stdout=subprocess.DEVNULL,
        cwd=Path(__file__).parents[3],
    ) as process:  # fmt: skip
        wanted = {f"{each % 3}/{each}" for each in sent}
        hook.wait(lambda hook: wanted <= set(hook.ids()))
        process.kill()
    assert in_order(hook.ids())
    assert len(hook.ids()) - len(set(hook.ids())) <= KILLS
    hook.stop()


def test_a_queue_that_is_full_drops_repeats_first_and_says_so_with_the_next_event(alerts):
    hook, said = Hook(), []
    sender = alerts(hook, start=False, bounds=Bounds(events=6), said=said)
    for number in range(3):
        sender.send(event(f"c{number}", f"e{number}"))
    for number in range(3):
        sender.send(event(f"r{number}", f"r{number}", reason=Reason.REPEAT))
    for number in range(3, 5):
        sender.send(event(f"c{number}", f"e{number}"))
    hook.start()  # before the sender: what it cannot deliver it tries later
    sender.start()
    hook.wait(lambda hook: len(hook.taken) == 6)
    assert hook.ids() == ["c0", "c1", "c2", "r2", "c3", "c4"]
    assert [one["dropped"] for one in hook.taken] == [2, 0, 0, 0, 0, 0]
    assert sender.deliveries()[0].dropped == 2
    assert len([text for text in said if "is full" in text]) == 1
    hook.stop()


def test_of_changes_the_first_failure_and_the_newest_of_each_entry_stay(tmp_path):
    """Somebody who cuts the way to the receiver cannot flush a failure out by an entry that comes and goes."""
    box = Outbox(f"{tmp_path}/box", Bounds(events=10), say=lambda _: None)
    box.put(plain_event(event("victim", "victim")))
    for number in range(60):
        make = over if number % 2 else event
        box.put(plain_event(make(f"flap {number}", "flapping")))
        box.put(plain_event(event(f"finding {number}", "victim", Reason.FINDING)))
    assert len(box) == 10
    found = [json.loads((tmp_path / "box" / name).read_bytes())["id"]
             for name in sorted(os.listdir(tmp_path / "box")) if name.endswith(".json")]  # fmt: skip
    assert found[:2] == ["victim", "flap 0"]
    assert "flap 59" in found


def test_the_queue_is_bounded_in_bytes(tmp_path):
    box = Outbox(f"{tmp_path}/box", Bounds(size=20_000), say=lambda _: None)
    for number in range(100):
        box.put(plain_event(event(number, str(number), Reason.FINDING)))
    assert 10 < len(box) < 40
    assert sum(path.stat().st_size for path in (tmp_path / "box").glob("*.json")) <= 20_000


def test_delivered_ids_that_are_remembered_are_bounded(tmp_path):
    box = Outbox(f"{tmp_path}/box", Bounds(remembered=5), say=lambda _: None)
    for number in range(20):
        box.put(plain_event(event(number)))
        box.done(box.heads()[0])
    assert len(list((tmp_path / "box").iterdir())) == 5
    again = Outbox(f"{tmp_path}/box", Bounds(remembered=5), say=lambda _: None)
    again.put(plain_event(event(19)))
    assert len(again) == 0


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff", b'{"id": 1}', b"x" * 200_000])
def test_a_damaged_event_is_reported_and_holds_up_no_other(alerts, tmp_path, data):
    hook, said = Hook(), []
    sender = alerts(hook, start=False)
    for number in range(3):
        sender.send(event(number))
    sorted(queue(tmp_path).glob("*.json"))[1].write_bytes(data)
    again = alerts(hook, said=said)
    hook.start()
    hook.wait(lambda hook: len(hook.taken) == 2)
    assert hook.ids() == ["0", "2"]
    assert hook.taken[0]["dropped"] == 1
    assert "damaged" in said[0]
    assert again.deliveries()[0].dropped == 1
    hook.stop()


def test_an_event_that_is_damaged_while_it_waits_is_reported_too(alerts, tmp_path):
    hook, said = Hook(), []
    sender = alerts(hook, start=False, said=said)
    sender.send(event(1))
    sender.send(event(2))
    sorted(queue(tmp_path).glob("*.json"))[0].unlink()
    sender.start()
    hook.start()
    hook.wait(lambda hook: hook.taken)
    assert hook.ids() == ["2"]
    assert any("damaged" in text for text in said)
    hook.stop()


def test_a_link_in_the_place_of_an_event_is_not_read(alerts, tmp_path):
    hook = Hook()
    alerts(hook, start=False).send(event(1))
    (path,) = queue(tmp_path).glob("*.json")
    secret = tmp_path / "secret"
    path.rename(secret)
    path.symlink_to(secret)
    sender = alerts(hook)
    assert sender.queued() == 0
    assert secret.exists()


def test_a_directory_that_others_may_enter_is_refused(alerts, hook, tmp_path):
    alerts(hook, start=False)
    queue(tmp_path).chmod(0o755)
    with pytest.raises(TallystickError, match="open to other users"):
        alerts(hook)


def fill(place):
    """Leave no byte free."""
    with (place / "filler").open("ab", buffering=0) as file:
        for size in (65536, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * size)


def test_a_full_disk_keeps_no_alert_from_anybody(small_disk):
    """An event for which there is no room is delivered from memory, and is stored once there is room."""
    hook = Hook()
    given, quick = config.Alerts((config.Webhook(hook.url),)), Pace(0.02, 0.1)
    sender = Alerts(given, small_disk / "state", pace=quick, say=lambda _: None)
    assert sender.send(event(0, "e0"))
    fill(small_disk)
    for number in range(1, 8):
        assert not sender.send(event(number, f"e{number}"))
    assert not sender.send(event(7, "e7"))  # the same again is not stored either
    sender.start()
    until(lambda: sender.deliveries()[0].failed >= 3, "failures")
    hook.start()
    hook.wait(lambda hook: len(hook.taken) == 8)
    assert sorted(hook.ids()) == [str(number) for number in range(8)]
    until(lambda: sender.queued() == 0, "the end of the queue")
    hook.stop()
    fill(small_disk)  # what was delivered left some room
    assert not sender.send(event(8))
    (small_disk / "filler").unlink()
    assert sender.send(event(8))
    sender.stop(0)
    again = Alerts(given, small_disk / "state", pace=quick, say=lambda _: None)
    assert again.queued() == 1


def test_a_receiver_that_takes_the_place_of_another_gets_what_waits_for_it(alerts, hook):
    """Somebody corrects the URL of a webhook and starts the service again."""
    wrong = alerts(Hook())
    wrong.send(event(1))
    wrong.stop(1)
    alerts(hook)
    hook.wait(lambda hook: hook.taken)
    assert hook.ids() == ["1"]


def test_alerts_that_nobody_gets_any_more_are_reported(alerts, hook):
    said, gone = [], Hook()
    alerts(hook, gone, start=False).send(event(1))
    alerts(hook, said=said)
    hook.wait(lambda hook: hook.taken)
    assert len(said) == 1
    assert "1 alerts wait for a receiver that is not configured any more" in said[0]


def test_what_another_configuration_takes_over_is_not_reported_as_damaged(alerts, hook):
    """The service makes alerts of the new configuration before it stops those of the old one."""
    said, old = [], alerts(hook, start=False)
    old.send(event(1))
    new = alerts(hook, start=False, said=said)
    old.start()
    until(lambda: old.queued() == 0, "the delivery")
    old.stop(5)
    assert not old.send(event(2))
    assert new.send(event(3))
    new.start()
    hook.wait(lambda hook: len(hook.taken) == 2)
    until(lambda: new.queued() == 0, "the end of the queue")
    assert (hook.ids(), said, new.deliveries()[0].dropped) == (["1", "3"], [], 0)


def test_alerts_that_are_stopped_leave_no_descriptor(alerts, hook):
    before = len(os.listdir("/proc/self/fd"))
    for number in range(5):
        one = alerts(hook)
        one.send(event(number))
        until(lambda one=one: one.queued() == 0, "the delivery")
        one.stop(5)
    until(lambda: len(os.listdir("/proc/self/fd")) <= before + 1, "closed descriptors")

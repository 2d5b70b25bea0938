"""The recipes of docs/alerts.md and docs/metrics.md do what they say, against receivers on loopback."""

import base64
import contextlib
import email
import email.policy
import json
import os
import re
import shutil
import socketserver
import subprocess
import threading
import time
import urllib.request

import jsonschema
import pytest

from tallystick.watch.alerts import schema
from tallystick.watch.alerts.form import as_line, plain_event
from tallystick.watch.alerts.webhook import signature
from tallystick.watch.events import Reason
from tallystick.watch.standing import State
from tests.servers import program, until
from tests.test_docs import BLOCK, pattern
from tests.watch.alerts.receiving import Hook
from tests.watch.events import event, hostile, over
from tests.watch.test_prometheus import CONTRIB, REMEDY, Alertmanager, Pager

RECIPES = CONTRIB / "alerts"
DOCS = CONTRIB.parent / "docs"


class Mail:
    """A server of SMTP: keeps each mail with its sender and recipients."""

    def __init__(self):
        self.got = []
        mail = self

        class Session(socketserver.StreamRequestHandler):
            def handle(self):
                self.say("220 local")
                sender, to = "", []
                while line := self.rfile.readline().decode().strip():
                    word = line.upper().split(":")[0]
                    if word == "DATA":
                        self.say("354 go on")
                        data = b"".join(iter(self.rfile.readline, b".\r\n"))
                        mail.got.append((sender, to, data))
                    sender = line.partition(":")[2] if word == "MAIL FROM" else sender
                    to = [*to, line.partition(":")[2]] if word == "RCPT TO" else to
                    self.say("221 bye" if word == "QUIT" else "250 ok")
                    if word == "QUIT":
                        return

            def say(self, text):
                self.wfile.write(f"{text}\r\n".encode())

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session)
        self.server.daemon_threads = True
        self.url = f"smtp://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def mail():
    server = Mail()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def hook():
    server = Hook(lambda _: 202)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def recipe(tmp_path):
    """Run a recipe with an event, and a configuration for curl; returns exit status and output."""
    for name in ("curl", "jq"):
        program(name, f"install the package {name}")

    def run(name, url, given, *more):
        (tmp_path / "conf").write_text(f'url = "{url}"\n')
        done = subprocess.run(
            [RECIPES / name, tmp_path / "conf", *more], input=as_line(plain_event(given)), capture_output=True, cwd="/",
            check=False,
        )  # fmt: skip
        return done.returncode, (done.stdout + done.stderr).decode()

    return run


def bodies(hook):
    return [json.loads(body) for _, body in hook.requests]


def test_the_example_is_an_event():
    jsonschema.Draft202012Validator(schema()).validate(json.loads((RECIPES / "example.json").read_text()))


@pytest.mark.parametrize("page", ["alerts", "metrics"])
def test_the_commands_of_a_page_do_what_it_shows(page, tmp_path, mail, hook):
    text = (DOCS / f"{page}.md").read_text()
    for name in ("curl", "jq", "promtool", "amtool"):
        program(name, f"install curl, jq, {REMEDY}")
    (tmp_path / "prometheus").mkdir()
    for path in [*(CONTRIB / "prometheus").iterdir(), *(CONTRIB / "alertmanager").iterdir()]:
        shutil.copy(path, tmp_path / "prometheus")
    local = {
        "/etc/tallystick/alerts": str(RECIPES), "/etc/prometheus": f"{tmp_path}/prometheus",
        "http://127.0.0.1:9093": f"http://127.0.0.1:{hook.port}",
        "https://events.pagerduty.com": f"http://127.0.0.1:{hook.port}",
        "https://hooks.slack.com": f"http://127.0.0.1:{hook.port}", "smtps://mail.example.org": mail.url,
    }  # fmt: skip
    count = 0
    for kind, block in BLOCK.findall(text):
        if kind == "python":
            continue
        steps = [part.partition("\n") for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
        script = "".join(f"{command}; echo =next $?=\n" for command, _, _ in steps)
        for name, place in local.items():
            script = script.replace(name, place)
        line = ["bash", "-c", f"exec 2>&1\n{script}"]
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
        outputs = re.split(r"=next 0=\n", done.stdout)
        assert len(outputs) == len(steps) + 1, done.stdout
        for (command, _, wanted), got in zip(steps, outputs, strict=False):
            assert pattern(wanted).fullmatch(got), f"{command}\n{got}"
        count += len(steps)
    if page == "metrics":
        assert count == 3
        return
    assert count == 13
    alertmanager, pagerduty, slack = bodies(hook)
    assert [one["labels"]["alertname"] for one in alertmanager] == ["Tallystick"]
    assert pagerduty["routing_key"] == "R0123456789ABCDEF0123456789ABCDE"
    assert "text" in slack
    assert [(sender, to) for sender, to, _ in mail.got] == [("<watch@example.org>", ["<desk@example.org>"])]


def test_the_check_of_a_signature_that_the_page_shows_takes_a_genuine_post_only():
    (text,) = [block for kind, block in BLOCK.findall((DOCS / "alerts.md").read_text()) if kind == "python"]
    found = {}
    exec(text, found)
    now = int(time.time())
    assert found["is_genuine"](b"key", signature(b"key", now, b"{}"), b"{}")
    assert not found["is_genuine"](b"key", signature(b"key", now, b"{}"), b"{ }")
    assert not found["is_genuine"](b"other", signature(b"key", now, b"{}"), b"{}")
    assert not found["is_genuine"](b"key", signature(b"key", now - 400, b"{}"), b"{}")


def test_pagerduty_gets_each_state_as_an_alert_of_its_own(recipe, hook, tmp_path):
    (tmp_path / "key").write_text("R0123\n")
    silent = event(2, before=State.FAILED, after=State.SILENT)
    for each in (event(1), silent, event(3, before=State.SILENT, after=State.SILENT, reason=Reason.REPEAT),
                 event(4, before=State.SILENT, after=State.OK, finding=None)):  # fmt: skip
        assert recipe("pagerduty", hook.url, each, tmp_path / "key") == (0, "")
    assert [(body["event_action"], body["dedup_key"]) for body in bodies(hook)] == [
        ("trigger", "tallystick/app/failed"),
        ("trigger", "tallystick/app/silent"), ("resolve", "tallystick/app/failed"),
        ("trigger", "tallystick/app/silent"), ("resolve", "tallystick/app/silent"),
    ]  # fmt: skip
    first = bodies(hook)[0]
    assert first["routing_key"] == "R0123"
    assert first["payload"]["severity"] == "critical"
    assert first["payload"]["timestamp"] == "2025-11-27T00:00:00Z"
    assert first["payload"]["summary"].startswith("app is failed: altered at ")


def test_pagerduty_keeps_to_its_limits_whatever_the_event_holds(recipe, hook, tmp_path):
    (tmp_path / "key").write_text("R0123")
    assert recipe("pagerduty", hook.url, hostile(), tmp_path / "key") == (0, "")
    (body,) = bodies(hook)
    assert len(body["payload"]["summary"]) <= 1024
    assert len(body["dedup_key"]) <= 255
    assert len(json.dumps(body)) < 512_000


def test_slack_shows_what_it_gets_as_it_is(recipe, hook):
    assert recipe("slack", hook.url, hostile()) == (0, "")
    assert recipe("slack", hook.url, over(2)) == (0, "")
    first, second = bodies(hook)
    assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)|@[^\s\u2060]", first["text"])
    assert (first["mrkdwn"], first["link_names"], first["unfurl_links"]) == (False, False, False)
    assert len(first["text"]) < 10_000
    assert second["text"] == "app is ok again; it was failed\nmake a copy of the files"


@pytest.mark.parametrize("given", [event(1), hostile(2), event(3, "Prüfung \U0001f525 " * 5)])
def test_mail_is_one_message_that_any_reader_takes(recipe, mail, given):
    assert recipe("email", mail.url, given, "watch@example.org", "desk@example.org") == (0, "")
    ((_, _, data),) = mail.got
    assert max(map(len, data.split(b"\r\n"))) <= 78 or b"Message-ID" in max(data.split(b"\r\n"), key=len)
    assert b"\n" not in data.replace(b"\r\n", b"")
    assert all(byte in b"\r\n" or 32 <= byte < 127 for byte in data)
    message = email.message_from_bytes(data, policy=email.policy.default)
    plain = plain_event(given)
    assert message["Subject"] == f"[tallystick] {plain['summary']}"
    assert (message["From"], message["To"]) == ("watch@example.org", "desk@example.org")
    assert (message["Auto-Submitted"], message.defects) == ("auto-generated", [])
    assert message["Date"].datetime.isoformat() == "2025-11-27T00:00:00+00:00"
    text = base64.b64decode(message.get_payload()).decode()
    assert text.startswith(plain["summary"])
    assert json.loads(text.splitlines()[-1])["id"] == plain["id"]


@pytest.mark.parametrize(
    ("status", "code"), [(200, 0), (400, 1), (403, 1), (302, 1), (429, 75), (500, 75), ("close", 75)]
)
def test_a_recipe_says_whether_it_is_to_be_tried_again(recipe, hook, status, code):
    hook.plan = lambda _: status
    for name in ("slack", "alertmanager"):
        assert recipe(name, hook.url, event(1))[0] == code


def test_a_recipe_that_reaches_nobody_says_so_and_no_secret(recipe):
    hook = Hook()
    assert recipe("slack", hook.url, event(1))[0] == 75
    assert "s3cr3t" not in recipe("slack", hook.url, event(1))[1]
    assert recipe("email", f"smtp://127.0.0.1:{hook.port}", event(1), "a@example.org", "b@example.org")[0] == 75


def test_a_real_alertmanager_pages_for_an_event_and_takes_the_page_back(recipe, tmp_path):
    program("prometheus-alertmanager", REMEDY)
    with contextlib.ExitStack() as stack:
        pager = Pager()
        stack.callback(pager.stop)
        server = Alertmanager(tmp_path, pager).start()
        stack.callback(server.stop)
        page = ("/pager", "Tallystick", "app")
        since = int(time.time() * 1000) - 5000
        assert recipe("alertmanager", server.api, event(1, since=since)) == (0, "")
        until(lambda: page in pager.pages("firing"), "the page")
        ended = event(2, before=State.FAILED, after=State.OK, finding=None, since=since)
        assert recipe("alertmanager", server.api, ended) == (0, "")
        until(lambda: page in pager.pages("resolved"), "the end of it")
        assert recipe("alertmanager", server.api, hostile()) == (0, "")
        with urllib.request.urlopen(server.api, timeout=10) as answer:
            assert len([one for one in json.load(answer) if "owned" in one["labels"]["entry"]]) == 1


def test_each_recipe_can_be_run():
    commands = {path.name for path in RECIPES.iterdir() if os.access(path, os.X_OK)}
    assert commands == {"post", "alertmanager", "pagerduty", "slack", "email"}

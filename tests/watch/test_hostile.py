"""A log that was written to break what watches it: alerts, metrics, page and memory of the service stay small."""

import json
from pathlib import Path

import pytest

import tallystick
from tallystick.watch.config import AlertCommand, Alerts, Web
from tallystick.watch.metrics import exposition
from tallystick.watch.standing import State
from tallystick.watch.web import serve
from tests.servers import until
from tests.watch.playing import Site, Watching
from tests.watch.web.conftest import Client

EVIL = b"\x1b]0;x\x07\x1b[2J<script>alert(1)</script>\xe2\x80\xae{{7*7}} '\"&\x9b\xff"
HARMFUL = ("\x1b", "\x07", "\u202e", "\x9b", "<script>alert")


def many_lines(live: Path) -> None:
    """Put in lines that nobody sealed: each is a finding."""
    with live.open("ab") as file:
        file.writelines(b"%s %d\n" % (EVIL, number) for number in range(200_000))


def a_long_line(live: Path) -> None:
    """Put in a line of 16 MiB."""
    with live.open("ab") as file:
        file.write(EVIL * (2**24 // len(EVIL)) + b"\n")


def many_files(live: Path) -> None:
    """Put in files whose names and lines do harm."""
    for number in range(300):
        path = bytes(live.parent) + b"/" + EVIL.replace(b"/", b"|") + b"%d" % number
        with open(path, "wb") as file:
            file.write(EVIL + b"\n")


@pytest.mark.parametrize("attack", [many_lines, a_long_line, many_files])
def test_what_is_said_of_a_hostile_log_stays_small_and_harmless(attack, tmp_path: Path) -> None:
    site, paged = Site(tmp_path), tmp_path / "paged"
    live = site.log("app")
    with tallystick.open("app", output=str(live), **site.place) as log:
        log.write("user=7 action=login")
    entry = site.entry("app", labels={"team": EVIL.decode("utf-8", "replace")})
    alerts = Alerts((AlertCommand(("tee", "-a", str(paged))),))
    with Watching(site.config(entry, alerts=alerts, stale_after=300.0)) as service:
        service.comes_to("app", State.OK)
        attack(live)
        service.comes_to("app", State.FAILED)
        until(lambda: paged.exists() and paged.read_bytes().endswith(b"\n"), "the alert")
        server = serve(Web("127.0.0.1", 0), service.board)
        server.start()
        ask = Client(server)
        shown = {path: ask(path).text for path in ("/", "/logs/app", "/api/v1/logs", "/api/v1/logs/app")}
        assert server.stop(5)
        shown["metrics"] = exposition(service.board, "")[1].decode()
        shown["alert"] = paged.read_text()
        shown["line"] = service.events[0].to_line()
    state = sum(path.stat().st_size for path in (tmp_path / "watch").rglob("*") if path.is_file())
    assert state < 1_000_000
    assert json.loads(shown["alert"].splitlines()[0])["after"] == "failed"
    for where, text in shown.items():
        assert len(text) < 300_000, where
        found = text if where in ("/", "/logs/app") else text.replace("<script>alert", "")
        assert not [sign for sign in HARMFUL if sign in found], where
    assert len(shown["alert"].splitlines()[0]) < 65_536
    assert len(shown["line"]) < 4_096

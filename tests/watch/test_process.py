"""`tallystick watch` as a process: its manager, its signals, its end at any instant."""

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.places import COMMAND
from tests.processes import Started
from tests.servers import until
from tests.watch.playing import Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A place for logs."""
    return Site(tmp_path)


def configured(site: Site, *names: str) -> Path:
    """Write a configuration file."""
    lines = ['state = "watch"', 'interval = "200ms"']
    for name in names:
        lines += ["[[log]]", f'name = "{name}"', f'paths = ["{name}"]', f'keys = ["{name}.key"]']
        lines += [f'store = "file:{site.path}/store"']
    path = site.path / "watch.toml"
    path.write_text("\n".join(lines))
    return path


def start(site: Site, path: Path, **env: str) -> "subprocess.Popen[str]":
    """Start the command; its output goes to a file, so that it never waits."""
    out = (site.path / "out").open("a")
    with out:
        return Started(
            [COMMAND, "watch", "--config", str(path)],
            env=os.environ | {"HOME": str(site.path)} | env,
            stdout=out,
            stderr=out,
            text=True,
        )


def said(site: Site) -> str:
    """Return what the command printed."""
    return (site.path / "out").read_text()


def test_the_service_manager_hears_when_it_is_ready_that_it_goes_on_and_that_it_ends(site: Site) -> None:
    site.log("app")
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with manager, site.writing("app"):
        manager.bind(f"{site.path}/notify")
        manager.settimeout(30)
        path = configured(site, "app")
        process = start(site, path, NOTIFY_SOCKET=f"{site.path}/notify", WATCHDOG_USEC="3000000")
        try:
            heard = ""

            def hear(word: str) -> None:
                nonlocal heard
                while word not in heard:
                    heard += manager.recv(4096).decode() + "\n"

            hear("READY=1")
            hear("WATCHDOG=1")
            assert "STATUS=1 of 1 looked at" in heard
            path.write_text("[[log]]\nnonsense = 1")
            process.send_signal(signal.SIGHUP)
            hear("RELOADING=1")
            until(lambda: "the old one goes on" in said(site), "a line about the configuration")
            process.terminate()
            hear("STOPPING=1")
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()
    assert "Traceback" not in said(site)


def test_kills_at_any_instant_cost_no_finding_and_bring_no_false_one(site: Site) -> None:
    live = site.log("app")
    path = configured(site, "app")
    with site.writing("app"):
        for number in range(6):
            process = start(site, path)
            time.sleep(0.5 + 0.25 * number)
            process.kill()
            process.wait()
        assert "failed" not in said(site)
    process = start(site, path)
    try:
        until(lambda: (site.path / "watch" / "standings").exists(), "standings")
        lines = live.read_bytes().splitlines(True)
        at = next(number for number in range(len(lines)) if b"user=20 " in lines[number])
        lines[at] = lines[at].replace(b"user=20 ", b"user=21 ")
        live.write_bytes(b"".join(lines))
        until(lambda: "app: failed" in said(site), "the finding")
    finally:
        process.kill()
        process.wait()
    until(lambda: b'"failed"' in (site.path / "watch" / "standings").read_bytes(), "the durable state")
    count, standings = said(site).count("app: failed"), site.path / "watch" / "standings"
    written = standings.stat().st_mtime_ns
    process = start(site, path)
    until(lambda: standings.stat().st_mtime_ns > written, "standings of the next process")
    time.sleep(1)
    process.terminate()
    assert process.wait(30) == 0
    assert said(site).count("app: failed") == count
    assert json.loads((site.path / "watch" / "standings").read_bytes())["entries"]["app"]["state"] == "failed"
    assert "Traceback" not in said(site)


def test_a_service_that_was_held_up_looks_first_and_pages_nobody_for_that(site: Site) -> None:
    """A virtual machine is paused: that nobody looked meanwhile is no trouble of the logs."""
    for name in ("app", "quiet"):
        site.log(name)
    path = configured(site, "app", "quiet")
    path.write_text(path.read_text().replace('name = "app"', 'name = "app"\nsilence = "3s"'))
    with site.writing("quiet"):
        pass
    with site.writing("app"), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"{site.path}/notify")
        manager.settimeout(30)
        process = start(site, path, NOTIFY_SOCKET=f"{site.path}/notify")
        try:
            while b"READY=1" not in manager.recv(4096):
                pass
            process.send_signal(signal.SIGSTOP)
            time.sleep(5)  # longer than the silence and than ten intervals
            process.send_signal(signal.SIGCONT)
            time.sleep(2)
            assert said(site) == ""
            live = site.path / "quiet" / "app.log"
            live.write_bytes(live.read_bytes().replace(b"first", b"fierce"))
            until(lambda: "quiet: failed" in said(site), "the finding")
            process.terminate()
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()
    assert " app: " not in said(site)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ('colour = "red"', "'colour' is not known"),
        ('interval = "soon"', "no duration"),
        ("jobs = true", "whole number"),
        ('[[log]]\nname = "app"\npaths = ["x"]\nkeys = ["none.key"]', "there is no file"),
        ('[[log]]\nname = "app"\npaths = ["x"]\nkeys = ["app.key"]', "two entries have the name"),
    ],
)
def test_a_slip_of_the_pen_is_refused_with_its_place(change: str, word: str, site: Site) -> None:
    site.log("app")
    path = configured(site, "app")
    before, after = ("", "\n" + change) if change.startswith("[[") else (change + "\n", "")
    path.write_text(before + path.read_text().replace('interval = "200ms"', "") + after)
    done = subprocess.run(
        [COMMAND, "watch", "--config", str(path)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert word in done.stderr
    assert "watch.toml" in done.stderr
    assert "Traceback" not in done.stderr

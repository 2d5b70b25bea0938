"""Servers that fork: gunicorn under `tallystick run`, and a log that a parent opened before it forked."""

import concurrent.futures
import http.client
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.sealed import entries, lines, position

APP = """
import os, sys, time

def app(environ, start):
    asked = environ["QUERY_STRING"]
    sys.stdout.write(f"out {asked} by {os.getpid()}\\n")
    sys.stdout.flush()
    sys.stderr.write(f"err {asked} by {os.getpid()}\\n")
    start("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


def ask(place, number):
    """Ask until there is an answer; return the worker's pid, and how often it took."""
    for tries in range(1, 100):
        with suppress(OSError, http.client.HTTPException):
            way = http.client.HTTPConnection("127.0.0.1", place, timeout=10)
            try:
                way.request("GET", f"/?{number}.{tries}")
                return int(way.getresponse().read()), f"{number}.{tries}"
            finally:
                way.close()
        time.sleep(0.02)
    raise AssertionError("no answer")


@pytest.mark.parametrize("more", [[], ["--preload"]], ids=["each loads", "preload"])
def test_no_line_of_any_worker_is_lost_or_sealed_twice_while_workers_are_killed(site, more):
    (site.path / "served.py").write_text(APP)
    command = [sys.executable, "-m", "gunicorn", "served:app", "-w", "4", "-b", "127.0.0.1:0", *more]
    with site.start("run", "payments", "-o", "audit.log", "--", *command) as running:
        try:
            place = None
            deadline = time.monotonic() + 20
            while place is None:
                assert time.monotonic() < deadline
                time.sleep(0.02)
                text = site.read() if (site.path / "audit.log").exists() else b""
                if b"Listening at: " in text and text.count(b"Booting worker") == 4:
                    place = int(text.split(b"Listening at: http://127.0.0.1:")[1].split()[0])
            with concurrent.futures.ThreadPoolExecutor(8) as asking:
                answers = []
                for turn in range(4):
                    batch = [asking.submit(ask, place, turn * 150 + i) for i in range(150)]
                    if turn < 3:
                        while not any(one.done() for one in batch):
                            time.sleep(0.001)
                        with suppress(ProcessLookupError):
                            os.kill(next(one for one in batch if one.done()).result()[0], signal.SIGKILL)
                    answers += [one.result() for one in batch]
            running.send_signal(signal.SIGTERM)
            assert running.wait(30) == 0
        finally:
            running.kill()
    said = [entry.decode() for entry in entries(site.read())]
    for pid, asked in answers:
        for stream in ("out", "err"):
            assert said.count(f"{stream} {asked} by {pid}") == 1
    assert len({pid for pid, _ in answers}) > 4, "no worker was killed and replaced"
    positions = [position(line) for line in lines(site.read())]
    assert positions == sorted(set(positions))
    assert site.verdict() == ("ok", [])


FORKS = """
import os, sys
import tallystick
from tallystick.errors import SealError, explain

with tallystick.open("payments", output="audit.log") as log:
    log.write("before")
    children = []
    for number in range(4):
        if (pid := os.fork()) == 0:
            try:
                log.write(f"from child {number}")
                os._exit(0)
            except SealError as error:
                print(explain(error), file=sys.stderr, flush=True)
                os._exit(9)
        children.append(pid)
        log.write(f"parent {number}")
    print([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children])
    log.write("after")
"""


def test_forked_children_cannot_write_their_parent_s_log_and_are_reported_what_to_do(site):
    done = subprocess.run(
        [sys.executable, "-c", FORKS], cwd=site.path, env=site.env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "[9, 9, 9, 9]\n")
    reported = done.stderr.splitlines()
    assert len(reported) == 4
    assert all("a forked child cannot write it" in one and "tallystick run" in one for one in reported)
    seen = entries(site.read())
    notices = [entry for entry in seen if entry.startswith(b"[fork] ")]
    written = [b"before", *(b"parent %d" % i for i in range(4)), b"after"]
    assert [entry for entry in seen if entry not in notices] == written
    assert sum(b" was refused, and is not in the log; " in notice for notice in notices) == 4
    assert notices[-1] == b"[fork] in all 4 records of 4 forked processes were refused, and not in the log then"
    assert len(notices) == 5
    positions = [position(line) for line in lines(Path(site.path / "audit.log").read_bytes())]
    assert positions == sorted(set(positions))
    assert site.verdict() == ("ok", [])

"""A head is one second old at most where anything can be done for that; where nothing can, log and status say so."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.log.test_log import Place, until
from tests.sealed import LATE, whole


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def starving(place, how):
    """Run a program whose background thread is starved; return for how long a line was there that no head counted."""
    program = [sys.executable, "-m", "tests.log.starving", str(place.output.parent), how]
    done = subprocess.run(
        program, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def late(place):
    return [entry.decode() for entry in whole(place.read()) if entry.startswith(LATE)]


@pytest.mark.parametrize("how", ["gevent", "native"])
def test_a_program_that_starves_the_background_thread_and_writes_stores_heads_itself(place, how):
    longest = starving(place, how)
    assert 0 < longest < 1.0 or late(place), longest  # a machine that does not run it says so as well
    assert longest < 2.5
    assert place.verify() == ("ok", [])


@pytest.mark.parametrize("how", ["gevent-silent", "native-silent"])
def test_where_nothing_can_run_the_next_moment_reports_it_in_the_log(place, how):
    starving(place, how)
    (said,) = late(place)
    assert "other code kept the interpreter" in said
    assert float(said.split(" s, ")[0].split()[-1]) >= 2.9
    assert place.verify() == ("ok", [])


def test_a_writer_that_was_stopped_for_a_while_says_so_in_log_and_status(site):
    writer = site.start("seal", "payments", "-o", "audit.log")
    writer.stdin.write(b"one\n")
    until(lambda: (site.path / "audit.log").exists() and b"one" in site.read())
    os.kill(writer.pid, signal.SIGSTOP)
    time.sleep(1.5)
    os.kill(writer.pid, signal.SIGCONT)
    until(lambda: any(LATE + b" for 1." in entry for entry in whole(site.read())))
    until(lambda: json.loads(site("status", "--format", "json").out)[0]["late"])
    (shown,) = json.loads(site("status", "--format", "json").out)
    assert shown["late"].startswith("1 head, up to 1.")
    assert "the process was stopped" in shown["late"]
    assert b"late" in site("status").out
    writer.communicate(timeout=20)
    assert site.verdict() == ("ok", [])

"""`tallystick run` when the end is not simple: workers that outlive the command, process 1, sealing that stops."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from tests.places import COMMAND
from tests.processes import Started
from tests.sealed import controls, entries

BEHIND = b"processes that outlived COMMAND still hold its output; their output is not sealed from now on"


def run(site, script, *options, **how):
    return site("run", "payments", "-o", "audit.log", *options, "--", "sh", "-c", script, **how)


# Workers that outlive the command


def test_what_workers_write_after_the_command_has_ended_is_sealed_until_they_end(site):
    done = run(site, "(sleep 0.3; echo late) & echo one; exit 3")
    assert (done.status, done.err) == (3, "")
    assert entries(site.read()) == [b"one", b"late"]
    assert site.verdict() == ("ok", [])


def test_workers_that_do_not_end_are_left_in_time_and_log_and_stderr_say_so(site):
    began = time.monotonic()
    done = run(site, "(sleep 0.2; echo late; printf half; exec sleep 30) & echo one; exit 3", "--linger", "600ms")
    assert time.monotonic() - began < 10
    assert (done.status, done.err) == (3, f"tallystick: {BEHIND.decode()}\n")
    assert entries(site.read()) == [b"one", b"late", b"half", b"[outlived] " + BEHIND]
    assert controls(site.read()) == ["open", "closed"]
    assert site.verdict() == ("ok", [])


def test_a_request_to_leave_does_not_wait_for_workers(site, running):
    process = running("sh", "-c", "sleep 30 & echo ready; exit 3", options=("--linger", "1h"))
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 3
    assert entries(site.read()) == [b"ready", b"[outlived] " + BEHIND]


def test_a_command_that_ignores_sigterm_is_not_left(site, running):
    process = running("sh", "-c", "trap '' TERM; echo ready; sleep 1; echo still here; exit 6")
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 6
    assert entries(site.read()) == [b"ready", b"still here"]


def test_a_command_that_is_stopped_with_its_pipe_full_goes_on_where_it_was(site, running):
    script = "import os, signal; print('ready', os.getpid(), flush=True)\nfor i in range(60000): print('line', i)"
    process = running(sys.executable, "-c", script)
    pid = int(entries(site.read())[0].split()[1])
    os.kill(pid, signal.SIGSTOP)
    os.kill(process.pid, signal.SIGSTOP)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)  # it fills its pipe, since it has no reader
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGCONT)
    assert process.wait(30) == 0
    assert entries(site.read())[1:] == [b"line %d" % i for i in range(60000)]


def test_where_run_itself_is_killed_the_command_gets_a_broken_pipe(site, running):
    script = "while echo ready; do sleep 0.05; done 2>/dev/null; echo gone > reported"
    process = running("sh", "-c", f"trap '' PIPE; {script}")
    process.kill()
    deadline = time.monotonic() + 10
    while not (site.path / "reported").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_output_without_a_line_end_does_not_gather_in_memory(site):
    script = "head -c 150000000 /dev/zero; grep VmHWM /proc/$PPID/status >&2"
    with site.spawn("run", "payments", "-o", "audit.log", "--", "sh", "-c", script) as process:
        assert process.wait(60) == 0
    peak = next(entry for entry in entries(site.read()) if entry.startswith(b"VmHWM"))
    assert int(peak.split()[1]) < 130_000  # KiB
    assert site.verdict() == ("ok", [])


# Sealing that stops


def test_a_command_whose_output_cannot_be_sealed_is_ended_and_that_is_reported(site):
    script = "trap 'echo ended > reported; exit 0' TERM; while :; do echo line; sleep 0.02; done"
    reading, writing = os.pipe()
    os.close(reading)
    done = site("run", "payments", "--", "sh", "-c", script, stdout=writing)
    os.close(writing)
    assert done.status == 4
    assert site.read("reported") == b"ended\n"
    assert "the reader is gone" in done.err
    assert "COMMAND is ended, since its output is no longer sealed" in done.err
    assert re.search(r"of the output of COMMAND up to [0-9]+ lines? are not sealed", done.err)


@pytest.mark.parametrize(
    "before", ["", "(sleep 1; kill -CONT $PPID) & kill -STOP $PPID; "], ids=["read", "in the pipe"]
)
def test_a_command_that_has_much_to_say_when_sealing_stops_can_still_end(site, before):
    """Its pipes are emptied, or it would wait for room in them, and all is counted, also what it leaves in them."""
    script = f"trap '{before}seq 100000; echo ended > reported; exit 0' TERM; while :; do echo line; sleep 0.02; done"
    reading, writing = os.pipe()
    os.close(reading)
    done = site("run", "payments", "--", "sh", "-c", script, stdout=writing)
    os.close(writing)
    assert (done.status, site.read("reported")) == (4, b"ended\n")
    assert int(re.search(r"up to ([0-9,]+) lines", done.err)[1].replace(",", "")) >= 100_000


def test_a_command_that_will_not_end_when_sealing_stops_is_killed(site):
    began = time.monotonic()
    script = "trap '' TERM; while :; do echo line; sleep 0.02; done"
    reading, writing = os.pipe()
    os.close(reading)
    done = site("run", "payments", "--", "sh", "-c", script, stdout=writing)
    os.close(writing)
    assert done.status == 4
    assert 9 < time.monotonic() - began < 20


# Process 1


@pytest.fixture
def first(site):
    """Run `tallystick run` as process 1 of a namespace of its own."""
    unshare = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    possible = shutil.which("unshare") and not subprocess.run([*unshare, "true"], capture_output=True).returncode
    if not possible:
        why = "a PID namespace cannot be made here: that takes root and unshare"
        if os.environ.get("TALLYSTICK_CI") == "1":
            pytest.fail(why)
        pytest.skip(why)
    started = []

    def start(script):
        command = [*unshare, COMMAND, "run", "payments", "-o", "audit.log", "--", "sh", "-c", script]
        process = Started(command, cwd=site.path, env=site.env, stderr=subprocess.PIPE)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def inner(process):
    """Return the process that unshare started, by its number out here."""
    with open(f"/proc/{process.pid}/task/{process.pid}/children") as children:
        return int(children.read().split()[0])


def test_process_1_buries_orphans_and_passes_the_status_back(site, first):
    script = """
        for i in 1 2 3; do (sleep 0.1 & ); done
        sleep 0.6
        echo pid $PPID
        grep -l '^State:.Z' /proc/[0-9]*/status
        exit 5"""
    assert first(script).wait(20) == 5
    assert entries(site.read()) == [b"pid 1"]
    assert site.verdict() == ("ok", [])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGRTMIN + 3])
def test_process_1_does_not_die_of_signals_nor_lose_those_that_end_its_command(site, first, number):
    passed = number != signal.SIGALRM
    process = first("echo ready; exec sleep " + ("30" if passed else "1"))
    deadline = time.monotonic() + 20
    while not ((site.path / "audit.log").exists() and b"ready" in site.read()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(inner(process), number)
    assert process.wait(20) == (128 + number if passed else 0)
    assert site.verdict() == ("ok", [])

"""`tallystick seal` and `run` when SIGHUP comes: log rotation by others, and terminals that hang up."""

import os
import pty
import signal
import time

import pytest

from tests.places import COMMAND
from tests.sealed import controls, entries


def until(condition, seconds=20):
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def said(site, name="audit.log"):
    return entries(site.read(name)) if (site.path / name).exists() else []


def test_sighup_has_seal_go_on_in_a_new_file(site):
    with site.start("seal", "payments", "-o", "audit.log") as running:
        running.stdin.write(b"one\n")
        until(lambda: said(site) == [b"one"])
        (site.path / "audit.log").rename(site.path / "audit.log.1")
        running.send_signal(signal.SIGHUP)
        time.sleep(0.1)
        running.stdin.write(b"two\n")
        running.stdin.close()
        assert running.wait(20) == 0
    assert (said(site, "audit.log.1"), said(site)) == ([b"one"], [b"two"])
    assert site.verdict("audit.log.1", "audit.log") == ("ok", [])


def test_sighup_has_run_go_on_in_a_new_file_and_reaches_the_command(site, running):
    process = running("sh", "-c", "trap 'echo two; exit 5' HUP; echo ready; while :; do sleep 0.05; done")
    (site.path / "audit.log").rename(site.path / "audit.log.1")
    process.send_signal(signal.SIGHUP)
    assert process.wait(20) == 5
    assert (said(site, "audit.log.1"), said(site)) == ([b"ready"], [b"two"])
    assert site.verdict("audit.log.1", "audit.log") == ("ok", [])


@pytest.mark.parametrize("output", ["standard output", "a pipe"])
def test_sighup_without_a_file_closes_the_chain_and_leaves(site, output):
    (site.path / "pipe").mkdir() if output == "standard output" else os.mkfifo(site.path / "pipe")
    more = () if output == "standard output" else ("-o", "pipe")
    with site.start("seal", "payments", *more) as running:
        reading = running.stdout if not more else open(site.path / "pipe", "rb", buffering=0)  # noqa: SIM115
        running.stdin.write(b"one\n")
        first = reading.read(1)
        time.sleep(0.2)
        running.send_signal(signal.SIGHUP)
        assert running.wait(20) == 128 + signal.SIGHUP
        (site.path / "audit.log").write_bytes(first + reading.read())
        reading.close()
    assert controls(site.read()) == ["open", "closed"]
    assert site.verdict() == ("ok", [])


def test_a_terminal_that_hung_up_closes_the_chain_even_with_a_file(site):
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(site.path)
        os.execve(COMMAND, [COMMAND, "seal", "payments", "-o", "audit.log"], site.env)
    os.write(terminal, b"one\n")
    until(lambda: said(site) == [b"one"])
    os.close(terminal)
    until(lambda: controls(site.read()) == ["open", "closed"])
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 128 + signal.SIGHUP
    assert site.verdict() == ("ok", [])

"""Handlers in programs of gevent and eventlet, made at import: a fork, the end, SIGTERM while their loop waits."""

import fcntl
import signal
import struct
import subprocess
import sys
import termios

import pytest

from tests.integrations.test_processes import (
    FORKED,
    HANDLER,
    REFUSED,
    TOOK_OVER,
    Scene,
    needs,
    said,
    until,
)  # fmt: skip
from tests.processes import Started
from tests.sealed import entries

PATCHES = {
    "gevent": "from gevent import monkey; monkey.patch_all()\n",
    "eventlet": "import eventlet; eventlet.monkey_patch()\n",
}
KINDS = [pytest.param(kind, marks=needs(kind)) for kind in PATCHES]
PYTHON = [sys.executable, "-W", "ignore", "program.py"]  # eventlet warns of itself


@pytest.fixture
def scene(site):
    return Scene(site)


def write(scene, kind, text, handler=HANDLER):
    (scene.path / "program.py").write_text(PATCHES[kind] + handler.replace("{}", "") + text)


def run(scene, kind, text):
    write(scene, kind, text)
    return subprocess.run(
        PYTHON, cwd=scene.path, env=scene.site.env, timeout=60, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


@pytest.mark.parametrize("kind", KINDS)
def test_a_program_that_ends_closes_its_log(scene, kind):
    """Under eventlet it once waited for ever, for news of children that it never had."""
    run(scene, kind, "log.info('one')\n")
    assert scene.entries() == [b"one"]
    assert scene.site.verdict() == ("ok", [])


@pytest.mark.parametrize("kind", KINDS)
def test_a_child_whose_parent_is_gone_takes_the_log_over_and_closes_it(scene, kind):
    run(scene, kind, "log.info('before')\nif os.fork():\n    os._exit(0)\nlog.info('after')\n")
    until(lambda: scene.controls()[-1:] == ["closed"])
    assert scene.entries() == [b"before", b"after"]
    assert said(scene.notices(), TOOK_OVER)
    assert scene.site.verdict()[0] == "ok"


@pytest.mark.parametrize("kind", KINDS)
def test_the_log_of_a_parent_that_lives_says_what_was_refused(scene, kind):
    assert run(scene, kind, f"log.info('before')\n{FORKED}log.info('after')\n") == "3\n"
    assert scene.entries() == [b"before", b"after"]
    in_all = r"\[fork\] in all 3 records of 1 forked process were refused, and not in the log then"
    assert said(scene.notices(), REFUSED, in_all)
    assert scene.site.verdict() == ("ok", [])


STREAM = HANDLER.replace("SealedFileHandler", "SealingHandler").replace('"audit.log"', "sys.stdout")

WAITS = """
log.info("one")
print("waits", file=sys.stderr, flush=True)
{}(lambda: time.sleep(0.01))
time.sleep(60)
"""
SPAWN = {"gevent": "__import__('gevent').spawn", "eventlet": "eventlet.spawn"}


def ends_at_sigterm(scene):
    """Start the program, and send SIGTERM once it waits; return whether that ended it, with nothing to say."""
    with started(scene, stdout=subprocess.PIPE) as program:
        assert program.stderr.readline() == b"waits\n"
        program.send_signal(signal.SIGTERM)
        out, err = program.communicate(timeout=30)
    assert err == b""
    if out:
        (scene.path / "audit.log").write_bytes(out)
    return program.returncode == -signal.SIGTERM


def started(scene, **streams):
    return Started(PYTHON, cwd=scene.path, env=scene.site.env, stderr=subprocess.PIPE, **streams)


@pytest.mark.parametrize("kind", KINDS)
def test_sigterm_in_the_loop_closes_the_log_and_ends_the_program(scene, kind):
    """The handler may not wait there: it once raised in the program, and under eventlet there was none."""
    write(scene, kind, WAITS.format(SPAWN[kind]))
    assert ends_at_sigterm(scene)
    assert scene.entries() == [b"one"]
    assert scene.site.verdict() == ("ok", [])


IDLE = """
log.info("one")
time.sleep(1.5)  # until it is counted
print("waits", file=sys.stderr, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("kind", KINDS)
def test_sigterm_ends_a_loop_that_sleeps(scene, kind):
    """Eventlet's goes on sleeping after a signal, and a log that writes to a stream has nothing to do meanwhile."""
    write(scene, kind, IDLE, STREAM)
    assert ends_at_sigterm(scene)
    assert scene.entries() == [b"one"]
    assert scene.site.verdict() == ("ok", [])


COMPUTES = """
log.info("one")
print("waits", file=sys.stderr, flush=True)
while True: pass
"""


@pytest.mark.parametrize("kind", KINDS)
def test_sigterm_ends_a_program_that_keeps_the_loop_from_running(scene, kind):
    write(scene, kind, COMPUTES)
    assert ends_at_sigterm(scene)
    assert scene.entries() == [b"one"]
    assert scene.site.verdict() == ("ok", [])


SENDS = """
import os, signal, threading
class Condition(threading.Condition):
    def wait(self, timeout=None):
        if callable(signal.getsignal(signal.SIGTERM)):
            os.kill(os.getpid(), signal.SIGTERM)
        return super().wait(timeout)
threading.Condition = Condition
"""


@needs("eventlet")
def test_sigterm_that_comes_within_a_lock_of_a_green_thread_ends_the_program(scene):
    """It once waited for ever, for a lock of the green thread that it had interrupted."""
    write(scene, "eventlet", "time.sleep(60)\n", SENDS + HANDLER)
    with started(scene) as program:
        assert program.communicate(timeout=30)[1] == b""
    assert program.returncode == -signal.SIGTERM
    assert scene.entries() == []
    assert scene.site.verdict() == ("ok", [])


FULL = """
print("writes", file=sys.stderr, flush=True)
for number in range(100):
    log.info("%d %s", number, "x" * 3900)
"""


@pytest.mark.parametrize("kind", KINDS)
def test_sigterm_ends_a_program_that_waits_for_its_reader_and_what_was_taken_verifies(scene, kind):
    """Eventlet takes `select.poll` away, and its `os.write` goes on for ever where the reader has gone."""
    write(scene, kind, FULL, STREAM)
    with started(scene, stdout=subprocess.PIPE) as program:
        assert program.stderr.readline() == b"writes\n"
        until(lambda: waiting(program.stdout) > 60_000)  # a page for each line
        program.send_signal(signal.SIGTERM)
        until(lambda: program.poll() is not None)
        out, err = program.stdout.read(), program.stderr.read().decode()
    assert program.returncode == -signal.SIGTERM, err
    assert "Traceback" not in err
    (scene.path / "audit.log").write_bytes(out)
    taken = [int(entry.split()[0]) for entry in entries(out[: out.rindex(b"\n") + 1])]
    assert len(taken) > 10
    assert taken == list(range(len(taken)))
    assert scene.site.verdict()[0] != "failed"


def waiting(pipe):
    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]

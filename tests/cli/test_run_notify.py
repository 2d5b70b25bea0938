"""`tallystick run` notifies a service manager of its state, as Type=notify asks. The listener is a real socket."""

import os
import socket
import sys

import pytest

from tests.sealed import entries


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    address = f"{tmp_path}/notify" if request.param == "path" else f"\0tallystick-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(20)
        yield listener, address.replace("\0", "@")


def heard(listener):
    """Return the messages that stand in the socket."""
    listener.setblocking(False)
    messages = []
    while True:
        try:
            messages.append(listener.recv(4096).decode().split("\n"))
        except BlockingIOError:
            return messages


def test_it_is_ready_when_the_command_runs_and_stops_when_it_has_ended(site, manager):
    listener, place = manager
    done = site("run", "payments", "-o", "audit.log", "--", "echo", "one", env={"NOTIFY_SOCKET": place})
    assert (done.status, done.err) == (0, "")
    assert heard(listener) == [
        ["READY=1", "STATUS=sealing the output of echo for log payments"],
        ["STOPPING=1", "STATUS=closing log payments"],
    ]


def test_a_command_that_cannot_be_started_is_never_ready(site, manager):
    listener, place = manager
    assert site("run", "payments", "-o", "audit.log", "--", "no-such", env={"NOTIFY_SOCKET": place}).status == 127
    assert heard(listener) == []


def test_the_command_may_tell_of_itself(site, manager):
    listener, place = manager
    script = (
        "import os, socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "s.sendto(b'WATCHDOG=1', os.environ['NOTIFY_SOCKET'].replace('@', '\\0', 1))\n"
        "print('WATCHDOG_PID' in os.environ, os.environ['WATCHDOG_USEC'])"
    )
    env = {"NOTIFY_SOCKET": place, "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}
    site("run", "payments", "-o", "audit.log", "--", sys.executable, "-c", script, env=env)
    assert ["WATCHDOG=1"] in heard(listener)
    assert entries(site.read()) == [b"False 1000000"]


def test_a_manager_that_is_not_there_is_reported_and_holds_nothing_up(site):
    done = site("run", "payments", "-o", "audit.log", "--", "echo", "one", env={"NOTIFY_SOCKET": "/no/such"})
    assert done.status == 0
    assert (
        "NOTIFY_SOCKET /no/such: no such file or directory; the service manager was not notified of READY=1" in done.err
    )
    assert entries(site.read()) == [b"one"]


def test_sockets_of_a_manager_reach_the_command(site):
    """Socket activation: LISTEN_PID must name the command."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        script = (
            "import os, socket; print(os.environ['LISTEN_PID'] == str(os.getpid()),"
            " socket.socket(fileno=3).getsockname()[1])"
        )
        # The shell's own number becomes that of `tallystick`.
        line = 'exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" run payments -o audit.log -- "$@"'
        import subprocess

        from tests.places import COMMAND

        done = subprocess.run(
            ["sh", "-c", line, COMMAND, sys.executable, "-W", "ignore", "-c", script],
            cwd=site.path, env=site.env, stdin=listening, capture_output=True, check=False, timeout=30,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, b"")
        assert entries(site.read()) == [b"True %d" % listening.getsockname()[1]]

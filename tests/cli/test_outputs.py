"""Where results and lines go: descriptors by any name, sockets, pipes without a reader, the file of another log."""

import os
import select
import signal
import socket
import subprocess

import pytest

from tests.places import COMMAND
from tests.sealed import entries


@pytest.fixture
def log(site):
    """A log with three lines."""
    site.seal(b"one\ntwo\nthree\n")
    return site


@pytest.mark.parametrize(
    ("arguments", "target", "beginning"),
    [
        (("verify", "audit.log", "--key", "payments.key"), "/dev/stderr", b"ok: "),
        (("verify", "audit.log", "--key", "payments.key"), "link", b"ok: "),
        (("prove", "1.0.2", "audit.log", "-q"), "/dev/fd/2", b"tallystick/v1 evidence\n"),
        (("seal", "payments"), "/proc/self/fd/2", b"tallystick/v1 open payments "),
        (("seal", "payments"), "link", b"tallystick/v1 open payments "),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_result_goes_to_standard_error_after_what_is_there(log, arguments, target, beginning):
    (log.path / "link").symlink_to("/dev/stderr")
    with open(log.path / "out", "ab", buffering=0) as file:
        file.write(b"before\n")
        done = subprocess.run(
            [COMMAND, *arguments, "-o", target], cwd=log.path, env=log.env, stdin=subprocess.DEVNULL, stderr=file,
            stdout=subprocess.PIPE, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, b""), log.read("out")
    assert log.read("out").startswith(b"before\n" + beginning)


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/proc/self/fd/1"])
def test_standard_output_may_be_a_socket_whatever_it_is_called(site, name):
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            assert site("seal", "payments", "-o", name, stdin=b"one\n", stdout=theirs).status == 0
        got = b"".join(iter(lambda: ours.recv(65_536), b""))
    assert entries(got) == [b"one"]


def test_what_is_no_file_is_never_rotated_or_renamed(site):
    (site.path / "audit.log").symlink_to("/dev/stdout")
    done = site("seal", "payments", "-o", "audit.log", "--rotate-size", "1kB", stdin=b"one\n")
    assert (done.status, "only a file can be rotated" in done.err) == (2, True)
    assert os.readlink(site.path / "audit.log") == "/dev/stdout"


def test_a_writer_leaves_when_it_is_asked_to_before_its_pipe_has_a_reader(site):
    os.mkfifo(site.path / "pipe")
    with site.start("seal", "payments", "-o", "pipe") as running:
        running.stdin.write(b"one\n")
        assert select.select([running.stderr], [], [], 20)[0]
        assert b"pipe: broken pipe; the reader is gone; log payments waits" in running.stderr.readline()
        running.send_signal(signal.SIGTERM)
        _, err = running.communicate(timeout=20)
    assert running.returncode == 4
    assert b"was asked not to wait any longer" in err


@pytest.mark.parametrize("policy", ["drop", "stop"])
def test_a_pipe_without_a_reader_keeps_no_writer_waiting_that_must_not_wait(site, policy):
    os.mkfifo(site.path / "pipe")
    done = site("seal", "payments", "-o", "pipe", "--on-full", policy, stdin=b"one\n")
    assert done.status == 4  # not even the opening was written
    assert "the reader is gone" in done.err


def test_a_writer_that_drops_goes_on_in_a_pipe_whose_reader_comes_late(site):
    os.mkfifo(site.path / "pipe")
    with site.start("seal", "payments", "-o", "pipe", "--on-full", "drop") as running:
        running.stdin.write(b"one\n")
        assert b"the reader is gone" in running.stderr.readline()
        with open(site.path / "pipe", "rb") as reader:
            running.stdin.write(b"two\n")
            running.stdin.close()
            data = reader.read()
        assert running.wait(20) == 0
    assert b"two tally=" in data
    (site.path / "audit.log").write_bytes(data)
    assert site.verdict()[0] == "ok"


def test_a_pipe_gets_every_line_when_its_reader_comes_late(site):
    os.mkfifo(site.path / "pipe")
    with site.start("seal", "payments", "-o", "pipe") as running:
        running.stdin.write(b"one\n")
        assert b"waits" in running.stderr.readline()
        with open(site.path / "pipe", "rb") as reader:
            running.stdin.write(b"two\n")
            running.stdin.close()
            data = reader.read()
        assert running.wait(20) == 0
    assert entries(data) == [b"one", b"two"]
    (site.path / "audit.log").write_bytes(data)
    assert site.verdict() == ("ok", [])


def test_status_names_the_file_that_standard_output_is(site):
    with open(site.path / "out", "ab") as file:
        assert site("seal", "payments", stdin=b"one\n", stdout=file).status == 0
    assert f"  output      {site.path}/out\n".encode() in site("status", "payments").out


@pytest.mark.parametrize("command", ["seal", "run", "close"])
def test_lines_in_the_file_of_another_log_are_reported(log, command):
    log.init("orders")
    words = {"seal": (), "run": ("--", "echo", "hello"), "close": ()}[command]
    done = log(command, "orders", "-o", "audit.log", *words, stdin=b"four\n")
    assert done.status == 0
    assert done.err.startswith("tallystick: audit.log holds lines of another log (")
    report = log.report("audit.log", more=("--key", "orders.key"))
    assert report["verdict"] == "ok"

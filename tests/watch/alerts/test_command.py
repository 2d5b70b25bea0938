"""Commands get the event and little else, end in time, and say why they failed."""

import json
import os
import signal
import threading
import time

import pytest

from tallystick.watch import config
from tallystick.watch.alerts.command import Command
from tallystick.watch.alerts.form import plain_event
from tallystick.watch.alerts.receiver import AwayError, RefusedError
from tests.servers import until
from tests.watch.events import event, hostile


def run(script, *arguments, seconds=20, stop=None, given=None):
    command = Command(config.AlertCommand(("sh", "-c", script, "sh", *map(str, arguments))), seconds)
    command.deliver(plain_event(event(1)) if given is None else given, stop or threading.Event())


def test_a_command_gets_the_event_as_one_line_of_json_whatever_its_size(tmp_path):
    plain = plain_event(hostile())
    run('cat > "$1"', tmp_path / "got", given=plain | {"more_text": "x" * 300_000})
    lines = (tmp_path / "got").read_bytes().splitlines(keepends=True)
    assert len(lines) == 1
    assert json.loads(lines[0]) == plain | {"more_text": "x" * 300_000}


def test_no_shell_takes_arguments_apart(tmp_path):
    argument = "$(touch owned); `touch owned` *"
    run('printf %s "$2" > "$1"', tmp_path / "got", argument)
    assert (tmp_path / "got").read_text() == argument
    assert not os.path.exists("owned")


def test_a_command_gets_few_variables_and_its_own_directory_and_descriptors(tmp_path, monkeypatch):
    monkeypatch.setenv("TALLYSTICK_SECRET", "s3cr3t")
    monkeypatch.setenv("LD_PRELOAD_NOT", "x")
    with open(tmp_path / "held", "w") as held:
        os.set_inheritable(held.fileno(), True)
        run('{ env; pwd; ls -l /proc/self/fd; } > "$1"', tmp_path / "got")
    got = (tmp_path / "got").read_text()
    assert "s3cr3t" not in got
    assert "LD_PRELOAD_NOT" not in got
    assert "held" not in got
    assert "\n/\n" in got


@pytest.mark.parametrize(
    ("script", "error", "text"),
    [
        ("exit 1", RefusedError, "exit status 1"),
        ("exit 75", AwayError, "exit status 75"),
        ("kill -9 $$", RefusedError, "killed by signal 9"),
        ("echo no such user >&2; exit 67", RefusedError, "exit status 67: no such user"),
        ("cat >/dev/null; printf '\\033[2Ja\\nb'; exit 3", RefusedError, "exit status 3: \\x1b[2Ja\\x0ab"),
        ("exec 0<&-; exit 4", RefusedError, "exit status 4"),
    ],
)
def test_a_failure_is_reported_with_the_end_of_the_output(script, error, text):
    with pytest.raises(error) as caught:
        run(script)
    assert str(caught.value) == text


def test_a_program_that_is_not_there_is_reported():
    with pytest.raises(AwayError, match="cannot be started: no such file or directory"):
        Command(config.AlertCommand(("/nonexistent/pager",))).deliver({"id": "1"}, threading.Event())


def test_much_output_takes_little_memory_and_does_not_stop_the_command():
    with pytest.raises(RefusedError) as caught:
        run("head -c 30000000 /dev/zero; exit 5")
    assert len(str(caught.value)) < 300


def is_gone(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_command_that_takes_too_long_is_killed_with_what_it_started(tmp_path):
    with pytest.raises(AwayError, match="took longer than"):
        run('sleep 600 & echo $! > "$1"; trap "" TERM; wait', tmp_path / "pid", seconds=0.5)
    pid = int((tmp_path / "pid").read_text())
    until(lambda: is_gone(pid), "the end of the child")


def test_a_command_is_cut_off_when_the_service_ends(tmp_path):
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    began = time.monotonic()
    with pytest.raises(AwayError, match="the service ends"):
        run("sleep 600", stop=stop)
    assert time.monotonic() - began < 40


def test_something_that_a_command_leaves_behind_does_not_hold_it_up(tmp_path):
    began = time.monotonic()
    run('sleep 600 & echo $! > "$1"', tmp_path / "pid")
    assert time.monotonic() - began < 40
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_alerts_go_to_a_command(alerts, tmp_path):
    sender = alerts(config.AlertCommand(("sh", "-c", 'cat >> "$1"', "sh", str(tmp_path / "got"))))
    for number in range(5):
        sender.send(event(number))
    until(lambda: sender.queued() == 0, "the end of the queue")
    assert [json.loads(line)["id"] for line in (tmp_path / "got").read_bytes().splitlines()] == list("01234")

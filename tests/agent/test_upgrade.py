"""Upgrade in place, and other starts and reloads: whatever was sent is sealed once, and no key outlives its program."""

import os
import shutil
import signal
import socket
import subprocess
import threading

import pytest

from tests.agent.client import OPEN, Agent, Client, RefusedError, entries, send
from tests.processes import Started


def connected(path):
    way = socket.socket(socket.AF_UNIX)
    way.connect(path)
    OPEN.append(way)
    return way


def upgrade(agent, site):
    """Have another program take over, and wait until this one has closed its chain."""
    before = closed(site)
    agent.process.send_signal(signal.SIGUSR2)
    agent.until(lambda: closed(site) > before)


def closed(site):
    """How many chains were closed."""
    return sum(
        b" closed " in line for line in site.read().splitlines() if line.startswith(b"tallystick/v1 checkpoint ")
    )


def test_an_upgrade_goes_on_in_the_middle_of_lines_messages_and_conversations(site, agents):
    path, syslog = str(site.path / "s"), str(site.path / "syslog")
    agent = agents("--listen", f"unix:{path}", "--listen", f"syslog+unix:{syslog}", "--max-line", "1k").listening(
        syslog
    )
    pid = agent.process.pid
    lines, counted, digits, long = connected(path), connected(syslog), connected(syslog), connected(path)
    client = Client(path).connect()
    client.send([b"one"])
    client.wait()
    lines.sendall(b"whole\nha")
    counted.sendall(b"12 <13>fo")
    digits.sendall(b"1")
    long.sendall(b"x" * 1500)
    agent.until(lambda: len(entries(site)) >= 3)
    for _ in range(2):
        upgrade(agent, site)
    assert agent.process.pid == pid
    lines.sendall(b"lf\n")
    counted.sendall(b"ur\n<9>")
    digits.sendall(b"1 <13>eleven!")
    long.sendall(b"y\n")
    client.send([b"two"])
    client.wait()
    assert (client.through, client.at[0]) == (2, 3)
    for way in (lines, counted, digits, long):
        way.close()
    agent.end()
    assert sorted(entries(site)) == sorted(
        [b"one", b"two", b"whole", b"half", b"<13>four\\n<9>", b"<13>eleven!", b"x" * 1000, b"x" * 500 + b"y"]
    )
    report = site.report()
    assert "sent a message of 1501 bytes, which stands in 2 lines" in str(report)
    assert site.verdict() == ("ok", [])


def test_upgrades_under_load_lose_and_double_nothing(site, agents):
    agent = agents().listening()
    client, plain = Client(agent.path).connect(), connected(agent.path)
    count, done = 20_000, threading.Event()

    def send_lines():
        for number in range(count):
            plain.sendall(b"plain %d\n" % number)
        plain.close()

    def send_acknowledged():
        for number in range(0, count, 20):
            client.send([b"acknowledged %d" % each for each in range(number, number + 20)])
            while len(client.unacknowledged) > 400:
                client.hear()
        client.wait()
        done.set()

    senders = [threading.Thread(target=each) for each in (send_lines, send_acknowledged)]
    for each in senders:
        each.start()
    agent.until(lambda: len(entries(site)) > count // 10)
    for _ in range(3):
        upgrade(agent, site)
    for each in senders:
        each.join(60)
    assert done.is_set()
    agent.end()
    found = entries(site)
    for name in (b"plain", b"acknowledged"):
        assert [line for line in found if line.startswith(name)] == [b"%s %d" % (name, each) for each in range(count)]
    assert site.verdict() == ("ok", [])


def test_a_program_that_does_not_start_is_handed_nothing(site):
    program = site.path / "python"
    os.symlink(os.path.realpath(shutil.which("python3")), program)
    broken = site.path / "broken" / "tallystick"
    broken.parent.mkdir()

    def start(*arguments, **more):
        env = site.env | {"PYTHONPATH": str(broken.parent)}
        command = [f"{site.bin}/python", "-m", "tallystick", *map(str, arguments)]
        return Started(command, cwd=site.path, env=env, stderr=subprocess.PIPE, **more)

    agent = Agent(site, start=start).listening()
    try:
        broken.mkdir()
        (broken / "__init__.py").write_text("raise ImportError")
        agent.process.send_signal(signal.SIGUSR2)
        said = agent.said().decode()
        assert "the program that is installed now does not start" in said
        send(agent.path, b"one\n")
        agent.end()
    finally:
        agent.kill()
    assert (entries(site), closed(site)) == ([b"one"], 1)


CONFIG = """
[[log]]
name = "{name}"
output = "{name}.log"
listen = ["unix:{path}/{name}"]
state = "{path}/state"
"""


def test_a_hangup_reads_the_configuration_again_and_an_invalid_one_changes_nothing(site):
    file = site.path / "agent.toml"
    text = CONFIG.format(name="payments", path=site.path)
    file.write_text(text)
    agent = Agent.__new__(Agent)
    agent.site, agent.path = site, str(site.path / "payments")
    agent.process = site.start("agent", "--config", "agent.toml")
    try:
        agent.listening()
        client = Client(agent.path).connect()
        for wrong, said in (
            (text + "\n[[log]]\n", b"name"),
            (text + CONFIG.format(name="audit", path=site.path), b"audit"),
        ):
            file.write_text(wrong)
            agent.process.send_signal(signal.SIGHUP)
            line = agent.said()
            assert said in line, line
            assert b"the configuration of before stays" in line
        site.init("audit")
        agent.process.send_signal(signal.SIGHUP)
        agent.listening(str(site.path / "audit"))
        client.send([b"still here"])
        client.wait()
        send(str(site.path / "audit"), b"new\n")
        agent.until(lambda: b"new" in site.read("audit.log"))
        file.write_text(CONFIG.format(name="audit", path=site.path))
        agent.process.send_signal(signal.SIGHUP)
        agent.until(lambda: not os.path.exists(agent.path))
        with pytest.raises((RefusedError, ConnectionError)):
            client.hear()
        assert b"lost its connection" in agent.said()
        send(str(site.path / "audit"), b"newer\n")
        agent.end()
    finally:
        agent.kill()
    assert entries(site, "payments.log") == [b"still here"]
    assert entries(site) == [b"new", b"newer"]
    assert site.verdict("payments.log") == ("ok", [])

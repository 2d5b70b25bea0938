"""Clients of the agent in Python: what `tallystick.connect` promises to programs."""

import contextlib
import itertools
import multiprocessing
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

import tallystick
from tallystick.errors import FormatError, OutputError, SealError
from tests.agent.client import WELCOME, entries, frame
from tests.agent.test_many import KILLS
from tests.processes import Started


@pytest.fixture
def connect():
    """Connect to an agent; give the messages of the client, too."""
    made = []

    def start(agent, **options):
        said = []
        client = tallystick.connect(f"unix:{agent.path}", **{"on_trouble": said.append, **options})
        made.append(client)
        return client, said

    yield start
    for client in made:
        with contextlib.suppress(SealError):
            client.close(0)


def until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("state", ["sealed", "synced"])
def test_what_was_written_before_a_flush_is_in_the_log_after_it(site, agents, connect, state):
    agent = agents().listening()
    client, said = connect(agent, state=state)
    client.write("user=7 action=login")
    client.write(b"raw \xff\n")
    client.write("two\nlines")
    client.flush(20)
    assert entries(site) == [b"user=7 action=login", b"raw \xff", b"two\\nlines"]
    assert (client.position, said) == ("1.0.3", [])
    client.close()
    agent.end()
    assert site.verdict() == ("ok", [])


def test_a_line_is_with_the_operating_system_when_the_call_returns(site, agents, connect):
    """A program that is killed right after the call loses nothing, once it is connected."""
    agent = agents().listening()
    program = (
        "import os, sys, tallystick\n"
        f"client = tallystick.connect('unix:{agent.path}')\n"
        "client.write('first')\nclient.flush(20)\n"
        "for number in range(20):\n    client.write(str(number))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    assert done.returncode == -9
    until(lambda: len(entries(site)) == 21)
    assert entries(site) == [b"first", *(b"%d" % number for number in range(20))]


def test_lines_wait_for_an_agent_that_starts_later_and_the_wait_is_reported_once(site, agents, connect):
    agent = agents()
    agent.kill()
    with contextlib.suppress(OSError):
        os.unlink(agent.path)
    client, said = connect(agent)
    client.write("one")
    with pytest.raises(SealError, match=r"1 line that unix:.* has not acknowledged"):
        client.flush(0.3)
    agents().listening()
    client.flush(20)
    assert entries(site) == [b"one"]
    where = f"the agent at unix:{agent.path}"
    until(lambda: len(said) == 2)
    assert said == [f"{where} cannot be reached: no such file or directory; lines wait", f"{where} takes lines again"]


def test_without_room_a_client_blocks_drops_or_raises_as_it_was_asked(site, agents, connect):
    agent = agents()
    agent.kill()
    dropping, said = connect(agent, capacity=3, on_full="drop")
    raising, _ = connect(agent, capacity=3, on_full="raise")
    blocking, _ = connect(agent, capacity=3)
    for number in range(5):
        dropping.write(f"dropping {number}")
    for number in range(3):
        raising.write(f"raising {number}")
        blocking.write(f"blocking {number}")
    with pytest.raises(OutputError, match="takes no lines, and 3 wait"):
        raising.write("raising 3")
    writer = threading.Thread(target=blocking.write, args=("blocking 3",))
    writer.start()
    writer.join(0.2)
    assert writer.is_alive()
    agents().listening()
    writer.join(20)
    assert not writer.is_alive()
    for client in (raising, blocking):
        client.flush(20)
    with pytest.raises(SealError, match="there are 2 lines of before that may not be in the log"):
        dropping.flush(20)
    dropping.flush(20)
    dropping.close()
    assert said[-1].endswith("took no lines for a while: there are 2 lines that were dropped")
    found = entries(site)
    assert sorted(found) == sorted(
        b"%s %d" % (name, number) for name, count in [(b"dropping", 3), (b"raising", 3), (b"blocking", 4)]
        for number in range(count)
    )  # fmt: skip


def test_the_end_of_a_client_is_bounded_and_says_how_much_is_missing(agents, connect):
    agent = agents()
    agent.kill()
    client, _ = connect(agent)
    client.write("one")
    client.write("two")
    with pytest.raises(SealError, match=r"there are 2 lines that unix:.* has not acknowledged"):
        client.close(0.1)
    with pytest.raises(SealError, match="the client is closed"):
        client.write("three")


def test_a_line_that_is_longer_than_the_agent_takes_becomes_several(site, agents, connect):
    agent = agents("--max-line", "100").listening()
    client, _ = connect(agent)
    client.write(b"a" * 250)
    client.write(b"short")
    client.flush(20)
    client.write(b"b" * 250)
    client.flush(20)
    assert entries(site) == [b"a" * 100, b"a" * 100, b"a" * 50, b"short", b"b" * 100, b"b" * 100, b"b" * 50]


def test_an_agent_that_forgot_its_clients_leaves_lines_in_doubt_which_are_reported(site, agents, connect):
    agent = agents().listening()
    client, said = connect(agent)
    client.write("one")
    client.flush(20)
    agent.process.send_signal(signal.SIGSTOP)
    client.write("in doubt")
    agent.kill()
    shutil.rmtree(site.path / "state")
    agents().listening()
    with pytest.raises(SealError, match="there is 1 line of before that may not be in the log"):
        client.flush(20)
    client.write("two")
    client.flush(20)
    assert any("there is 1 line of process" in each for each in said)
    assert [line for line in entries(site) if line != b"in doubt"] == [b"one", b"two"]


def test_a_forked_process_connects_by_itself_and_sends_nothing_of_its_parent(site, agents, connect):
    agent = agents().listening()
    client, _ = connect(agent)
    client.write("before")
    agent.process.send_signal(signal.SIGSTOP)
    client.write("unacknowledged")
    children = []
    for number in range(4):
        if (pid := os.fork()) == 0:
            status = 1
            with contextlib.suppress(BaseException):
                client.write(f"child {number}")
                client.close(20)
                status = 0
            os._exit(status)
        children.append(pid)
    client.write("after")
    agent.process.send_signal(signal.SIGCONT)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4
    client.flush(20)
    found = entries(site)
    assert [line for line in found if not line.startswith(b"child")] == [b"before", b"unacknowledged", b"after"]
    assert sorted(line for line in found if line.startswith(b"child")) == [b"child %d" % number for number in range(4)]


def test_a_signal_handler_may_write_in_the_middle_of_a_line(site, agents, connect):
    agent = agents().listening()
    client, _ = connect(agent)
    count = itertools.count()

    def hear(*_):
        client.write(f"signal {next(count)}")

    before = signal.signal(signal.SIGALRM, hear)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        for number in range(20_000):
            client.write(f"main {number}")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    client.flush(60)
    found = entries(site)
    assert [line for line in found if line.startswith(b"main")] == [b"main %d" % number for number in range(20_000)]
    heard = next(count)
    assert heard > 10
    # One handler may interrupt another.
    assert {line for line in found if line.startswith(b"signal")} == {b"signal %d" % number for number in range(heard)}
    assert len(found) == 20_000 + heard


def write_many(path, name, count):
    with tallystick.connect(f"unix:{path}") as client:
        for number in range(count):
            client.write(b"%s %d" % (name, number))
        client.flush(120)


def test_lines_of_eight_processes_are_there_once_and_in_the_order_of_each(site, agents):
    agent = agents().listening()
    count = int(os.environ.get("TALLYSTICK_AGENT_LINES", "3000"))
    spawning = multiprocessing.get_context("fork")
    writers = [spawning.Process(target=write_many, args=(agent.path, b"p%d" % each, count)) for each in range(8)]
    for each in writers:
        each.start()
    for each in writers:
        each.join(60 + count / 50)
        each.kill()  # one that does not end
        assert each.exitcode == 0
    agent.end()
    found = entries(site)
    assert len(found) == 8 * count
    for each in range(8):
        mine = b"p%d " % each
        assert [line for line in found if line.startswith(mine)] == [mine + b"%d" % number for number in range(count)]
    assert site.verdict() == ("ok", [])


KILLED = """
import sys, tallystick
client = tallystick.connect("unix:" + sys.argv[1])
number = 0
while True:
    for _ in range(50):
        client.write(f"{sys.argv[2]} {number}")
        number += 1
    client.flush()
    print(number, flush=True)
"""


def test_agents_and_clients_are_killed_at_random_and_nothing_acknowledged_is_lost_or_doubled(site, agents):
    chance = random.Random(11)
    agent, acknowledged = agents().listening(), {}

    def start(name):
        return Started([sys.executable, "-c", KILLED, agent.path, name], stdout=subprocess.PIPE)

    def killed(name, process):
        process.kill()
        numbers = process.communicate(timeout=60)[0].split()
        acknowledged[name] = int(numbers[-1]) if numbers else 0

    running = {f"c{each}": start(f"c{each}") for each in range(3)}
    for turn in range(KILLS):
        time.sleep(chance.uniform(0.2, 0.5))
        agent.kill()
        name = chance.choice(list(running))
        killed(name, running.pop(name))
        agent = agents().listening()
        running[f"n{turn}"] = start(f"n{turn}")
    time.sleep(0.5)
    for name, process in running.items():
        killed(name, process)
    agent.end()
    found = entries(site)
    assert sum(acknowledged.values()) > 0
    for name, count in acknowledged.items():
        mine = [int(line.split()[1]) for line in found if line.startswith(name.encode() + b" ")]
        assert mine == list(range(len(mine))), "a line is lost, doubled, or not in its place"
        assert len(mine) >= count
    assert site.verdict()[0] == "ok"


def test_only_addresses_that_acknowledge_are_taken():
    for address in ("tcp:127.0.0.1:1", "udp:127.0.0.1:1", "syslog+unix:/run/s", "unixgram:/run/s"):
        with pytest.raises(FormatError, match="nobody is acknowledged there"):
            tallystick.connect(address)
    with pytest.raises(FormatError, match="both ends show a certificate"):
        tallystick.connect("tls:localhost:1")


@pytest.mark.parametrize(
    "answer",
    [b"\xff\xff\xff\xff", b"GET / HTTP/1.1\r\n\r\n", frame(WELCOME, bytes(32)), frame(0x82, b"\1" + bytes(15))],
)
def test_what_does_not_speak_the_protocol_gets_nothing_and_is_reported(tmp_path, answer):
    path, said = str(tmp_path / "s"), []
    os.chmod(tmp_path, 0o700)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        client = tallystick.connect(f"unix:{path}", on_trouble=said.append)
        client.write("secret")
        listening.settimeout(20)
        way, _ = listening.accept()
        with way:
            way.sendall(answer)
            until(lambda: said)
            assert b"secret" not in way.recv(1000)
        with pytest.raises(SealError):
            client.close(0)
    assert "it does not speak the protocol" in said[0]


def test_a_socket_in_a_directory_that_others_may_write_to_is_not_trusted(tmp_path):
    os.chmod(tmp_path, 0o777)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        said = []
        client = tallystick.connect(f"unix:{tmp_path}/s", on_trouble=said.append)
        client.write("one")
        until(lambda: said)
        with pytest.raises(SealError):
            client.close(0)
    assert "can be written by others, who could put a socket of their own there" in said[0]


def by_tls(agents, certificates, name, port):
    files = ("--tls-cert", f"{certificates}/{name}.pem", "--tls-key", f"{certificates}/{name}.key")
    place = f"unix:{certificates}/s"
    return agents("--listen", f"tls:localhost:{port}", "--listen", place, *files, "--tls-ca", f"{certificates}/ca.pem")


def test_by_tls_lines_survive_a_restart_of_the_agent_and_go_to_nobody_else(site, agents, certificates):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    files = {"tls_cert": "client.pem", "tls_key": "client.key", "tls_ca": "ca.pem"}
    said = []
    options = {name: str(certificates / file) for name, file in files.items()}
    client = tallystick.connect(f"tls:localhost:{port}", on_trouble=said.append, **options)
    agent = by_tls(agents, certificates, "elsewhere", port).listening()
    client.write("one")
    until(lambda: said)
    assert "certificate" in said[0]
    agent.end()
    assert entries(site) == []
    agent = by_tls(agents, certificates, "localhost", port).listening()
    client.flush(20)
    agent.kill()
    by_tls(agents, certificates, "localhost", port).listening()
    for number in range(2000):
        client.write(str(number))
    client.close(20)
    assert entries(site) == [b"one", *(b"%d" % number for number in range(2000))]

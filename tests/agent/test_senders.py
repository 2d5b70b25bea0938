"""The agent seals what programs send that know nothing of it: every message once, as it came, and in order."""

import contextlib
import json
import logging
import logging.handlers
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import tallystick
from tallystick.agent.address import Address
from tallystick.agent.clients import Clients
from tallystick.agent.limits import Limits, Reports
from tallystick.agent.loop import Loop
from tallystick.agent.messages import Room
from tallystick.agent.sockets import made_at
from tests.agent.client import entries, send
from tests.processes import Started
from tests.servers import until


def write_lines(path, name, count):
    with socket.socket(socket.AF_UNIX) as way:
        way.connect(path)
        for number in range(count):
            way.sendall(b"%s %d\n" % (name, number))


def test_lines_of_several_processes_are_there_once_and_in_the_order_of_each(site, agents):
    agent = agents().listening()
    senders = [multiprocessing.Process(target=write_lines, args=(agent.path, b"p%d" % each, 5000)) for each in range(4)]
    for each in senders:
        each.start()
    for each in senders:
        each.join(60)
        each.kill()  # one that does not end
        assert each.exitcode == 0
    agent.end()
    found = entries(site)
    assert len(found) == 20000
    for each in range(4):
        assert [line for line in found if line.startswith(b"p%d " % each)] == [
            b"p%d %d" % (each, n) for n in range(5000)
        ]
    assert site.verdict() == ("ok", [])


def test_messages_of_logger_are_sealed_as_they_come(site, agents):
    if shutil.which("logger") is None:
        pytest.skip("logger(1) is not here")
    stream, datagram = str(site.path / "stream"), str(site.path / "datagram")
    agent = agents("--listen", f"syslog+unix:{stream}", "--listen", f"syslog+unixgram:{datagram}")
    agent.listening(stream)
    for way in (["-u", stream], ["-u", datagram]):
        subprocess.run(["logger", *way, "-t", "pay", "--rfc5424", "user=7 login"], check=True)
        subprocess.run(["logger", *way, "-t", "pay", "user=7 logout"], check=True)
    agent.end()
    found = entries(site)
    assert len(found) == 4
    assert sum(line.startswith(b"<13>1 ") and line.endswith(b"user=7 login") for line in found) == 2
    assert sum(line.startswith(b"<13>") and line.endswith(b"pay: user=7 logout") for line in found) == 2


def test_messages_of_pythons_handler_are_sealed_by_datagram_and_by_counted_octets(site, agents):
    datagram = str(site.path / "log")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    agent = agents("--listen", f"syslog+tcp:127.0.0.1:{port}", "--listen", f"syslog+unixgram:{datagram}")
    agent.listening(datagram, socket.SOCK_DGRAM)
    handler = logging.handlers.SysLogHandler(datagram)
    handler.append_nul = False
    handler.emit(logging.makeLogRecord({"msg": "one\ntwo", "levelno": logging.INFO}))
    handler.close()
    with socket.create_connection(("127.0.0.1", port)) as way:
        way.sendall(b"9 <14>three10 <14>fo\nur")
        way.sendall(b"!<14>five\n")
    agent.end()
    assert entries(site) == [b"<12>one\\ntwo", b"<14>three", b"<14>fo\\nur!", b"<14>five"]


def test_packets_and_datagrams_of_the_network_are_lines(site, agents):
    packets = str(site.path / "packets")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    agent = agents("--listen", f"udp:127.0.0.1:{port}", "--listen", f"unixpacket:{packets}")
    agent.listening(packets, socket.SOCK_SEQPACKET)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as way:
        way.connect(packets)
        way.send(b"one\nmore")
        way.send(b"two")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        way.sendto(b"three\n", ("127.0.0.1", port))
        agent.until(lambda: b"three" in site.read())
    agent.end()
    assert sorted(entries(site)) == [b"one\\nmore", b"three", b"two"]


@pytest.mark.parametrize("options", [(), ("--origin",)], ids=["plain", "origin"])
def test_a_message_is_whole_however_long_one_the_kernel_sends(site, agents, options):
    ways = {"unixgram": socket.SOCK_DGRAM, "unixpacket": socket.SOCK_SEQPACKET}
    listen = [word for kind in ways for word in ("--listen", f"{kind}:{site.path}/{kind}")]
    agent = agents(*options, *listen).listening(f"{site.path}/unixgram", socket.SOCK_DGRAM)
    sent = 0
    for kind, number in ways.items():
        with socket.socket(socket.AF_UNIX, number) as way:
            way.connect(f"{site.path}/{kind}")
            with pytest.raises(OSError, match="too long"):  # of a longer one the sender hears
                way.send(b"x" * 5_000_000)
            way.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1_000_000)
            size = min(way.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) - 1000, 400_000)
            assert size > 2**18
            way.send(b"x" * size)
            sent += size
            agent.until(lambda: site.read().count(b"x") >= sent)  # noqa: B023
    agent.end()
    assert sum(line.rpartition(b" ")[2].count(b"x") for line in entries(site)) == sent
    assert site.verdict() == ("ok", [])


def test_an_empty_packet_is_an_empty_line_and_does_not_end_its_connection(site, agents):
    packets = f"{site.path}/packets"
    agent = agents("--listen", f"unixpacket:{packets}").listening(packets, socket.SOCK_SEQPACKET)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as way:
        way.connect(packets)
        for data in (b"one", b"", b"two"):
            way.send(data)
    agent.until(lambda: b"two" in site.read())
    agent.end()
    assert entries(site) == [b"one", b"", b"two"]


@pytest.mark.parametrize("stamps", [False, True])
@pytest.mark.parametrize("kind", ["unixgram", "unixpacket"])
def test_a_message_for_which_there_is_no_room_is_cut_and_the_log_says_so(site, kind, stamps):
    address = Address.parse(f"{kind}:{site.path}/s")
    made = made_at(address, mode=0o600)
    with tallystick.open("payments", output=site.path / "audit.log", store=f"file:{site.store}") as log:
        loop = Loop(log, Limits(), Reports(print), Clients(8, 8), None)
        loop.room, loop.stamps = Room(1000), stamps
        loop.listen(made, address)
        loop.thread.start()
        with socket.socket(socket.AF_UNIX, made.type) as way:
            way.connect(address.place)
            way.send(b"x" * 3000)
        loop.leave()
        loop.thread.join(20)
    made.close()
    (line,) = entries(site)
    assert line.endswith(b"x" * 1000)
    assert "sent a message of 3000 bytes; only the first 1000 are here" in json.dumps(site.report())


def test_datagrams_for_which_the_kernel_had_no_room_are_counted_in_the_log_and_in_status(site, agents):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    agent = agents("--listen", f"udp:127.0.0.1:{port}", "--listen", f"unix:{site.path}/s").listening()

    def flood(count):
        """Send more than fits while the agent stands still."""
        os.kill(agent.process.pid, signal.SIGSTOP)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
            for number in range(count):
                way.sendto(b"%05d" % number + b"x" * 1000, ("127.0.0.1", port))
        os.kill(agent.process.pid, signal.SIGCONT)

    def dropped():
        (found,) = json.loads(site("status", "payments", "--format", "json").out)
        return found["dropped"] or 0

    flood(20_000)
    agent.until(lambda: dropped() and len(entries(site)) + dropped() == 20_000)
    first = dropped()
    agent.process.send_signal(signal.SIGUSR2)  # what the program before has counted is not counted again
    agent.until(lambda: b" closed " in site.read())
    flood(10_000)
    agent.until(lambda: len(entries(site)) + first + dropped() == 30_000)
    second = dropped()
    assert "loses datagrams, for which the kernel has no room" in agent.end()
    said = json.dumps(site.report())
    assert f"{first} lines were dropped from" in said
    assert f"{second} lines were dropped from" in said


def test_a_message_that_is_too_long_stands_in_several_lines_and_the_log_says_so(site, agents):
    agent = agents("--max-line", "1k").listening()
    send(agent.path, b"x" * 2500 + b"\nshort\n")
    agent.end()
    assert [len(line) for line in entries(site)] == [1000, 1000, 500, 5]
    report = site.report()
    assert report["verdict"] == "ok"
    assert f"process {os.getpid()} of uid {os.getuid()} sent a message of 2500 bytes" in json.dumps(report)


def test_with_origin_each_line_says_who_sent_it_and_the_log_says_that_first(site, agents):
    datagram = str(site.path / "datagram")
    path = str(site.path / "s")
    agent = agents("--origin", "--listen", f"unix:{path}", "--listen", f"unixgram:{datagram}").listening()
    me = f"uid={os.getuid()} gid={os.getgid()} pid={os.getpid()}"
    send(path, b'[uid=0] plain\n{"a":1}\n{"origin":"root"}\n{"a":1}{}\n')
    agent.until(lambda: b"plain" in site.read())
    send(datagram, b"by datagram", socket.SOCK_DGRAM)
    agent.end()
    plain, *objects, last = entries(site)
    assert plain.startswith(f"[{me} exe={os.path.realpath(sys.executable)}".encode())
    assert plain.endswith(b"] [uid=0] plain")
    assert last == f"[{me}] by datagram".encode()
    found = [json.loads(each) for each in objects]
    assert all(each["origin"]["pid"] == os.getpid() for each in found)
    assert [each.get("a", each.get("line")) for each in found] == [1, '{"origin":"root"}', '{"a":1}{}']
    lines = site.read().splitlines()
    assert b" notice " in lines[1]
    assert b" origin each+line" in lines[1]
    agents("--origin", "--listen", f"unix:{path}").listening().end()
    lines = site.read().splitlines()
    opened = [at for at, line in enumerate(lines) if line.startswith(b"tallystick/v1 open ")]
    assert len(opened) == 2
    assert all(b" origin each+line" in lines[at + 1] for at in opened)
    assert site.verdict() == ("ok", [])


CONTAINER = "0123456789abcdef" * 4
IN_GROUP = """
import os, socket, sys
with open(f"{sys.argv[1]}/cgroup.procs", "w") as file:
    file.write(str(os.getpid()))
way = socket.socket(socket.AF_UNIX)
way.connect(sys.argv[2])
way.send(sys.argv[3].encode() + b"\\n")
way.recv(1)
"""


@pytest.fixture
def groups(tmp_path):
    """The control groups of systemd's hierarchy; those that a test made are removed."""
    place = tmp_path / "groups"
    place.mkdir()
    if subprocess.run(
        ["mount", "-t", "cgroup", "-o", "none,name=systemd", "none", place], capture_output=True, check=False
    ).returncode:
        pytest.skip("control groups cannot be mounted here")
    made = []

    def make(path):
        for at in range(1, len(parts := path.split("/")) + 1):
            made.append(place.joinpath(*parts[:at]))
            made[-1].mkdir(exist_ok=True)
        return made[-1]

    yield make
    for each in sorted(set(made), reverse=True):
        until(lambda each=each: not (each / "cgroup.procs").read_text(), "an empty group", 20)
        each.rmdir()
    subprocess.run(["umount", place], check=True)


def test_the_origin_names_unit_and_container_of_a_sender_while_it_lives(site, agents, groups):
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as other:
        one.bind("")  # a kernel that has no pidfd of a peer leaves them out
        one.listen()
        other.connect(one.getsockname())
        try:
            os.close(other.getsockopt(socket.SOL_SOCKET, 77))
        except OSError:
            pytest.skip("the kernel has no SO_PEERPIDFD")
    agent = agents("--origin").listening()
    senders = []
    for number, path in enumerate(("shop-test.slice/payments.service", f"docker-test/{CONTAINER}")):
        words = [sys.executable, "-c", IN_GROUP, groups(path), agent.path, f"line {number}"]
        senders.append(Started(words))
        agent.until(lambda number=number: b"line %d" % number in site.read())
    for each in senders:
        each.kill()
        each.wait(60)
    agent.end()
    first, second = entries(site)
    assert b" unit=payments.service] line 0" in first
    assert b" container=" + CONTAINER.encode() + b"] line 1" in second


def test_a_hangup_reopens_the_file_and_the_next_start_goes_on(site, agents):
    agent = agents().listening()
    send(agent.path, b"one\n")
    agent.until(lambda: b"one" in site.read())
    os.rename(site.path / "audit.log", site.path / "audit.log.old")
    agent.process.send_signal(signal.SIGHUP)
    send(agent.path, b"two\n")
    agent.until(lambda: (site.path / "audit.log").exists() and b"two" in site.read())
    agent.end()
    agent = agents().listening()
    send(agent.path, b"three\n")
    agent.end()
    assert entries(site) == [b"two", b"three"]
    assert site.verdict("audit.log", "audit.log.old") == ("ok", [])


def sent(path, data):
    """Send bytes, where somebody listens by now: a socket has its name before that."""
    with contextlib.suppress(ConnectionRefusedError, FileNotFoundError):
        send(path, data)
        return True
    return False


def test_systemd_hands_sockets_over_and_hears_that_the_agent_is_ready(site, agents):
    if shutil.which("systemd-socket-activate") is None:
        pytest.skip("systemd-socket-activate is not here")
    notes = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notes.bind(str(site.path / "notify"))
    notes.settimeout(20)
    path = str(site.path / "s")

    def start(*arguments, **more):
        command = [
            "systemd-socket-activate", "-E", f"NOTIFY_SOCKET={site.path}/notify", "-E", "WATCHDOG_USEC=600000",
            "-E", f"HOME={site.path}",
            "-E", f"TALLYSTICK_STORE={site.store}", "-l", path, f"{site.bin}/tallystick", *map(str, arguments),
        ]  # fmt: skip
        return Started(command, cwd=site.path, env=site.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    agent = agents(start=start)
    agent.until(lambda: sent(path, b"came before it started\n"))
    assert notes.recv(4096).startswith(b"READY=1")
    for _ in range(3):
        assert notes.recv(4096) == b"WATCHDOG=1"
    agent.until(lambda: b"before it started" in site.read())
    agent.end()
    while (note := notes.recv(4096)) == b"WATCHDOG=1":
        pass
    assert note.startswith(b"STOPPING=1")
    notes.close()
    assert os.path.exists(path), "the socket is systemd's"
    assert entries(site) == [b"came before it started"]


def test_the_socket_is_made_safely(site, agents):
    agent = agents().listening()
    assert oct(os.stat(agent.path).st_mode & 0o777) == "0o600"
    second = site("agent", "payments", "-o", "audit.log", "--listen", f"unix:{agent.path}")
    assert second.status == 4
    agent.kill()
    assert os.path.exists(agent.path)
    agent = agents().listening()  # the socket that the killed one left is removed
    agent.end()
    assert not os.path.exists(agent.path)
    (site.path / "file").write_text("mine")
    refused = site("agent", "payments", "-o", "audit.log", "--listen", f"unix:{site.path}/file")
    assert (refused.status, (site.path / "file").read_text()) == (4, "mine")
    assert "is no socket of this user" in refused.err
    os.mkdir(site.path / "open")
    os.chmod(site.path / "open", 0o777)
    refused = site("agent", "payments", "-o", "audit.log", "--listen", f"unix:{site.path}/open/s")
    assert (refused.status, "can be written by others" in refused.err) == (4, True)


def test_one_agent_writes_several_logs_that_a_file_names(site):
    site.init("audit")
    (site.path / "agent.toml").write_text(f"""
        [[log]]
        name = "payments"
        output = "payments.log"
        listen = ["unix:{site.path}/p", "unixgram:{site.path}/q"]
        state = "{site.path}/state"
        [[log]]
        name = "audit"
        output = "audit.log"
        listen = ["unix:{site.path}/a"]
        state = "{site.path}/state"
        origin = true
        rotate-size = "1MB"
        """)
    process = site.start("agent", "--config", "agent.toml")
    try:
        while not os.path.exists(site.path / "a"):
            assert process.poll() is None, process.stderr.read()
        send(str(site.path / "p"), b"one\n")
        send(str(site.path / "a"), b"two\n")
        process.terminate()
        assert (process.wait(20), process.stderr.read()) == (0, b"")
    finally:
        process.kill()
        process.communicate(timeout=60)
    assert entries(site, "payments.log") == [b"one"]
    assert entries(site)[0].endswith(b"] two")
    (site.path / "agent.toml").write_text('[[log]]\nname = "payments"\nlisten = "unix:/s"\non-fire = 1\n')
    refused = site("agent", "--config", "agent.toml")
    said = "agent.toml: log 'payments': No such option"
    assert (refused.status, said in refused.err) == (2, True), refused.err


RESTARTS = """
for start in 1 2 3 4; do
    sh -c 'export LISTEN_PID=$$; exec "$@"' - "$@" || exit
done
"""


def test_no_datagram_is_lost_while_the_agent_restarts_under_a_socket_that_a_service_manager_holds(site, agents):
    if shutil.which("systemd-socket-activate") is None:
        pytest.skip("systemd-socket-activate is not here")
    path = str(site.path / "held")

    def start(*arguments, **more):
        places = [word for name in ("HOME", "TALLYSTICK_STORE") for word in ("-E", f"{name}={site.env[name]}")]
        command = ["systemd-socket-activate", "-d", *places, "-l", path, "sh", "-c", RESTARTS, "-"]
        return Started(
            [*command, f"{site.bin}/tallystick", *map(str, arguments)], cwd=site.path, env=site.env,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    manager = agents("--listen", f"unixgram:{path}", start=start)
    manager.until(lambda: os.path.exists(path))
    sent, over = [], threading.Event()

    def send():
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as way:
            way.settimeout(20)
            way.connect(path)
            while not over.wait(0.0002):
                way.send(b"%d" % len(sent))
                sent.append(b"%d" % len(sent))

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    children = Path(f"/proc/{manager.process.pid}/task/{manager.process.pid}/children")

    def sealed(more_than):
        return (site.path / "audit.log").exists() and len(entries(site)) > more_than

    manager.until(lambda: sealed(0))
    for _ in range(3):
        agent = children.read_text()
        os.kill(int(agent), signal.SIGTERM)
        manager.until(lambda agent=agent: children.read_text() != agent)
        before = len(entries(site))
        manager.until(lambda before=before: sealed(before))  # by the next one, which handles its signal by now
    over.set()
    sender.join(20)
    manager.until(lambda: sealed(len(sent) - 1))
    os.kill(int(children.read_text()), signal.SIGTERM)
    manager.process.communicate(timeout=20)
    assert entries(site) == sent
    assert site.verdict() == ("ok", [])

"""Hostile clients: others are served, memory stays bounded, and who did it is reported."""

import array
import contextlib
import os
import resource
import signal
import socket
import ssl
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import tallystick
from tallystick.agent.address import Address
from tallystick.agent.clients import Clients
from tallystick.agent.journal import Journal
from tallystick.agent.limits import Limits, Reports
from tallystick.agent.loop import Loop
from tallystick.agent.sockets import made_at
from tests.agent.client import (
    ACKNOWLEDGEMENT,
    NEW,
    PREAMBLE,
    Agent,
    Client,
    RefusedError,
    batch,
    entries,
    hello,
    send,
)
from tests.places import OtherUser, Site
from tests.processes import Started

ROOT = Path(__file__).resolve().parents[2]

ME = f"process {os.getpid()} of uid {os.getuid()}"


def memory(agent):
    """Bytes that an agent has in memory; it can be read by root alone, as it must."""
    with open(f"/proc/{agent.process.pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def talk(path):
    way = socket.socket(socket.AF_UNIX)
    way.settimeout(20)
    way.connect(path)
    return way


@pytest.mark.parametrize(
    "data",
    [
        b"\0telly!!",
        PREAMBLE + b"\xff\xff\xff\xff",
        PREAMBLE + struct.pack(">IB", 1, 9),
        PREAMBLE + batch(1, [b"no hello"]),
        PREAMBLE + hello() + batch(0, [b"number 0"]),
        PREAMBLE + hello() + batch(1, [b"x"])[:-1] + b"yz" * 20,
        PREAMBLE + hello() + struct.pack(">IBQI", 14, 2, 1, 2**32 - 1) + b"x",
    ],
)
def test_bytes_that_are_no_frames_are_refused_and_reported(site, agents, data):
    agent = agents().listening()
    with talk(agent.path) as way:
        way.sendall(data)
        received = b""
        while more := way.recv(1000):
            received += more
    assert b"\x83" in received
    good = Client(agent.path).connect()
    good.send([b"others are served"])
    good.wait()
    good.close()
    assert f"{ME} was refused by unix:{agent.path}" in agent.end()
    assert b"others are served" in entries(site)


def test_half_messages_are_bounded_all_together_and_the_longest_is_cut_off(site, agents):
    agent = agents("--max-line", "2MB").listening()
    ways = [talk(agent.path) for _ in range(60)]
    for way in ways:
        way.settimeout(0.2)
        with contextlib.suppress(OSError):
            way.sendall(b"x" * 1_900_000)
    send(agent.path, b"others are served\n")
    agent.until(lambda: b"others are served" in site.read())
    assert memory(agent) < 300_000_000
    for way in ways:
        way.close()
    assert "bytes of a message without end" in agent.end()
    assert site.verdict()[0] == "ok"


def test_a_line_without_end_is_sealed_in_parts(site, agents):
    agent = agents("--max-line", "64k").listening()
    with talk(agent.path) as way:
        for _ in range(40):
            way.sendall(b"x" * 2**18)
        before = memory(agent)
        for _ in range(40):
            way.sendall(b"x" * 2**18)
        assert memory(agent) < before + 20_000_000
    agent.end()
    assert sum(map(len, entries(site))) == 80 * 2**18


def test_a_client_that_reads_nothing_is_owed_one_acknowledgement(site, agents):
    agent = agents().listening()
    with talk(agent.path) as way:
        way.sendall(PREAMBLE + hello())
        before = memory(agent)
        for number in range(1, 20_001):
            way.sendall(batch(number, [b"x"]))
        agent.until(lambda: len(entries(site)) == 20_000)
        assert memory(agent) < before + 30_000_000
        way.settimeout(2)
        received = b""
        while not received.endswith(struct.pack(">BQ", 1, 20_000) + received[-7:]):
            received += way.recv(2**16)
        assert bytes([ACKNOWLEDGEMENT]) in received
    agent.end()


def test_descriptors_that_are_passed_along_are_closed(site, agents):
    agent = agents().listening()
    with talk(agent.path) as way:
        for number in range(50):
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]).tobytes())
            way.sendmsg([b"line %d\n" % number], [rights])
        agent.until(lambda: len(entries(site)) == 50)
        assert len(os.listdir(f"/proc/{agent.process.pid}/fd")) < 40
    agent.end()


def test_connections_of_one_peer_are_limited_and_all_of_2000_fit_into_200_mb(site, agents):
    agent = agents("--max-peer", "2000", preexec_fn=None).listening()
    clients = [Client(agent.path) for _ in range(2000)]
    for each in clients:
        each.connect()
    for each in clients:
        each.send([b"one"])
    for each in clients:
        each.wait()
    assert memory(agent) < 200_000_000
    with talk(agent.path) as way:
        assert way.recv(1) == b""
    for each in clients:
        each.close()
    said = agent.end()
    assert f"has too many connections to unix:{agent.path}" in said
    assert "1 connection beyond a limit, closed before anything was read" in str(site.report())
    assert len(entries(site)) == 2000


def test_a_rate_slows_a_sender_down_and_loses_nothing(site, agents):
    agent = agents("--max-rate", "200kB").listening()
    send(agent.path, b"x" * 99 + b"\n")
    with talk(agent.path) as way:
        way.sendall((b"y" * 999 + b"\n") * 400)
    send(agent.path, b"others are served\n")
    agent.until(lambda: len(entries(site)) == 402)
    assert entries(site)[-1] != b"others are served"
    agent.end()


def test_by_tls_both_ends_show_a_certificate_and_its_name_is_the_clients(site, agents, certificates):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    files = ("--tls-cert", "localhost.pem", "--tls-key", "localhost.key", "--tls-ca", "ca.pem")
    agent = agents(
        "--origin", "--listen", f"tls:127.0.0.1:{port}", "--listen", f"unix:{site.path}/s", *files
    ).listening()

    def context(name):
        made = ssl.create_default_context(cafile=certificates / "ca.pem")
        made.check_hostname = False
        if name:
            made.load_cert_chain(certificates / f"{name}.pem", certificates / f"{name}.key")
        return made

    def connected(name):
        way = socket.create_connection(("127.0.0.1", port))
        return context(name).wrap_socket(way)

    for name in (None, "stranger"):
        with contextlib.suppress(ssl.SSLError, ConnectionError), connected(name) as way:
            way.sendall(b"let me in\n")
            assert not way.recv(1)
    with connected("client") as way:
        client = Client("", way=way)
        way.sendall(PREAMBLE + hello())
        client.read()
        client.send([b"by tls"])
        client.wait()
    said = agent.end()
    assert said.count("was refused by tls:127.0.0.1") >= 1
    (entry,) = entries(site)
    assert entry.startswith(b"[tls=client peer=127.0.0.1:")
    assert entry.endswith(b"] by tls")


FLOOD = """
import contextlib, os, socket, sys
stream, datagrams = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
stream.connect(sys.argv[1])
datagrams.connect(sys.argv[2])
datagrams.setblocking(False)
while True:
    stream.send((b"flood" * 40 + b"\\n") * 300)
    with contextlib.suppress(BlockingIOError):
        while True:
            datagrams.send(b"")
    with contextlib.suppress(OSError):
        socket.socket(socket.AF_UNIX).connect(sys.argv[1])
"""


def test_others_are_served_in_a_flood_of_lines_datagrams_and_connections(site, agents):
    listen = ("--listen", f"unix:{site.path}/s", "--listen", f"unixgram:{site.path}/d")
    agent = agents(*listen).listening()
    client = Client(agent.path).connect()
    flood = subprocess.Popen([sys.executable, "-c", FLOOD, agent.path, f"{site.path}/d"])
    try:
        agent.until(lambda: b"flood" in site.read())
        for number in range(5):
            client.send([b"others are served %d" % number])
            client.wait()
        assert flood.poll() is None
    finally:
        flood.kill()
        flood.wait(60)
    client.close()
    agent.end()
    assert sum(line.startswith(b"others") for line in entries(site)) == 5


def test_ids_of_an_identity_are_limited_and_one_that_expired_is_never_taken_as_new(site):
    address = Address.parse(f"unix:{site.path}/s")
    made, journal, said = made_at(address, mode=0o600), Journal(str(site.path / "state")), []
    clients = Clients(8, 2)
    journal.load(clients)
    journal.keep(clients)
    with tallystick.open("payments", output=site.path / "audit.log", store=f"file:{site.store}") as log:
        loop = Loop(log, Limits(clients=2), Reports(said.append), clients, journal)
        loop.listen(made, address)
        loop.thread.start()
        try:
            first, second = Client(address.place).connect(), Client(address.place).connect()
            with pytest.raises(RefusedError) as refused:
                Client(address.place).connect()
            assert refused.value.args == (6, 0)
            first.send([b"one"])
            first.wait()
            first.close()
            third = Client(address.place)
            while third.id == NEW:  # until the loop has heard that the first one ended
                with contextlib.suppress(RefusedError):
                    third.connect()
            with pytest.raises(RefusedError) as refused:
                first.connect()
            assert refused.value.args == (2, 0)
            second.close()
            third.close()
        finally:
            loop.leave()
            loop.thread.join(60)
    made.close()
    journal.close()
    assert entries(site) == [b"one"]
    assert f"{ME} was refused by {address}: too many clients of this identity" in said


STRANGER = """
import os, sys
from tests.agent.client import Client, RefusedError
os.setgid(54322)
os.setuid(54322)
try:
    Client(sys.argv[1], id=bytes.fromhex(sys.argv[2])).connect()
except RefusedError as error:
    print(error.args)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_an_id_is_of_no_use_to_another_user(crossroads):
    site = Site(crossroads)
    site.init()
    agent = Agent(site, "--mode", "0666").listening()
    try:
        client = Client(agent.path).connect()
        client.send([b"one"])
        words = [sys.executable, "-c", STRANGER, agent.path, client.id.hex()]
        said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60).stdout
        assert said == "(2, 0)\n"
        client.wait()
        client.close()
        assert "of uid 54322 was refused" in agent.end()
    finally:
        agent.kill()


INTRUDER = """
import ctypes, os, sys
pid, store, state = int(sys.argv[1]), sys.argv[2], sys.argv[3]
refused = 0
own = [f"/proc/{pid}/{name}" for name in ("mem", "maps", "environ", "fd/0")]
for path in (*own, f"{store}/payments", f"{state}/payments/journal"):
    try:
        os.listdir(path) if path.startswith(store) else open(path, "rb").read(1)
    except PermissionError:
        refused += 1
libc = ctypes.CDLL(None, use_errno=True)
refused += libc.ptrace(16, pid, None, None) == -1
place = (ctypes.c_void_p * 2)(ctypes.addressof(ctypes.create_string_buffer(8)), 8)
there = (ctypes.c_void_p * 2)(0x400000, 8)
refused += libc.process_vm_readv(pid, place, 1, there, 1, 0) == -1 and ctypes.get_errno() == 1
print(refused)
"""


@pytest.fixture
def apart(crossroads):
    """An agent of another user, and where it is at home."""
    home = crossroads / "agent"
    home.mkdir()
    os.chown(home, 54321, 54321)
    os.chmod(home, 0o711)
    owner = OtherUser(home, 54321, 54321)
    settings = {"TALLYSTICK_STORE": str(home / "store"), "TALLYSTICK_CUSTODY": f"master-key:{home}/custody/master.key"}
    owner.env |= settings
    assert owner("init", "payments", "--verification-key", "payments.key").status == 0

    def start(*arguments, **more):
        command = [*owner.user, *owner.python, *map(str, arguments)]
        return Started(command, cwd=home, env=owner.env, stderr=subprocess.PIPE, preexec_fn=any_core, **more)

    agent = Agent(owner, "--mode", "0666", start=start).listening()
    yield agent, owner, home
    agent.kill()


def any_core():
    """Let a process leave a core dump, however large."""
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def test_a_user_who_may_send_can_neither_trace_the_agent_nor_read_its_store(apart):
    agent, owner, home = apart
    user = ["setpriv", "--reuid", "54322", "--regid", "54322", "--clear-groups"]
    sends = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({agent.path!r}); s.send(b'line\\n')"
    subprocess.run([*user, owner.python[0], "-c", sends], check=True, cwd="/")
    for who in (user, ["setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups"]):
        words = [*who, owner.python[0], "-c", INTRUDER, str(agent.process.pid), home / "store", home / "state"]
        done = subprocess.run(words, check=True, cwd="/", capture_output=True, text=True)
        # The owner reads its files, and not its memory.
        assert int(done.stdout) == (8 if who is user else 6), who
    agent.end()
    assert b"line tally=" in (home / "audit.log").read_bytes()


def test_an_agent_that_crashes_leaves_no_core_dump(apart, tmp_path):
    other = Started(["sleep", "60"], cwd=tmp_path, preexec_fn=any_core)
    dumped = []
    for process in (other, apart[0].process):
        os.kill(process.pid, signal.SIGABRT)
        _, status = os.waitpid(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        dumped.append(os.WCOREDUMP(status))
    if not dumped[0]:
        pytest.skip("no program leaves core dumps here")
    assert not dumped[1]

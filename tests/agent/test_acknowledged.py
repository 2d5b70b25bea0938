"""Nothing that was acknowledged is lost or doubled (spec/agent.md section 3)."""

import contextlib
import hashlib
import os
import socket
import threading
import time

import pytest

from tests.agent.client import NEW, PREAMBLE, Client, RefusedError, batch, entries, hello
from tests.places import limited


def refused(client):
    while True:
        try:
            client.hear()
        except RefusedError as error:
            return error.args


@pytest.mark.parametrize("state", [1, 2])
def test_an_acknowledgement_names_number_state_and_position(site, agents, state):
    agent = agents().listening()
    client = Client(agent.path, state=state).connect()
    client.send([b"one", b"two\nmore"])
    client.wait()
    assert (client.through, client.at) == (2, (1, 0, 2))
    client.send([b"three"])
    client.wait()
    assert client.at == (1, 0, 3)
    client.close()
    agent.end()
    assert entries(site) == [b"one", b"two\\nmore", b"three"]


def test_a_resend_is_sealed_once_and_a_conflict_is_refused(site, agents):
    agent = agents().listening()
    client = Client(agent.path).connect()
    client.send([b"one", b"two"])
    client.wait()
    client.connect()
    client.way.sendall(batch(1, [b"one", b"two", b"three"]))
    client.next = 4
    client.wait()
    client.way.sendall(batch(3, [b"another"]))
    assert refused(client) == (3, 3)
    client.connect()
    client.way.sendall(batch(5, [b"five"]))
    assert refused(client) == (4, 5)
    assert "another line has this number" in agent.end()
    assert entries(site) == [b"one", b"two", b"three"]


def test_ids_are_the_agents_and_survive_it(site, agents):
    agent = agents().listening()
    client = Client(agent.path).connect()
    assert client.id != NEW
    client.send([b"one"])
    client.wait()
    agent.end()
    agent = agents().listening()
    assert client.connect().through == 1
    stranger = Client(agent.path, id=b"x" * 16)
    with pytest.raises(RefusedError) as error:
        stranger.connect()
    assert error.value.args == (2, 0)
    other = Client(agent.path, id=client.id).connect()
    assert refused(client) == (8, 0)
    other.next = 2
    other.send([b"two"])
    other.wait()
    agent.end()
    assert entries(site) == [b"one", b"two"]


def test_after_a_restart_of_the_machine_unsynced_clients_are_refused_and_not_taken_as_new(site, agents):
    agent = agents().listening()
    client = Client(agent.path).connect()
    client.send([b"one"])
    client.wait()
    agent.kill()
    path = site.path / "state" / "payments" / "clients"
    data = bytearray(path.read_bytes()[:-32])
    data[16:32] = bytes(16)  # the boot in which it was written
    path.write_bytes(data + hashlib.sha256(data).digest())
    agent = agents().listening()
    with pytest.raises(RefusedError) as error:
        client.connect()
    assert error.value.args == (2, 0)
    assert "the machine was restarted" in agent.end()


def test_without_room_on_the_disk_clients_wait_and_nothing_is_lost(site, agents):
    agent = agents(preexec_fn=limited(20_000)).listening()
    client = Client(agent.path).connect()
    lines = [b"%04d " % number + b"x" * 95 for number in range(400)]

    def keep_on():
        client.send(lines)
        with contextlib.suppress(OSError):
            client.wait()

    sender = threading.Thread(target=keep_on)
    sender.start()
    agent.until(lambda: (site.path / "audit.log").exists() and len(site.read()) > 15_000)
    time.sleep(0.2)
    assert client.through == 0
    agent.kill()
    sender.join(60)
    assert not sender.is_alive()
    agent = agents().listening()
    client.connect()
    client.wait()
    agent.end()
    assert entries(site) == lines
    assert site.verdict() == ("ok", ["torn line", "unclean end"]) or site.verdict() == ("ok", ["unclean end"])


@pytest.mark.parametrize("durability", ["sync", "sync-each"])
def test_a_journal_on_the_disk_serves_as_well(site, agents, durability):
    agent = agents("--durability", durability).listening()
    client = Client(agent.path).connect()
    client.send([b"one"])
    client.wait()
    agent.kill()
    agent = agents("--durability", durability).listening()
    assert client.connect().through == 1
    agent.end()


def test_plain_tcp_acknowledges_nothing(site, agents):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    agent = agents("--listen", f"tcp:127.0.0.1:{port}", "--listen", f"unix:{site.path}/s").listening()
    with socket.create_connection(("127.0.0.1", port)) as way:
        way.sendall(PREAMBLE + hello() + b"\n")
        way.shutdown(socket.SHUT_WR)
        assert way.recv(100) == b""
    agent.end()


def test_a_directory_that_others_may_read_and_a_damaged_journal_are_refused(site, agents):
    agents().listening().end()
    clients = site.path / "state" / "payments" / "clients"
    words = ("agent", "payments", "-o", "audit.log", "--state", site.path / "state", "--listen", f"unix:{site.path}/s")
    clients.write_bytes(clients.read_bytes()[:-1])
    done = site(*words)
    assert (done.status, "it is damaged; move the directory away" in done.err) == (4, True), done.err
    os.chmod(clients.parent, 0o755)
    done = site(*words)
    assert (done.status, "is open to other users" in done.err) == (4, True), done.err

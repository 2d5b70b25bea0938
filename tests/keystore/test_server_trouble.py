"""What a key store on a server does when the server, the network or another writer does harm; real servers."""

import io
import logging
import os
import re
import signal
import subprocess
import threading
import time
import traceback
from pathlib import Path

import pytest

from tallystick import keystore
from tallystick.errors import KeyStoreError, LeaseLostError, explain
from tallystick.keystore import Stored
from tests import preloaded, servers
from tests.cases import some
from tests.keystore.suite import in_a_child
from tests.keystore.test_servers import credentials, emptied, with_options

FIRST = Stored(b"state 1", b"head 0")


@pytest.fixture
def store(server):
    """The server without anything between, with a log in it."""
    store = keystore.connect(with_options(server.url(), expiry=2, timeout=4))
    store.create("payments", *(FIRST.state, FIRST.head))
    return store


@pytest.fixture
def proxy(server):
    proxy = servers.Proxy(server.port)
    yield proxy
    proxy.stalled = False
    proxy.close()


@pytest.fixture
def behind(server, store, proxy):
    """The same store, seen through the proxy."""
    return keystore.connect(with_options(server.url(proxy.port), expiry=2, timeout=1))


@pytest.fixture(autouse=True)
def no_secret_is_told(caplog, capfd):
    caplog.set_level(logging.DEBUG)
    yield
    told = caplog.text + "".join(capfd.readouterr())
    assert servers.PASSWORD not in told


def told(work, kind=KeyStoreError, within=5.0):
    """Return what a refusal says; it comes in time, and neither it nor its traceback holds a secret."""
    began = time.monotonic()
    with pytest.raises(kind) as problem:
        work()
    assert time.monotonic() - began < within
    text = io.StringIO()
    traceback.print_exception(problem.value, file=text)
    for secret in (servers.PASSWORD, "wrong-password", os.environ.get("BAO_TOKEN", "none given")):
        assert secret not in text.getvalue()
    assert text.getvalue().count("Traceback") == 1
    return explain(problem.value)


# Two writers


def test_of_many_that_race_exactly_one_wins_and_the_others_learn_who(store):
    won, lost, start = [], [], threading.Barrier(6)

    def race():
        start.wait()
        try:
            won.append(store.lease("payments"))
        except KeyStoreError as error:
            lost.append(explain(error))

    threads = [threading.Thread(target=race) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert len(lost) == 5
    for text in lost:
        assert f"log payments is being written by pid {os.getpid()} " in text
    won[0].release()


WRITER = """
import sys
from tallystick import keystore
from tallystick.errors import LeaseLostError
with keystore.connect(sys.argv[1]).lease("payments") as lease:
    print("leased", flush=True)
    for line in sys.stdin:
        field, data = line.split()
        try:
            {"state": lease.replace_state, "head": lease.replace_head}[field](data.encode())
            print("replaced", flush=True)
        except LeaseLostError as error:
            print("lost:", error, flush=True)
"""


class Writer:
    """A writer in a process of its own, which can be made to stand still, so that nothing renews its lease."""

    def __init__(self, store):
        given = [store.grant().place["url"].reveal()]
        loads = preloaded.wanted(given, {})
        self._process = preloaded.Running(given, WRITER, loads, stdin=subprocess.PIPE, stderr=2)
        assert self._process.stdout.readline() == "leased\n"

    def stand_still(self):
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self._process.send_signal(signal.SIGCONT)

    def replace(self, field, data):
        """Replace state or head; return what the writer says of it."""
        self._process.stdin.write(f"{field} {data}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()

    def end(self):
        """Let it give its lease back, and end."""
        self._process.stdin.close()
        assert self._process.wait(20) == 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


def disconnect_all(server, kind):
    """End the connections that hold locks, where a lease lasts as long as they do."""
    if kind == "postgresql":
        import psycopg

        with psycopg.connect(server.url(), password=servers.PASSWORD) as connection:
            query = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            connection.execute(query)


def test_a_writer_that_lost_its_lease_stops_at_its_next_head_and_learns_who_has_it(store, server, kind):
    with Writer(store) as writer:
        writer.stand_still()
        disconnect_all(server, kind)
        servers.until(lambda: store.holder("payments") is None, "the end of the lease")
        with store.lease("payments") as other:
            writer.go_on()
            assert re.match(rf"lost: .* passed to pid {os.getpid()} ", writer.replace("head", "stale"))
            assert writer.replace("state", "stale").startswith("lost: ")
            other.replace_head(b"head 1")
            writer.end()
            other.replace_state(b"state 2")
    assert store.load("payments") == Stored(b"state 2", b"head 1")


def test_a_lease_that_expired_and_was_taken_by_nobody_is_still_ours(store, kind):
    with Writer(store) as writer:
        writer.stand_still()
        if kind != "postgresql":
            servers.until(lambda: store.holder("payments") is None, "the end of the lease")
        writer.go_on()
        assert writer.replace("head", "head-1") == "replaced\n"
        writer.end()
    assert store.load("payments").head == b"head-1"


def test_an_idle_writer_keeps_its_lease(store):
    with store.lease("payments") as lease:
        time.sleep(4)
        told(lambda: store.lease("payments"))
        lease.replace_head(b"head 1")


# The network


@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("count", some([0, 1, 20, 60, 150, 400], [0, 20, 150]))
def test_a_connection_cut_in_the_middle_of_a_replacement_changes_nothing_for_the_writer(
    behind, store, proxy, side, count
):
    with behind.lease("payments") as lease:
        proxy.cut_after(**{side: count})
        lease.replace_head(b"head 1")
        proxy.cut_after(**{side: count})
        lease.replace_state(b"state 2")
        proxy.cut = None
        assert store.load("payments") == Stored(b"state 2", b"head 1")
        lease.replace_head(b"head 2")
    assert store.load("payments") == Stored(b"state 2", b"head 2")


@pytest.mark.parametrize("count", [0, 30, 100])
def test_a_log_whose_making_was_confirmed_to_nobody_is_made_once(behind, store, proxy, count):
    proxy.cut_after(server=count)
    behind.create("other", b"state", b"head")
    assert store.load("other") == Stored(b"state", b"head")
    assert "there is a log other" in told(lambda: behind.create("other", b"x", b"x"))


def test_a_server_that_is_away_is_reported_within_the_timeout_and_the_writer_goes_on_later(behind, proxy, store):
    with behind.lease("payments") as lease:
        target, proxy.target = proxy.target, servers.free_port()
        proxy.drop()
        text = told(lambda: lease.replace_head(b"head 1"))
        assert "see that the server runs" in text
        assert str(proxy.port) in text
        proxy.target = target
        lease.replace_head(b"head 2")
    assert store.load("payments") == Stored(b"state 1", b"head 2")


@pytest.mark.parametrize("what", ["load", "lease", "names", "create"])
def test_a_server_that_is_not_there_is_reported(server, store, what):
    gone = keystore.connect(with_options(server.url(servers.free_port()), timeout=1))
    arguments = {"names": (), "create": ("new", b"state", b"head")}.get(what, ("payments",))
    assert "see that the server runs" in told(lambda: getattr(gone, what)(*arguments))


def test_a_slow_server_is_reported_within_the_timeout_and_nothing_is_lost(behind, proxy, store):
    with behind.lease("payments") as lease:
        proxy.stalled = True
        text = told(lambda: lease.replace_head(b"head 1"))
        assert "does not answer in time" in text or "cannot be reached" in text
        told(lambda: lease.replace_head(b"head 2"))
        proxy.stalled = False
        lease.replace_head(b"head 3")
        time.sleep(0.5)  # what was under way arrives, too late
        assert store.load("payments").head == b"head 3"
        lease.replace_head(b"head 4")
    assert store.load("payments") == Stored(b"state 1", b"head 4")


@pytest.mark.parametrize(
    "garbage", [b"\xff\x00garbage\r\n" * 50, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", b"+OK\r\n"]
)
def test_garbage_from_the_server_is_reported(behind, proxy, store, garbage):
    proxy.garbage = garbage
    told(lambda: behind.load("payments"))
    told(lambda: behind.create("other", b"state", b"head"))
    told(lambda: behind.lease("payments"))
    assert store.names() == ["payments"]
    assert store.load("payments") == FIRST


# The server


def test_a_writer_goes_on_when_its_server_was_restarted(store, server):
    store = keystore.connect(with_options(server.url(), expiry=30, timeout=4))  # the right outlives the restart
    with store.lease("payments") as lease:
        lease.replace_head(b"head 1")
        server.restart()
        lease.replace_head(b"head 2")
        lease.replace_state(b"state 2")
        told(lambda: store.lease("payments"), within=8)
    assert store.load("payments") == Stored(b"state 2", b"head 2")


def test_a_writer_survives_a_server_that_stands_still(store, server):
    with store.lease("payments") as lease:
        server.process.send_signal(signal.SIGSTOP)
        if server.process.args[0].endswith("postgres"):
            lease.replace_head(b"head 1")  # each connection is a process of its own
        else:
            told(lambda: lease.replace_head(b"head 1"), within=8)
        server.process.send_signal(signal.SIGCONT)
        lease.replace_head(b"head 2")
    assert store.load("payments").head == b"head 2"


def put_back(kind, server, lease):
    """Give the server what it had at the first head of a lease; what a backup does."""
    if kind == "redis":
        import redis

        with redis.Redis(port=server.port, password=servers.PASSWORD) as client:
            client.hset("tallystick:payments", mapping={"head": b"head 1", "head version": 2})
    elif kind == "postgresql":
        import psycopg

        with psycopg.connect(server.url(), password=servers.PASSWORD) as connection:
            connection.execute("UPDATE tallystick_logs SET head = 'head 1', head_version = 2")
    else:
        kv = server.client().secrets.kv.v2
        found = kv.read_secret_version(
            path="tallystick/head/payments", mount_point="secret", raise_on_deleted_version=True
        )
        content = {**found["data"]["data"], "version": 2}
        number = found["data"]["metadata"]["version"]
        kv.create_or_update_secret(path="tallystick/head/payments", secret=content, cas=number, mount_point="secret")


def test_a_backup_restored_under_a_writer_is_refused(store, server, kind):
    with store.lease("payments") as lease:
        for number in range(4):
            lease.replace_head(b"head %d" % number)
        put_back(kind, server, lease)
        text = told(lambda: lease.replace_head(b"head 5"), LeaseLostError)
        assert "a restored backup must not be sealed with" in text


def test_a_log_that_vanished_under_its_writer_is_reported(store, server, kind):
    with store.lease("payments") as lease:
        emptied(kind, server)
        assert "is gone from" in told(lambda: lease.replace_head(b"head 1"), LeaseLostError, within=6)


def test_a_child_that_ends_does_not_disturb_the_connection_of_its_parent(behind, proxy):
    with behind.lease("payments") as lease:
        made = proxy.connections
        for number in range(3):
            assert in_a_child(lambda: None) == 0
            lease.replace_head(b"head %d" % number)
        assert proxy.connections == made


# Who may


def test_wrong_credentials_are_reported_without_them(store, server, kind, monkeypatch):
    for variable in ("TALLYSTICK_REDIS_PASSWORD", "PGPASSWORD", "BAO_TOKEN"):
        monkeypatch.setenv(variable, "wrong-password")
    for work in (
        lambda: store.load("payments"),
        lambda: store.lease("payments"),
        lambda: store.create("other", b"state", b"head"),
    ):
        text = told(work)
        assert "refuses" in text
        assert {"redis": "TALLYSTICK_REDIS_PASSWORD", "postgresql": "PGPASSWORD", "openbao": "BAO_TOKEN"}[kind] in text
    credentials(kind, server, monkeypatch)
    assert store.names() == ["payments"]


@pytest.mark.parametrize(("kind", "user"), [("redis", "default"), ("postgresql", "tally")])
def test_a_password_in_the_url_works_and_is_never_shown(store, server, kind, user, monkeypatch):
    monkeypatch.delenv("TALLYSTICK_REDIS_PASSWORD")
    monkeypatch.delenv("PGPASSWORD")
    place = server.url().split("//")[1].split("@")[-1]
    right = keystore.connect(f"{kind}://{user}:{servers.PASSWORD}@{place}")
    assert right.load("payments") == FIRST
    assert right.url == f"{kind}://{user}@{place}"
    wrong = keystore.connect(f"{kind}://{user}:{'-'.join(['wrong', 'password'])}@{place}")
    assert "refuses" in told(lambda: wrong.load("payments"))


def test_a_redis_that_could_forget_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("TALLYSTICK_REDIS_PASSWORD", servers.PASSWORD)

    class Forgetful(servers.Redis):
        def command(self):
            return [*super().command(), "--appendonly", "no"]

    server = Forgetful(tmp_path).start()
    try:
        store = keystore.connect(server.url())
        assert "set `appendonly yes`" in told(lambda: store.create("payments", b"state", b"head"))
    finally:
        server.stop()


def test_openbao_keeps_no_old_head_and_no_old_state(openbao_server, monkeypatch):
    credentials("openbao", openbao_server, monkeypatch)
    emptied("openbao", openbao_server)
    store = keystore.connect(openbao_server.url())
    store.create("payments", b"state", b"head")
    with store.lease("payments") as lease:
        for number in range(3):
            lease.replace_head(b"head %d" % number)
            lease.replace_state(bytes([number]) * (1 << 20))
    kv = openbao_server.client().secrets.kv.v2
    for field in ("state", "head"):
        known = kv.read_secret_metadata(path=f"tallystick/{field}/payments", mount_point="secret")["data"]
        assert list(known["versions"]) == [str(known["current_version"])]
    listed = kv.list_secrets(path="tallystick/piece/payments", mount_point="secret")["data"]["keys"]
    assert len(listed) == 2


def documented(start, end):
    text = (Path(__file__).parents[2] / "docs" / "stores.md").read_text()
    return text.split(start)[1].split(end)[0]


def work_through(store):
    store.create("payments", b"state", b"head")
    with store.lease("payments") as lease:
        lease.replace_head(b"head 1")
        lease.replace_state(bytes(1 << 20))
        lease.replace_note(b"note")
    assert store.names() == ["payments"]
    assert store.note("payments") == b"note"
    assert store.holder("payments") is None
    store.remove("payments")
    assert store.names() == []


def test_the_rights_that_the_guide_lists_are_enough_on_redis(redis_server, monkeypatch):
    import redis

    credentials("redis", redis_server, monkeypatch)
    emptied("redis", redis_server)
    rights = documented("(`+eval", "` on").split()
    with redis.Redis(port=redis_server.port, password=servers.PASSWORD) as client:
        client.execute_command("ACL", "SETUSER", "app", "on", f">{servers.PASSWORD}", "~tallystick:*", "+eval", *rights)
    work_through(keystore.connect(redis_server.url().replace("//", "//app@")))


def test_the_policy_that_the_guide_lists_is_enough_on_openbao(openbao_server, monkeypatch):
    credentials("openbao", openbao_server, monkeypatch)
    emptied("openbao", openbao_server)
    client = openbao_server.client()
    client.sys.create_or_update_policy("app", documented("```hcl\n", "```"))
    monkeypatch.setenv("BAO_TOKEN", client.auth.token.create(policies=["app"])["auth"]["client_token"])
    work_through(keystore.connect(openbao_server.url()))

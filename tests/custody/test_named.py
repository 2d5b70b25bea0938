"""Whoever may write a key store names a custody in a state; what lets a writer in must not be shown to that one."""

import base64
import re
import socket

import pytest

import tallystick
from tallystick import keystore
from tallystick.errors import CustodyError, explain
from tests.servers import PASSWORD


@pytest.fixture
def listener():
    """A server that somebody put up, to see what comes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        yield server


class Place:
    """A log in a key store, in which somebody else writes."""

    def __init__(self, directory, store, put):
        self.directory, self.store, self._put = directory, store, put
        self.custody = f"master-key:{directory}/master.key"
        tallystick.create("payments", store=store, custody=self.custody, key_file=directory / "payments.key")

    def name(self, listener):
        """Have the state name a custody outside; return its URL."""
        state = keystore.connect(self.store).load("payments").state
        wrapped = re.search(rb"\nwrapped (.*)\n", state)[1]
        outside = b"\x00\x0bvault:v1:AA" + b"x" * 72  # as it would come from a provider
        theirs = f"vault-transit://127.0.0.1:{listener.getsockname()[1]}/transit/log?tls=off&timeout=0.5"
        state = state.replace(self.custody.encode(), theirs.encode())
        self._put(state.replace(wrapped, base64.urlsafe_b64encode(outside).rstrip(b"=")))
        return theirs

    def open(self, custody=None):
        return tallystick.open("payments", output=self.directory / "audit.log", store=self.store, custody=custody)


@pytest.fixture
def on_server(tmp_path, redis_server, monkeypatch):
    """A log in a store on a server, which others may write, too."""
    import redis

    monkeypatch.setenv("TALLYSTICK_REDIS_PASSWORD", PASSWORD)
    monkeypatch.setenv("BAO_TOKEN", "s.correct-horse-7")
    with redis.Redis(port=redis_server.port, password=PASSWORD) as client:
        client.flushall()
        yield Place(tmp_path, redis_server.url(), lambda state: client.hset("tallystick:payments", "state", state))


@pytest.fixture
def in_directory(tmp_path, monkeypatch):
    """A log in a store of this host."""
    monkeypatch.setenv("BAO_TOKEN", "s.correct-horse-7")
    return Place(tmp_path, f"file:{tmp_path}/store", (tmp_path / "store" / "payments" / "state").write_bytes)


def anybody(listener):
    try:
        listener.accept()[0].close()
    except TimeoutError:
        return False
    return True


def test_custody_outside_that_a_server_names_is_not_asked(on_server, listener):
    theirs = on_server.name(listener)
    with pytest.raises(CustodyError) as problem:
        on_server.open()
    assert explain(problem.value) == (
        f"the state of the log names its custody, {theirs}, but others who may write the key store could have put "
        "that there; if it is right, name it where the writer is started, by --custody or TALLYSTICK_CUSTODY"
    )
    assert not anybody(listener)


def test_it_is_asked_where_the_writer_names_it(on_server, listener):
    theirs = on_server.name(listener)
    with pytest.raises(CustodyError, match=r"cannot be reached|does not answer"):
        on_server.open(theirs)
    assert anybody(listener)


def test_it_is_asked_where_the_store_is_a_directory_of_ours(in_directory, listener):
    in_directory.name(listener)
    with pytest.raises(CustodyError, match=r"cannot be reached|does not answer"):
        in_directory.open()
    assert anybody(listener)


def test_a_key_of_ours_is_read_wherever_a_server_says(on_server):
    """It is not shown to anybody, and what it does not fit is not opened."""
    on_server.open().close()

"""Whoever may write a key store names a custody in a state; what lets a writer in must not be shown to that one."""

import base64
import re
import socket
from dataclasses import replace

import pytest

import tallystick
from tallystick import keystore
from tallystick.errors import CustodyError
from tallystick.opening import unlock


@pytest.fixture
def listener():
    """A server that somebody put up, to see what comes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        yield server


@pytest.fixture
def stored(tmp_path, listener, monkeypatch):
    """What stands in the key store, after that one has been there."""
    monkeypatch.setenv("BAO_TOKEN", "s.correct-horse-7")
    store, custody = f"file:{tmp_path}/store", f"master-key:{tmp_path}/master.key"
    tallystick.create("payments", store=store, custody=custody, key_file=tmp_path / "payments.key")
    found = keystore.connect(store).load("payments")
    wrapped = re.search(rb"\nwrapped (.*)\n", found.state)[1]
    outside = b"\x00\x0bvault:v1:AA" + b"x" * 72  # as it would come from a provider
    theirs = f"vault-transit://127.0.0.1:{listener.getsockname()[1]}/transit/log?tls=off&timeout=0.5"
    state = found.state.replace(custody.encode(), theirs.encode())
    state = state.replace(wrapped, base64.urlsafe_b64encode(outside).rstrip(b"="))
    return replace(found, state=state), theirs


def anybody(listener):
    try:
        listener.accept()[0].close()
    except TimeoutError:
        return False
    return True


def test_custody_outside_that_a_server_names_is_not_asked(stored, listener):
    found, theirs = stored
    with pytest.raises(CustodyError) as problem:
        unlock("payments", replace(found, private=False), None)
    assert str(problem.value) == (
        f"the state of log payments names its custody, {theirs}, but whoever may write the key store could have put "
        "that there; if it is right, name it where the writer is started, by --custody or TALLYSTICK_CUSTODY"
    )
    assert not anybody(listener)


@pytest.mark.parametrize("trusted", ["the store is a directory of ours", "the writer names it"])
def test_it_is_asked_where_only_we_can_have_named_it(stored, listener, trusted):
    found, theirs = stored
    private = trusted == "the store is a directory of ours"
    with pytest.raises(CustodyError, match=r"cannot be reached|does not answer"):
        unlock("payments", replace(found, private=private), None if private else theirs)
    assert anybody(listener)


def test_a_key_of_ours_is_read_wherever_a_server_says(stored, tmp_path):
    """It is not shown to anybody, and what it does not fit is not opened."""
    found = keystore.connect(f"file:{tmp_path}/store").load("payments")
    unlock("payments", replace(found, private=False), None)

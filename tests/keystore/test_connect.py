"""Which key store a URL means."""

import os

import pytest

from tallystick import keystore
from tallystick.errors import KeyStoreError


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.delenv("TALLYSTICK_STORE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", "/home/x/state")


def test_a_relative_directory_becomes_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert keystore.connect("file:store").url == f"file:{tmp_path}/store"


def test_roots_store_is_in_var_lib(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert keystore.connect().url == "file:/var/lib/tallystick"


def test_a_users_store_is_in_the_state_directory(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert keystore.connect().url == "file:/home/x/state/tallystick"


def test_a_users_state_directory_has_a_default(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/x")
    assert keystore.connect().url == "file:/home/x/.local/state/tallystick"


@pytest.mark.parametrize("value", ["/srv/store", "file:/srv/store"])
def test_the_environment_names_a_directory_or_a_url(monkeypatch, value):
    monkeypatch.setenv("TALLYSTICK_STORE", value)
    assert keystore.connect().url == "file:/srv/store"


def test_a_url_goes_before_the_environment(monkeypatch):
    monkeypatch.setenv("TALLYSTICK_STORE", "/srv/store")
    assert keystore.connect("file:/other").url == "file:/other"


def test_an_unknown_scheme_is_told_with_the_known_ones():
    with pytest.raises(KeyStoreError, match="called 'tape'; known are file:"):
        keystore.connect("tape:/x")


@pytest.mark.parametrize("path", ["/srv/store", "store", "./a:b"])
def test_a_plain_path_is_told_how_to_write_it(path):
    with pytest.raises(KeyStoreError, match=f"write file:{path}$"):
        keystore.connect(path)


@pytest.mark.parametrize("url", ["", "file:"])
def test_a_url_without_a_place_is_refused(url):
    with pytest.raises(KeyStoreError, match="write file:DIRECTORY"):
        keystore.connect(url)

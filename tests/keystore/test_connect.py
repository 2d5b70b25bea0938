"""Which key store a URL means."""

import os
import subprocess
import sys

import pytest

from tallystick import keystore
from tallystick.errors import KeyStoreError, explain


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


def test_an_unknown_scheme_is_reported_with_the_known_ones():
    with pytest.raises(KeyStoreError, match="called 'tape'; known are file:"):
        keystore.connect("tape:/x")


@pytest.mark.parametrize("path", ["/srv/store", "store", "./a:b"])
def test_a_plain_path_is_answered_with_how_to_write_it(path):
    with pytest.raises(KeyStoreError, match=f"write file:{path}$"):
        keystore.connect(path)


@pytest.mark.parametrize("url", ["", "file:"])
def test_a_url_without_a_place_is_refused(url):
    with pytest.raises(KeyStoreError, match="write file:DIRECTORY"):
        keystore.connect(url)


def test_no_server_is_asked_and_no_client_imported_before_there_is_need():
    script = (
        "import sys\nfrom tallystick import keystore\nkeystore.connect('file:/x')\n"
        "print(sorted({'redis', 'psycopg', 'hvac', 'requests'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("url", "module", "extra"),
    [
        ("redis://host", "redis", "redis"),
        ("postgresql://host/db", "psycopg", "postgresql"),
        ("vault://host/secret", "hvac", "openbao"),
    ],
)
def test_a_missing_package_is_reported_with_how_to_install_it(monkeypatch, url, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(KeyStoreError, match=rf"pip install 'tallystick\[{extra}\]'$"):
        keystore.connect(url)


@pytest.mark.parametrize(
    "url",
    [
        "redis:hunter2",
        "redis://:hunter2@host:port",
        "redis://:hunter2@[host",
        "redis://:hunter2@host?timeout=x",
        "redis://:hunter2@host?timeout=0",
        "redis://:hunter2@host?expiry=1e9",
        "redis://:hunter2@host?colour=red",
        "openbao://hunter2@host/secret",
        "openbao://host",
    ],
)
def test_a_malformed_url_is_refused_without_being_shown(url):
    with pytest.raises(KeyStoreError) as problem:
        keystore.connect(url)
    assert "hunter2" not in explain(problem.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:hunter2@localhost:1/0", "redis://localhost:1/0"),
        ("rediss://app:hunter2@host/0?timeout=9", "rediss://app@host/0?timeout=9"),
        ("postgresql://app:hunter2@host/db?sslmode=require", "postgresql://app@host/db?sslmode=require"),
        ("postgresql://host/db?user=app&password=hunter2", "postgresql://host/db?user=app"),
        ("openbao://host:8200/secret/team/a", "openbao://host:8200/secret/team/a"),
    ],
)
def test_a_password_is_not_in_the_url_that_is_shown(url, shown):
    assert keystore.connect(url).url == shown


@pytest.mark.parametrize(
    "url",
    ["rediss://db.example/0?cacert=ca.pem", "openbao://db.example/kv/logs?role=r&login=approle&credential=ca.pem"],
)
def test_files_in_the_url_of_a_server_are_those_of_the_directory_in_which_the_store_was_named(
    url, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    store = keystore.connect(url)
    monkeypatch.chdir("/")
    assert f"={tmp_path}/ca.pem" in store.url

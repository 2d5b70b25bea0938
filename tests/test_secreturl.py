"""Passwords in URLs are shown nowhere: no message, status, lock, list of processes, traceback or repr."""

import pickle
import re
import subprocess
import sys
import time
import traceback
from pathlib import Path

import pytest

import tallystick
from tallystick import custody, keystore, moving
from tallystick.errors import TallystickError, explain
from tallystick.keystore.remote import Place
from tallystick.secreturl import SecretUrl, without_passwords
from tests.places import COMMAND
from tests.processes import Started

PASSWORD = "hunter2"

URLS = [
    "redis://app:hunter2@127.0.0.1:1/0?timeout=0.1", "redis://app@127.0.0.1:1/0?timeout=0.1&password=hunter2",
    "rediss://app:hunter2@127.0.0.1:1/0?timeout=0.1", "postgresql://app:hunter2@127.0.0.1:1/db?timeout=0.2",
    "postgresql://app@127.0.0.1:1/db?password=hunter2&timeout=0.2", "postgresql://app:hunter2@h/db?bogus=hunter2",
    "postgres://app:hunter2@h/db", "redis:app:hunter2@h", "//app:hunter2@h", "app:hunter2@h", "file://app:hunter2@h/x",
    "openbao://app:hunter2@h/secret", "openbao://h/secret?token=hunter2", "vault://:hunter2@h/", "redis://a:b#hunter2@h",
    "redis://app:b?hunter2 hunter2@h", "redis://app:hunter2@[::1/0",
]  # fmt: skip

CALLS = {
    "open": lambda url: tallystick.open("app", output="/dev/null", store=url),
    "create": lambda url: tallystick.create("app", store=url, custody="master-key:MISSING", key_file="/nowhere/key"),
    "rekey": lambda url: moving.rekey("app", output="/dev/null", key_file="/nowhere/key", store=url),
    "migrate": lambda url: moving.migrate("app", store=url),
    "migrate to": lambda url: moving.migrate("app", store="file:/nowhere", to_store=url),
    "names": lambda url: keystore.connect(url).names(),
}


def told(error):
    """All that a program may show of an error: its text, its hint, and what each of our functions names."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next  # the caller's own names are the caller's
    shown = traceback.TracebackException(type(error), error, trace, capture_locals=True)
    return explain(error) + repr(error) + "".join(shown.format())


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("call", ["open", "names"])
def test_no_error_and_no_traceback_with_local_names_shows_one(url, call):
    with pytest.raises(TallystickError) as refused:
        CALLS[call](url)
    assert PASSWORD not in told(refused.value)


@pytest.mark.parametrize("call", CALLS)
def test_no_call_that_takes_a_key_store_shows_one(call):
    for url in (URLS[0], URLS[7]):
        with pytest.raises(TallystickError) as refused:
            CALLS[call](url)
        assert PASSWORD not in told(refused.value)


def kinds(connect):
    """The kinds that there are, by what is said of an unknown one: a new kind is tried, too."""
    with pytest.raises(TallystickError) as refused:
        connect("bogus:x")
    found = re.findall(r"([a-z][a-z0-9-]*):", str(refused.value).partition("known are")[2])
    assert len(found) > 5
    return found


FORMS = [
    "{kind}://app:hunter2@127.0.0.1:1/a/b", "{kind}://:hunter2@127.0.0.1:1/a/b", "{kind}:app:hunter2@127.0.0.1:1",
    "{kind}://app@127.0.0.1:1/a/b?timeout=0.2&password=hunter2", "{kind}://127.0.0.1:1/a/b?token=hunter2&timeout=0.2",
]  # fmt: skip

SERVERS = ("redis", "rediss", "postgresql")  # which are tried again for some seconds


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", kinds(keystore.connect))
def test_no_kind_of_key_store_shows_one(kind, form, bare):
    url = form.format(kind=kind) + ("?timeout=0.2" if kind in SERVERS and form.endswith("/b") else "")
    if kind == "file" and not form.startswith("{kind}://app:"):
        pytest.skip("these are names of directories")
    for call in CALLS:
        with pytest.raises(TallystickError) as refused:
            CALLS[call](url)
        assert PASSWORD not in told(refused.value), call
    done = bare("status", "app", "--store", url)
    assert done.status in (2, 4)
    assert PASSWORD not in done.err + done.out.decode()


CUSTODY_CALLS = {
    "connect": lambda place, url: custody.connect(url),
    "create": lambda place, url: tallystick.create("app", store=place, custody=url, key_file="/nowhere/key"),
    "open": lambda place, url: tallystick.open("there", output="/dev/null", store=place, custody=url),
    "rekey": lambda place, url: moving.rekey("there", output="/dev/null", key_file="/no", store=place, custody=url),
    "rekey to": lambda place, url: moving.rekey(
        "there", output="/dev/null", key_file="/no", store=place, to_custody=url
    ),
    "migrate": lambda place, url: moving.migrate("there", store=place, custody=url),
    "migrate to": lambda place, url: moving.migrate("there", store=place, to_custody=url),
}


@pytest.fixture(scope="module")
def there(tmp_path_factory):
    """A key store in which there is a log."""
    directory = tmp_path_factory.mktemp("there")
    tallystick.create(
        "there", store=f"file:{directory}/store", custody=f"master-key:{directory}/key", key_file=directory / "v.key"
    )
    return f"file:{directory}/store"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", kinds(custody.connect))
def test_no_kind_of_custody_shows_one_or_writes_it_down(kind, form, there, bare):
    """The URL of a custody is noted in each state, where everybody who has the state may read it."""
    url = form.format(kind=kind)
    if kind == "master-key" and not ("//app:" in form or "//:" in form):
        pytest.skip("these are names of files")
    for call in CUSTODY_CALLS:
        with pytest.raises(TallystickError) as refused:
            CUSTODY_CALLS[call](there, url)
        assert PASSWORD not in told(refused.value), call
    done = bare("init", "app", "--custody", url, "--verification-key", "app.key", env={"TALLYSTICK_STORE": there})
    assert done.status in (2, 4)
    assert PASSWORD not in done.err + done.out.decode()
    for path in Path(there.removeprefix("file:")).parent.rglob("*"):
        assert path.is_dir() or PASSWORD.encode() not in path.read_bytes(), path
    assert keystore.connect(there).names() == ["there"]


@pytest.mark.parametrize(
    "url",
    [
        "vault-transit//u:hunter2@h/x", "vault-transit://u:hunter2@h/transit/key", "aws-kms://u:hunter2@eu-west-1/key",
        "pkcs11:token=a;pin=hunter2", "pkcs11:object=a?module-name=x&pin-source=https://u:hunter2@h/pin", "u:hunter2@h",
        "pkcs11:object=a?module-name=x&pin-value=hunter2", "vault-transit://h/t/k?token=hunter2", "tpm2:?auth=hunter2",
        "pkcs11:hunter2", "passphrase:hunter2", "pkcs11:object=a;pin-value=hunter2", "tpm2:hunter2",
        "systemd-creds:hunter2",
    ],
)  # fmt: skip
def test_no_error_of_a_custody_shows_one(url):
    with pytest.raises(TallystickError) as refused:
        custody.connect(url)
    assert PASSWORD not in explain(refused.value)


@pytest.mark.parametrize("kind", ["s3", "gs", "az", "https", "postgresql", "redis"])
@pytest.mark.parametrize("form", FORMS[:2])
def test_no_place_of_lines_shows_one(kind, form, bare):
    done = bare("verify", form.format(kind=kind), "--key", "/dev/null")
    assert done.status in (2, 4)
    assert PASSWORD not in done.err + done.out.decode()


def test_the_type_shows_it_only_when_asked():
    for url in (*URLS[:6], URLS[15]):
        secret = SecretUrl(url)
        assert PASSWORD not in f"{secret} {secret!r} {[secret]} %s %r" % (secret, secret)
        assert secret.reveal() == url
    with pytest.raises(TypeError, match="is not written anywhere"):
        pickle.dumps(SecretUrl(URLS[0]))


def test_a_place_and_a_grant_show_none():
    place = Place.parse(URLS[4], None)
    assert PASSWORD not in repr(place)
    assert PASSWORD not in repr(keystore.connect(URLS[0]).grant())


def test_urls_are_the_same_if_their_passwords_are():
    assert SecretUrl(URLS[0]) == SecretUrl(SecretUrl(URLS[0]))
    assert SecretUrl(URLS[0]) != SecretUrl(URLS[0].replace(PASSWORD, "other"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis://app:hunter2@h/0 is away", "redis://app@h/0 is away"),
        ("'x://:hunter2@h'; 'y://u:hun@ter2@h'", "'x://@h'; 'y://u@h'"),
        ("at https://h:8200/v1 of root@h", "at https://h:8200/v1 of root@h"),
        ("redis://h/0?timeout=2&PASSWORD=hunter2&x=1", "redis://h/0?timeout=2&PASSWORD=…&x=1"),
    ],
)
def test_a_message_loses_its_passwords_and_nothing_else(text, expected):
    assert without_passwords(text) == expected


@pytest.mark.parametrize(
    "arguments",
    [
        ["status", "--store", URLS[0]], ["verify", URLS[0], "--key", "/dev/null"], ["status", "--format", URLS[0]],
        ["seal", "app", "--store", URLS[0], "-o", URLS[0]], [URLS[0]], ["check", URLS[0], "--public", URLS[0]],
        ["run", "app", "--store", URLS[7], "--", "true"], ["init", URLS[0]],
        ["init", "app", "--custody", "//u:hunter2@h"],
    ],
)  # fmt: skip
def test_no_command_says_one(bare, arguments):
    done = bare(*arguments)
    assert done.status in (2, 4)
    assert PASSWORD not in done.err + done.out.decode()


@pytest.mark.skipif(sys.platform != "linux", reason="the system shows arguments in another way")
def test_the_list_of_processes_shows_none(bare):
    given = [COMMAND, "status", "--store", "redis://app:hunter2@127.0.0.1:1/0?timeout=20", "--format", "json"]
    with Started(given, env=bare.env, stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + 20
            while True:
                with open(f"/proc/{process.pid}/cmdline", "rb") as file:
                    shown = file.read()
                if b"redis://app@127.0.0.1:1/0?timeout=20" in shown:
                    break
                assert time.monotonic() < until, shown
                time.sleep(0.02)
        finally:
            process.kill()
    assert PASSWORD.encode() not in shown
    assert shown.rstrip(b"\0").endswith(b"\0--format\0json")

"""What becomes of custody if a provider meets trouble."""

import os
import subprocess
import sys
import time

import pytest

import tallystick
from tallystick import custody as custodies
from tallystick._core import DataKey
from tallystick.custody import outside
from tallystick.errors import CustodyError, explain
from tests.custody.suite import OWNER


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A directory for programs that take the place of systemd-creds."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def put(script):
        (tmp_path / "systemd-creds").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "systemd-creds").chmod(0o755)

    return put


HEAVY = {"hvac", "boto3", "botocore", "requests", "pkcs11", "tpm2_pytss", "cryptography", "psycopg", "redis"}
LIGHT = {f"tallystick.custody.{module}" for module, _ in outside.PROVIDERS.values()} | {"tallystick._openbao"}


def loaded(script):
    """Return the modules that a program has loaded at its end."""
    command = [sys.executable, "-c", f"{script}\nimport sys; print(*sys.modules)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def wrap(url="systemd-creds:"):
    return custodies.connect(url).wrap(DataKey.generate(), OWNER)


def test_a_provider_that_does_not_answer_is_reported_within_its_timeout(programs):
    programs("sleep 60")
    began = time.monotonic()
    with pytest.raises(CustodyError, match=r"systemd-creds did not answer within 0\.5 seconds"):
        wrap("systemd-creds:?timeout=0.5")
    assert time.monotonic() - began < 5


def test_one_that_answers_too_much_or_nothing_is_reported(programs):
    programs("head -c 20000 /dev/zero")
    with pytest.raises(CustodyError, match="an answer of 20000 bytes"):
        wrap()
    programs("cat > /dev/null")
    with pytest.raises(CustodyError, match="it says nothing"):
        wrap()


def test_garbage_for_a_key_opens_nothing(programs):
    programs("cat")
    wrapped = wrap()
    programs("echo AAAA")
    with pytest.raises(CustodyError, match="does not open the state of this log"):
        custodies.connect("systemd-creds:").unwrap(wrapped, OWNER)


def test_a_log_is_not_set_up_with_custody_that_encrypts_and_cannot_decrypt(programs, tmp_path):
    programs('case "$*" in *encrypt*) cat;; *) echo "no right to" >&2; exit 1;; esac')
    key, store = tmp_path / "payments.key", f"file:{tmp_path}/store"
    with pytest.raises(CustodyError, match=r"\(no right to\) does not open the state of this log"):
        tallystick.create("payments", store=store, custody="systemd-creds:", key_file=key)
    assert not key.exists()
    assert not list(tmp_path.glob("store/*"))


def test_no_key_is_in_an_error(programs):
    programs('tee -a "$0.seen" >&2; exit 1')
    with pytest.raises(CustodyError) as caught:
        wrap()
    with open(os.environ["PATH"].split(":")[0] + "/systemd-creds.seen") as seen:
        assert seen.read().strip() not in explain(caught.value)


def test_nothing_of_a_provider_is_loaded_before_it_is_asked_for():
    assert (HEAVY | LIGHT).isdisjoint(loaded("import tallystick.cli"))


def test_nothing_of_a_provider_is_loaded_into_a_writer_with_a_master_key(tmp_path):
    said = loaded(
        "import tallystick\n"
        f"place = {{'store': 'file:{tmp_path}/store', 'custody': 'master-key:{tmp_path}/master.key'}}\n"
        f"tallystick.create('payments', key_file='{tmp_path}/payments.key', **place)\n"
        f"with tallystick.open('payments', output='{tmp_path}/audit.log', **place) as log:\n"
        "    log.write('one')"
    )
    assert (tmp_path / "audit.log").exists()
    assert (HEAVY | LIGHT).isdisjoint(said)


@pytest.mark.parametrize(
    "url", ["vault-transit://bao.example/transit/log", "aws-kms://eu-central-1/alias/log", "tpm2:"]
)
def test_no_library_of_a_provider_is_loaded_into_its_writer(url):
    said = loaded(f"import tallystick.custody\ntallystick.custody.connect('{url}')")
    assert HEAVY.isdisjoint(said)


@pytest.mark.parametrize("url", ["systemd-creds:?with-key=host+tpm2", "tpm2:?pcrs=7+11"])
def test_a_plus_in_a_url_is_a_plus(url):
    """It was read as a blank, as in forms of the web, so that host+tpm2 was refused."""
    assert custodies.connect(url).url == url

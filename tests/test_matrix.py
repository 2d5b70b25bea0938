"""Key stores with custodies, by the command line: set up, seal, crash, seal, verify; real servers.

Each custody is tried with the file store, and each key store with two custodies; where TALLYSTICK_EVERY_PAIR is set, as
`make torture` does, each with each. They meet in nothing but the bytes of a state, and have suites of their own.
A new one is a line in STORES or in CUSTODIES: it gives its URL, and the variables that let the command in.
"""

import itertools
import os
import signal

import pytest

from tallystick import keystore
from tallystick._core import DataKey
from tests import servers
from tests.custody.keys import text_of
from tests.keystore.test_servers import emptied, with_options
from tests.places import Site
from tests.sealed import entries

NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def openbao(openbao_server):
    """OpenBao with a KV mount and a key of transit."""
    emptied("openbao", openbao_server)
    client = openbao_server.client()
    client.sys.disable_secrets_engine("transit")
    client.sys.enable_secrets_engine("transit")
    client.secrets.transit.create_key("log")
    return openbao_server


@pytest.fixture
def askpass(tmp_path):
    program = tmp_path / "askpass"
    program.write_text("#!/bin/sh\necho correct horse battery staple\n")
    program.chmod(0o700)
    return {"TALLYSTICK_ASKPASS": str(program)}


@pytest.fixture
def machine(tmp_path):
    """This machine, with a secret of its own for systemd-creds."""
    servers.program("systemd-creds", "install systemd 250 or later")
    if os.geteuid() != 0:
        pytest.skip("systemd-creds works for root only")
    return {"SYSTEMD_CREDENTIAL_SECRET": str(tmp_path / "credential.secret")}


@pytest.fixture
def variable():
    return {"MASTER_KEY": text_of(DataKey.generate()).decode().strip()}


@pytest.fixture
def aws(moto_server):
    """A key of AWS KMS, and what lets one in."""
    key = moto_server.client().create_key()["KeyMetadata"]["KeyId"]
    env = {**moto_server.env, "AWS_ENDPOINT_URL_KMS": f"http://127.0.0.1:{moto_server.port}"}
    return f"aws-kms://eu-central-1/{key}", env


def transit(server):
    return f"vault-transit://127.0.0.1:{server.port}/transit/log?tls=off"


# Each row: what it needs, by the name of a fixture, and what that makes of it.
STORES = {
    "file": ("tmp_path", lambda path: (f"file:{path}/store", {})),
    "openbao": ("openbao", lambda server: (with_options(server.url(), expiry=1), {"BAO_TOKEN": server.token})),
    "postgresql": ("postgresql_server", lambda server: (server.url(), {"PGPASSWORD": servers.PASSWORD})),
    "redis": (
        "redis_server",
        lambda server: (with_options(server.url(), expiry=1), {"TALLYSTICK_REDIS_PASSWORD": servers.PASSWORD}),
    ),
}
CUSTODIES = {
    "master-key file": ("tmp_path", lambda path: (f"master-key:{path}/master.key", {})),
    "master-key variable": ("variable", lambda env: ("master-key:MASTER_KEY", env)),
    "passphrase": ("askpass", lambda env: ("passphrase:", env)),
    "systemd-creds": ("machine", lambda env: ("systemd-creds:?with-key=host", env)),
    "vault-transit": ("openbao", lambda server: (transit(server), {"BAO_TOKEN": server.token})),
    "aws-kms": ("aws", lambda given: given),
    "pkcs11": ("pkcs11_custody", lambda given: given),
    "tpm2": ("tpm2_custody", lambda given: given),
}


TWO = ("master-key file", "vault-transit")
PAIRS = [
    pytest.param(store, custody, id=f"{store}-{custody}")
    for store, custody in itertools.product(STORES, CUSTODIES)
    if store == "file" or custody in TWO or "TALLYSTICK_EVERY_PAIR" in os.environ
]


@pytest.mark.parametrize(("store", "custody"), PAIRS)
def test_a_log_is_set_up_and_sealed_survives_a_crash_and_verifies(store, custody, tmp_path, request, monkeypatch):
    site, name = Site(tmp_path), f"log-{next(NUMBERS)}"
    for variable, (needs, made) in (("TALLYSTICK_STORE", STORES[store]), ("TALLYSTICK_CUSTODY", CUSTODIES[custody])):
        url, env = made(request.getfixturevalue(needs))
        site.env |= {variable: url, **env}
    done = site("init", name, "--verification-key", "log.key")
    assert done.status == 0, done.err
    assert site.env["TALLYSTICK_STORE"] in done.err
    assert site.env["TALLYSTICK_CUSTODY"] in done.err

    with site.start("seal", name, "-o", "audit.log") as writer:
        writer.stdin.write(b"one\ntwo\n")
        servers.until(lambda: (tmp_path / "audit.log").exists() and b"\ntwo " in site.read(), "two lines")
        writer.send_signal(signal.SIGKILL)

    for variable, text in site.env.items():
        monkeypatch.setenv(variable, text)
    servers.until(lambda: keystore.connect().holder(name) is None, "the end of the right", 10)
    if custody == "pkcs11":
        request.getfixturevalue("hsm").recover()
    site.seal(b"three\n", name=name)
    assert entries(site.read()) == [b"one", b"two", b"three"]
    assert site.verdict(key="log.key") == ("ok", ["unclean end"])

"""Keys of the engine transit of OpenBao that belong to one log each, for tests."""

import base64
import itertools

import pytest

from tallystick import custody as custodies
from tallystick._core import DataKey
from tallystick.errors import CustodyError, explain
from tests.custody.suite import OWNER
from tests.keystore.test_servers import with_options

NUMBERS = itertools.count()
MOUNT = "own"
POLICY = """
path "own/keys/{key}" {{ capabilities = ["read"] }}
path "own/keys/{key}/rotate" {{ capabilities = ["update"] }}
path "own/keys/{key}/config" {{
  capabilities = ["update"]
  allowed_parameters = {{ "min_encryption_version" = [], "min_decryption_version" = [] }}
}}
path "own/keys/{key}/trim" {{ capabilities = ["update"] }}
path "own/encrypt/{key}" {{ capabilities = ["update"] }}
path "own/decrypt/{key}" {{ capabilities = ["update"] }}
"""


class Bao:
    """The server as its administrator sees it."""

    def __init__(self, server):
        self.server, self.client = server, server.client()
        self.transit = self.client.secrets.transit

    def key(self, **options):
        """Make a key; return its name."""
        name = f"log-{next(NUMBERS)}"
        self.client.adapter.post(f"/v1/{MOUNT}/keys/{name}", json=options)
        return name

    def url(self, name, port=None, **options):
        at = f"vault-transit://127.0.0.1:{port or self.server.tls_port}/{MOUNT}/{name}"
        return with_options(at, cacert=self.server.authority, **options)

    def custody(self, name=None, **options):
        return custodies.connect(self.url(name or self.key(), **options))

    def write(self, name, what, **given):
        return self.client.adapter.post(f"/v1/{MOUNT}/keys/{name}/{what}", json=given)

    def read(self, name):
        return self.transit.read_key(name, mount_point=MOUNT)["data"]

    def token(self, name, policy=POLICY):
        self.client.sys.create_or_update_policy(name, policy.format(key=name))
        return self.client.auth.token.create(policies=[name])["auth"]["client_token"]


@pytest.fixture(scope="module")
def engine(openbao_server):
    bao = Bao(openbao_server)
    bao.client.sys.enable_secrets_engine("transit", path=MOUNT)
    yield bao
    bao.client.sys.disable_secrets_engine(MOUNT)


@pytest.fixture
def bao(engine, monkeypatch):
    monkeypatch.setenv("BAO_TOKEN", engine.server.token)
    return engine


@pytest.fixture
def limited(bao, monkeypatch):
    """A key, and the right to do with it what the documentation lists."""
    name = bao.key()
    monkeypatch.setenv("BAO_TOKEN", bao.token(name))
    return name


def pieces(wrapped):
    """Return what the server encrypted, with its version, and what is under that."""
    end = 2 + int.from_bytes(wrapped[:2], "big")
    own, _, version, text = wrapped[2:end].decode().split(":")
    assert own == "own"
    return int(version[1:]), text, wrapped[end:]


def coded(data):
    return base64.b64encode(data).decode()


BOUND = b"tallystick state of " + OWNER.root


def refusal(bao, name):
    before = bao.read(name)
    with pytest.raises(CustodyError) as problem:
        bao.custody(name).wrap(DataKey.generate(), OWNER)
    assert bao.read(name) == before
    return explain(problem.value)


def attempt(work):
    """Ask the server for something that it may refuse."""
    import hvac

    try:
        return work()
    except hvac.exceptions.VaultError:
        return None

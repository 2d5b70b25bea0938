"""What key stores on servers promise beyond what every key store does; against real servers."""

import pytest

from tallystick import keystore
from tests import servers
from tests.keystore.suite import KeyStoreSuite

KINDS = ["redis", "postgresql", "openbao"]


def emptied(kind, server):
    """Empty a server, and make it known to this process as its user would."""
    if kind == "redis":
        import redis

        with redis.Redis(port=server.port, password=servers.PASSWORD) as client:
            client.flushall()
    elif kind == "postgresql":
        import psycopg

        with psycopg.connect(server.url(), password=servers.PASSWORD) as connection:
            connection.execute("DROP TABLE IF EXISTS tallystick_logs")
    else:
        client = server.client()
        client.sys.disable_secrets_engine("secret")
        client.sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
        servers.until(lambda: _upgraded(client), "the KV mount")


def _upgraded(client):
    import hvac

    try:
        client.secrets.kv.v2.list_secrets(path="tallystick/state", mount_point="secret")
    except hvac.exceptions.InvalidPath:
        return True
    except hvac.exceptions.VaultError:
        return False
    return True


def with_options(url, **options):
    return url + ("&" if "?" in url else "?") + "&".join(f"{key}={value}" for key, value in options.items())


def credentials(kind, server, monkeypatch):
    monkeypatch.setenv("TALLYSTICK_REDIS_PASSWORD", servers.PASSWORD)
    monkeypatch.setenv("PGPASSWORD", servers.PASSWORD)
    if kind == "openbao":
        monkeypatch.setenv("BAO_TOKEN", server.token)


class ServerSuite(KeyStoreSuite):
    kind = ""

    @pytest.fixture
    def store(self, request, monkeypatch):
        server = request.getfixturevalue(f"{self.kind}_server")
        credentials(self.kind, server, monkeypatch)
        emptied(self.kind, server)
        return keystore.connect(with_options(server.url(), expiry=2))

    def wait_for_expiry(self, store):
        servers.until(lambda: store.holder("payments") is None, "the end of the right", 10)


class TestRedis(ServerSuite):
    kind = "redis"


class TestPostgres(ServerSuite):
    kind = "postgresql"


class TestOpenBao(ServerSuite):
    kind = "openbao"

"""Key stores and custodies that run here, as a log is put there: URLs, and what the environment must hold for them.

PAIRS has each key store and each custody, not each with each.
"""

import itertools

from tests import servers
from tests.keystore.test_servers import emptied, with_options

__all__ = ["FORGETTING", "PAIRS", "custody_at", "store_at"]

NUMBERS = itertools.count(1)
PAIRS = [
    ("file", "master key"),
    ("file", "tpm"),
    ("file", "hsm"),
    ("file", "passphrase"),
    ("redis", "master key"),
    ("postgresql", "openbao"),
    ("openbao", "variable"),
]
FORGETTING = ("master key", "openbao", "tpm", "hsm")  # a TPM in software does, too, though nobody should rely on it


def store_at(request, kind, directory):
    """Return the URL of an empty key store, and the environment that it wants."""
    if kind == "file":
        return f"file:{directory}/store", {}
    server = request.getfixturevalue(f"{kind}_server")
    emptied(kind, server)
    if kind == "openbao":
        return with_options(server.url(), expiry=1), {"BAO_TOKEN": server.token}
    if kind == "redis":
        return with_options(server.url(), expiry=1), {"TALLYSTICK_REDIS_PASSWORD": servers.PASSWORD}
    return server.url(), {"PGPASSWORD": servers.PASSWORD}


def custody_at(request, kind, directory):
    """Return the URL of a custody that no log was given to yet, and the environment that it wants."""
    if kind == "master key":
        return f"master-key:{directory}/custody/master.key", {}
    if kind == "variable":
        return "master-key:ANOTHER_MASTER_KEY", {"ANOTHER_MASTER_KEY": "C" * 42 + "E"}
    if kind == "passphrase":
        program = directory / "askpass"
        program.write_text("#!/bin/sh\necho correct horse battery staple\n")
        program.chmod(0o700)
        return "passphrase:", {"TALLYSTICK_ASKPASS": str(program)}
    if kind == "openbao":
        server = request.getfixturevalue("openbao_server")
        client, name, mount = server.client(), f"past-{next(NUMBERS)}", "past"
        if f"{mount}/" not in client.sys.list_mounted_secrets_engines()["data"]:
            client.sys.enable_secrets_engine("transit", path=mount)
        client.secrets.transit.create_key(name, mount_point=mount)
        url = with_options(f"vault-transit://127.0.0.1:{server.tls_port}/{mount}/{name}", cacert=server.authority)
        return url, {"BAO_TOKEN": server.token}
    if kind == "tpm":
        return request.getfixturevalue("tpm2_custody")
    hsm = request.getfixturevalue("hsm")
    return hsm.url(f"past-{next(NUMBERS)}", more="&backups=none"), hsm.env

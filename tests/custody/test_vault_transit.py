"""Custody by the engine transit of OpenBao: the logins, and trouble; a real server."""

import base64
import json
import re
import time

import pytest

from tallystick import custody as custodies
from tallystick import keystore
from tallystick._core import DataKey
from tallystick.errors import CustodyError, KeyStoreError, explain
from tests import servers
from tests.custody.service import Service, ServiceSuite, init, nothing_is_sealed, nothing_is_set_up, seal
from tests.custody.suite import OWNER
from tests.keystore.test_servers import emptied, with_options

POLICY = 'path "transit/{}/log" {{ capabilities = ["update"] }}\n'


@pytest.fixture
def transit(openbao_server, monkeypatch):
    """The server, with an engine that holds two keys; the environment lets everything in."""
    client = openbao_server.client()
    for mount in ("transit/", "approle/", "kubernetes/"):
        client.sys.disable_secrets_engine(mount.strip("/"))
        client.sys.disable_auth_method(mount.strip("/"))
    client.sys.enable_secrets_engine("transit")
    for name in ("log", "other"):
        client.secrets.transit.create_key(name)
    monkeypatch.setenv("BAO_TOKEN", openbao_server.token)
    return client


def place(server, key="log", port=None, **options):
    return with_options(f"vault-transit://127.0.0.1:{port or server.port}/transit/{key}", tls="off", **options)


def policy(client, *rights):
    client.sys.create_or_update_policy("app", "".join(POLICY.format(right) for right in rights))


def token(client, *rights, **more):
    """Return a token that may do these things with the key."""
    policy(client, *rights)
    return client.auth.token.create(policies=["app"], **more)["auth"]["client_token"]


@pytest.fixture
def service(openbao_server, transit):
    return Service(
        url=lambda port=None, **options: place(openbao_server, port=port, **options),
        env=lambda port=None: {"BAO_TOKEN": openbao_server.token},
        port=openbao_server.port,
        names=r"vault-transit://127\.0\.0\.1:\d+/transit/",
        secrets=[openbao_server.token],
    )


class TestVaultTransit(ServiceSuite):
    @pytest.fixture
    def service(self, service):
        return service

    @pytest.fixture
    def custody(self, openbao_server, transit):
        return custodies.connect(place(openbao_server))

    @pytest.fixture
    def stranger(self, openbao_server, transit):
        return custodies.connect(place(openbao_server, "other"))


# The key


def test_what_something_else_encrypted_with_the_same_key_does_not_open(openbao_server, transit):
    custody = custodies.connect(place(openbao_server))
    wrapped = custody.wrap(DataKey.generate(), OWNER)
    text = base64.b64encode(b"A" * 43).decode()
    for about in (None, base64.b64encode(b"app").decode()):
        strange = transit.secrets.transit.encrypt_data("log", text, associated_data=about)["data"][
            "ciphertext"
        ].encode()
        inner = wrapped[2 + int.from_bytes(wrapped[:2], "big") :]
        with pytest.raises(CustodyError, match="does not open the state of this log"):
            custody.unwrap(len(strange).to_bytes(2, "big") + strange + inner, OWNER)


def test_a_rotated_key_opens_what_it_closed_before(openbao_server, transit):
    custody = custodies.connect(place(openbao_server))
    wrapped = custody.wrap(DataKey.generate(), OWNER)
    transit.secrets.transit.rotate_key("log")
    custody.unwrap(wrapped, OWNER)
    assert b"vault:v2:" in custody.wrap(DataKey.generate(), OWNER)


@pytest.mark.parametrize("change", ["deleted", "deleted softly", "too old"])
def test_a_key_that_was_taken_away_is_reported(openbao_server, transit, service, bare, change):
    env = service.env()
    init(bare, service.url(), env=env)
    seal(bare, b"one\n", env=env)
    engine = transit.secrets.transit
    if change == "deleted":
        engine.update_key_configuration("log", deletion_allowed=True)
        engine.delete_key("log")
        assert "the key 'log' is not there; restore it from a backup" in nothing_is_sealed(bare, service, env=env)
    elif change == "deleted softly":
        transit.adapter.delete("/v1/transit/keys/log/soft-delete")
        assert "deleted softly; restore it with the endpoint" in nothing_is_sealed(bare, service, env=env)
        transit.adapter.put("/v1/transit/keys/log/soft-delete-restore")
        seal(bare, b"two\n", env=env)
    else:
        engine.rotate_key("log")
        engine.update_key_configuration("log", min_decryption_version=2)
        assert "lower its min_decryption_version" in nothing_is_sealed(bare, service, env=env)


@pytest.mark.parametrize("made", [{"key_type": "rsa-2048"}, {"key_type": "ed25519"}, {"derived": True}])
def test_a_key_that_is_not_for_this_is_reported(openbao_server, transit, service, bare, made):
    transit.secrets.transit.create_key("strange", **made)
    said = nothing_is_set_up(bare, service, place(openbao_server, "strange"), env=service.env())
    assert "see that it is of type aes256-gcm96 and not derived" in said


def test_no_key_is_made_by_who_may_only_use_one(openbao_server, transit, service, bare):
    transit.sys.create_or_update_policy("app", POLICY.format("encrypt").replace("log", "new"))
    env = {"BAO_TOKEN": transit.auth.token.create(policies=["app"])["auth"]["client_token"]}
    assert "refuses the token" in nothing_is_set_up(bare, service, place(openbao_server, "new"), env=env)
    assert "new" not in transit.secrets.transit.list_keys()["data"]["keys"]


def test_a_mount_that_is_not_there_is_reported_with_the_command_that_makes_it(openbao_server, service, bare):
    url = place(openbao_server).replace("/transit/", "/crypto/team/")
    said = nothing_is_set_up(bare, Service(None, None, 0, "vault-transit://"), url, env=service.env())
    assert "no engine transit at 'crypto/team'; make it with `bao secrets enable -path=crypto/team transit`" in said


def test_an_engine_at_a_longer_path_is_found(openbao_server, transit):
    transit.sys.enable_secrets_engine("transit", path="team/crypto")
    transit.secrets.transit.create_key("log", mount_point="team/crypto")
    try:
        custody = custodies.connect(place(openbao_server).replace("/transit/", "/team/crypto/"))
        custody.unwrap(custody.wrap(DataKey.generate(), OWNER), OWNER)
    finally:
        transit.sys.disable_secrets_engine("team/crypto")


def test_a_sealed_server_is_reported(openbao_server, transit, service, bare):
    transit.sys.seal()
    try:
        said = nothing_is_set_up(bare, service, service.url(timeout=1), env=service.env())
    finally:
        transit.sys.submit_unseal_key(openbao_server.key)
        servers.until(lambda: isinstance(transit.sys.read_health_status(method="GET"), dict), "the active node")
    assert "is sealed, or is just starting; see that the server runs and is unsealed" in said


# Tokens


REFUSED = "refuses the token, or its policy lacks a right; give a token that is valid by the variable BAO_TOKEN"


def test_a_wrong_token_is_reported(transit, service, bare):
    service.secrets.append("s.wrong-token")
    assert REFUSED in nothing_is_set_up(bare, service, service.url(), env={"BAO_TOKEN": "s.wrong-token"})
    assert REFUSED in nothing_is_set_up(bare, service, service.url(), env={})


@pytest.mark.parametrize("end", ["expired", "revoked"])
def test_a_token_that_has_ended_is_reported_and_a_new_one_will_do(transit, service, bare, end):
    old = token(transit, "encrypt", "decrypt", **({"ttl": "3s"} if end == "expired" else {}))
    service.secrets.append(old)
    init(bare, service.url(), env={"BAO_TOKEN": old})
    if end == "expired":
        time.sleep(3)
    else:
        transit.auth.token.revoke(old)
    assert REFUSED in nothing_is_sealed(bare, service, env={"BAO_TOKEN": old})
    seal(bare, b"one\n", env={"BAO_TOKEN": token(transit, "encrypt", "decrypt")})


@pytest.mark.parametrize("rights", [["encrypt"], ["decrypt"]])
def test_a_policy_that_lacks_a_right_is_reported_at_set_up(transit, service, bare, rights):
    env = {"BAO_TOKEN": token(transit, *rights)}
    assert REFUSED in nothing_is_set_up(bare, service, service.url(), env=env)


def test_a_token_may_lie_in_a_file(openbao_server, transit, service, bare):
    (bare.path / "token").write_text(openbao_server.token + "\n")
    init(bare, service.url(credential=bare.path / "token"), env={})
    seal(bare, b"one\n", env={})
    (bare.path / "token").unlink()
    assert "cannot be read from" in nothing_is_sealed(bare, service, env={})


# AppRole


@pytest.fixture
def approle(transit, service):
    """An AppRole, as (its role id, its secret id)."""
    transit.sys.enable_auth_method("approle")
    policy(transit, "encrypt", "decrypt")
    transit.auth.approle.create_or_update_approle("payments", token_policies=["app"], token_ttl="5m")
    role = transit.auth.approle.read_role_id("payments")["data"]["role_id"]
    secret = transit.auth.approle.generate_secret_id("payments")["data"]
    service.secrets.append(secret["secret_id"])
    return role, secret["secret_id"], secret["secret_id_accessor"]


LOGIN = r"refuses the login by approle at auth/approle; see that it is enabled there, that the role '.+' is right"


def test_an_approle_lets_in_by_a_variable_and_by_a_file(service, bare, approle):
    role, secret, _ = approle
    init(bare, service.url(login="approle", role=role), env={"BAO_SECRET_ID": secret})
    seal(bare, b"one\n", env={"VAULT_SECRET_ID": secret})
    (bare.path / "secret-id").write_text(secret + "\n")
    url = service.url(login="approle", role=role, credential=bare.path / "secret-id")
    init(bare, url, env={}, name="other")


def test_an_approle_without_its_secret_id_is_reported(service, bare, approle):
    said = nothing_is_set_up(bare, service, service.url(login="approle", role=approle[0]), env={})
    assert "no secret id to log in" in said
    assert "by the variable BAO_SECRET_ID" in said


def test_a_wrong_or_revoked_secret_id_is_reported(transit, service, bare, approle):
    role, secret, accessor = approle
    url = service.url(login="approle", role=role)
    init(bare, url, env={"BAO_SECRET_ID": secret})
    assert re.search(LOGIN, nothing_is_set_up(bare, service, url, env={"BAO_SECRET_ID": "wrong"}))
    transit.auth.approle.destroy_secret_id_accessor("payments", accessor)
    assert re.search(LOGIN, nothing_is_sealed(bare, service, env={"BAO_SECRET_ID": secret}))


def test_a_role_whose_policy_lacks_a_right_is_reported(transit, service, bare, approle):
    policy(transit, "encrypt")
    env = {"BAO_SECRET_ID": approle[1]}
    said = nothing_is_set_up(bare, service, service.url(login="approle", role=approle[0]), env=env)
    assert "but no further; give it the policy in the documentation" in said


def test_a_login_that_is_not_enabled_is_reported(transit, service, bare):
    url = service.url(login="approle", role="x", **{"login-mount": "elsewhere"})
    said = nothing_is_set_up(bare, service, url, env={"BAO_SECRET_ID": "x"})
    assert "refuses the login by approle at auth/elsewhere; see that it is enabled there" in said


def test_a_key_store_logs_in_by_approle_and_again_when_its_token_expires(openbao_server, transit, approle, monkeypatch):
    emptied("openbao", openbao_server)
    transit.sys.create_or_update_policy(
        "app", 'path "secret/*" { capabilities = ["create", "read", "update", "delete", "list"] }'
    )
    transit.auth.approle.create_or_update_approle(
        "payments", token_policies=["app"], token_ttl="2s", token_max_ttl="2s"
    )
    monkeypatch.delenv("BAO_TOKEN")
    store = keystore.connect(with_options(openbao_server.url(), login="approle", role=approle[0]))
    with pytest.raises(KeyStoreError, match="no secret id to log in"):
        store.names()
    monkeypatch.setenv("BAO_SECRET_ID", approle[1])
    store.create("payments", b"state", b"head")
    with store.lease("payments") as lease:
        time.sleep(3)
        lease.replace_head(b"head 1")
        monkeypatch.setenv("BAO_SECRET_ID", "wrong")
        time.sleep(3)
        with pytest.raises(KeyStoreError) as refused:
            lease.replace_head(b"head 2")
        assert re.search(LOGIN, explain(refused.value))
        monkeypatch.setenv("BAO_SECRET_ID", approle[1])
        lease.replace_head(b"head 3")
    assert store.load("payments").head == b"head 3"


# Kubernetes


def account(claims):
    """Return the token of a service account; who looks at it asks the cluster, not its signature."""
    parts = [json.dumps(part).encode() for part in ({"alg": "RS256", "typ": "JWT"}, claims)]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in [*parts, b"signature"])


@pytest.fixture
def cluster(transit, service, tmp_path):
    """What a cluster's API says of the tokens of its pods; a test changes the answer."""
    valid = {"username": "system:serviceaccount:shop:payments", "uid": "u-1", "groups": ["system:serviceaccounts"]}
    status = {"authenticated": True, "user": valid}

    def answer(path, headers, body):
        spec = json.loads(body)["spec"]
        return 201, {
            "kind": "TokenReview",
            "apiVersion": "authentication.k8s.io/v1",
            "spec": spec,
            "status": status,
        }

    servers.certificate(tmp_path)
    with servers.Answering.running(answer) as api:
        transit.sys.enable_auth_method("kubernetes")
        transit.auth.kubernetes.configure(
            f"http://127.0.0.1:{api.port}",
            kubernetes_ca_cert=(tmp_path / "cert").read_text(),
            token_reviewer_jwt=account({"sub": "reviewer"}),
            disable_local_ca_jwt=True,
        )
        policy(transit, "encrypt", "decrypt")
        transit.auth.kubernetes.create_role(
            "payments", bound_service_account_names=["payments"], bound_service_account_namespaces=["shop"],
            policies=["app"], ttl="5m", alias_name_source="serviceaccount_uid",
        )  # fmt: skip
        yield status


@pytest.fixture
def pod(bare, service, cluster):
    """The URL for a pod with the token of its service account, in a place that a test can write to."""
    names = {"namespace": "shop", "serviceaccount": {"name": "payments", "uid": "u-1"}}
    now = int(time.time())
    claims = {
        "sub": "system:serviceaccount:shop:payments",
        "iat": now,
        "nbf": now,
        "exp": now + 600,
        "kubernetes.io": names,
    }
    (bare.path / "account").write_text(account(claims))
    service.secrets.append(account(claims))
    return service.url(login="kubernetes", role="payments", credential=bare.path / "account")


def test_the_service_account_of_a_pod_lets_in(service, bare, pod):
    init(bare, pod, env={})
    seal(bare, b"one\n", env={})
    assert bare.verdict() == ("ok", [])


def test_a_pod_that_the_cluster_does_not_know_any_more_is_reported(service, bare, pod, cluster):
    init(bare, pod, env={})
    cluster.update(authenticated=False, user={}, error="token has expired")
    said = nothing_is_sealed(bare, service, env={})
    assert "refuses the login by kubernetes at auth/kubernetes" in said
    assert "the credential is valid and has not expired" in said


def test_a_process_outside_of_a_pod_is_reported(service, bare):
    said = nothing_is_set_up(bare, service, service.url(login="kubernetes", role="payments"), env={})
    assert "cannot be read from /var/run/secrets/kubernetes.io/serviceaccount/token: no such file" in said


# TLS


def test_a_server_is_believed_by_its_authority_only(openbao_server, service, bare):
    url = f"vault-transit://127.0.0.1:{openbao_server.tls_port}/transit/log"
    authority, env = openbao_server.authority, service.env()
    said = nothing_is_set_up(bare, service, url, env=env)
    assert "has no certificate that this host trusts; name its authority by ?cacert=FILE" in said
    init(bare, f"{url}?cacert={authority}", env=env)
    said = nothing_is_set_up(bare, service, f"{url}?cacert=/nowhere", env=env)
    assert "the certificates in /nowhere for OpenBao at vault-transit://" in said


# URLs


@pytest.mark.parametrize(
    "rest",
    [
        "", "hunter2", "//host", "//host/transit", "//host/transit/", "///transit/log", "//hunter2@host/transit/log",
        "//host:port/transit/log", "//[host/transit/log", "//host:0/transit/log", "//host/transit/log?token=hunter2",
        "//host/transit/log?login=hunter2", "//host/transit/log?login=approle", "//host/transit/log?tls=maybe",
        "//host/transit/log?timeout=0",
    ],
)  # fmt: skip
def test_a_malformed_url_is_reported_at_once(rest):
    with pytest.raises(CustodyError) as problem:
        custodies.connect(f"vault-transit:{rest}")
    assert "vault-transit" in explain(problem.value) or "OpenBao" in explain(problem.value)
    assert rest == "//host/transit/log?login=hunter2" or "hunter2" not in explain(problem.value)


def test_a_missing_package_is_reported_with_how_to_install_it(transit, service, bare):
    (bare.path / "without").mkdir()
    (bare.path / "without" / "hvac.py").write_text("raise ImportError\n")
    env = service.env() | {"PYTHONPATH": f"{bare.path}/without"}
    assert "vault-transit needs the package hvac; install it with: pip install 'tallystick[vault-transit]'" in (
        nothing_is_set_up(bare, Service(None, None, 0, "vault-transit"), service.url(), env=env)
    )

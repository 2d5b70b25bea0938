"""Custody by AWS KMS: moto's server for what it plays, a small one for the answers that the service documents."""

import json
import re
import time

import pytest

from tallystick import custody as custodies
from tallystick._core import DataKey
from tallystick.errors import CustodyError, explain
from tests import servers
from tests.custody.service import Service, ServiceSuite, init, nothing_is_sealed, nothing_is_set_up, seal
from tests.custody.suite import OWNER
from tests.keystore.test_servers import with_options

WITH = "give valid ones by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role of this machine"
SESSION = "session-token-0123456789"


def environment(port, **more):
    return {**servers.Moto.env, "AWS_ENDPOINT_URL_KMS": f"http://127.0.0.1:{port}", **more}


@pytest.fixture
def kms(moto_server, monkeypatch):
    """The server; the environment lets everything in."""
    for name, text in environment(moto_server.port).items():
        monkeypatch.setenv(name, text)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    return moto_server.client()


@pytest.fixture
def made(kms):
    return kms.create_key()["KeyMetadata"]


@pytest.fixture
def url(made):
    return f"aws-kms://eu-central-1/{made['KeyId']}"


@pytest.fixture
def service(moto_server, url):
    return Service(
        url=lambda port=None, **options: with_options(url, **options) if options else url,
        env=lambda port=None: environment(port or moto_server.port),
        port=moto_server.port,
        names=re.escape(url),
        secrets=[servers.PASSWORD],
    )


class TestAwsKms(ServiceSuite):
    @pytest.fixture
    def service(self, service):
        return service

    @pytest.fixture
    def custody(self, url):
        return custodies.connect(url)

    @pytest.fixture
    def stranger(self, kms):
        return custodies.connect(f"aws-kms://eu-central-1/{kms.create_key()['KeyMetadata']['KeyId']}")


# The key


def test_a_key_goes_by_its_id_its_arn_or_an_alias(kms, made, url):
    name = f"alias/{made['KeyId']}"
    kms.create_alias(AliasName=name, TargetKeyId=made["KeyId"])
    arn = made["Arn"].partition(":key/")[0]
    for place in (made["KeyId"], made["Arn"], name, f"{arn}:{name}"):
        custody = custodies.connect(f"aws-kms://eu-central-1/{place}")
        custody.unwrap(custody.wrap(DataKey.generate(), OWNER), OWNER)


def test_each_request_bears_the_context_that_policies_and_trails_name(url, kms):
    wrapped = custodies.connect(url).wrap(DataKey.generate(), OWNER)
    outer = wrapped[2 : 2 + int.from_bytes(wrapped[:2], "big")]
    kms.decrypt(CiphertextBlob=outer, EncryptionContext={"application": "tallystick"})
    for other in ({}, {"application": "other"}):
        with pytest.raises(kms.exceptions.InvalidCiphertextException):
            kms.decrypt(CiphertextBlob=outer, EncryptionContext=other)


def test_a_key_that_is_not_there_is_reported(service, bare):
    url = service.url().rpartition("/")[0] + "/alias/nothing"
    said = nothing_is_set_up(bare, Service(None, None, 0, re.escape(url)), url, env=service.env())
    assert "this key is not there; see that region, account and key are right" in said


def test_a_key_that_is_not_for_encryption_is_reported(kms, service, bare):
    """moto encrypts with it all the same, so this is what the service documents."""
    said = answered("InvalidKeyUsageException", bare, service)
    assert "is not for this; take a symmetric one" in said


def answered(code, bare, service, status=400, **more):
    """Set a log up with a service that refuses so; return what is said."""
    answer = (status, {"__type": code, "message": "words of the service"})
    with servers.Answering.running(lambda path, headers, body: answer) as server:
        said = nothing_is_set_up(bare, service, service.url(timeout=1), env=environment(server.port, **more))
    assert "words of the service" not in said
    return said


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("UnrecognizedClientException", f"AWS does not know these credentials (UnrecognizedClientException); {WITH}"),
        ("InvalidSignatureException", "AWS does not know these credentials"),
        ("AccessDeniedException", "allow kms:Encrypt with this key to this process, in the policy that the docu"),
        ("DisabledException", "this key is disabled; enable it with `aws kms enable-key`"),
        ("KMSInvalidStateException", "if it is to be deleted, `aws kms cancel-key-deletion`"),
        ("ExpiredTokenException", "have expired, or the clock is wrong (ExpiredTokenException); give valid ones by"),
        ("com.amazonaws.kms#ExpiredTokenException", "have expired"),
        ("RequestExpired", "the clock is wrong (RequestExpired)"),
        ("ThrottlingException", "is busy or in trouble (ThrottlingException); see that the service can be reached"),
        ("KeyUnavailableException", "is busy or in trouble"),
        ("SomethingNew", "refuses (SomethingNew); look the code up"),
    ],
)
def test_an_error_that_moto_does_not_play_is_reported_as_the_service_documents_it(service, bare, code, told):
    service.secrets.append(SESSION)
    status = 500 if code == "KeyUnavailableException" else 400
    assert told in answered(code, bare, service, status, AWS_SESSION_TOKEN=SESSION)


def test_a_key_that_was_disabled_stops_a_log_that_is_there(moto_server, service, bare):
    """The same for a log as for its set-up; until then all goes to moto."""
    init(bare, service.url(), env=service.env())
    seal(bare, b"one\n", env=service.env())
    with servers.Answering.running(lambda path, headers, body: (400, {"__type": "DisabledException"})) as server:
        assert "is disabled; enable it" in nothing_is_sealed(bare, service, env=environment(server.port))
    seal(bare, b"two\n", env=service.env())
    assert bare.verdict() == ("ok", [])


def test_a_right_to_decrypt_that_lacks_is_reported_although_it_might_be_another_key(service, bare):
    init(bare, service.url(), env=service.env())
    with servers.Answering.running(lambda path, headers, body: (400, {"__type": "AccessDeniedException"})) as server:
        said = nothing_is_sealed(bare, service, env=environment(server.port))
    assert "wrong key, or the state was changed; if neither, allow kms:Decrypt with this key to this process" in said


def test_attempts_end_in_time_altogether(service, bare):
    came = []

    def answer(path, headers, body):
        came.append(time.monotonic())
        return 500, {"__type": "KMSInternalException"}

    with servers.Answering.running(answer) as server:
        nothing_is_set_up(bare, service, service.url(timeout=2), env=environment(server.port))
    assert len(came) > 2
    assert came[-1] - came[0] < 2


# Who asks. Where moto judges that, it answers with 403 and no code that a client understands.


def test_a_caller_without_an_identity_is_reported(service, bare):
    env = {name: text for name, text in service.env().items() if "ACCESS" not in name}
    said = nothing_is_set_up(bare, service, service.url(), env=env)
    assert "no credentials for AWS that work were found (NoCredentialsError); give valid ones by" in said
    assert WITH in said
    said = nothing_is_set_up(bare, service, service.url(), env=env | {"AWS_PROFILE": "nobody"})
    assert "(ProfileNotFound)" in said


def test_credentials_of_a_profile_will_do(service, bare):
    (bare.path / ".aws").mkdir()
    env = service.env()
    (bare.path / ".aws" / "credentials").write_text(
        f"[audit]\naws_access_key_id = {env.pop('AWS_ACCESS_KEY_ID')}\n"
        f"aws_secret_access_key = {env.pop('AWS_SECRET_ACCESS_KEY')}\n"
    )
    init(bare, service.url(), env=env | {"AWS_PROFILE": "audit"})


@pytest.fixture
def user(moto_server):
    """Make users with a policy; each call returns the variables that name one."""
    iam, names = moto_server.client("iam"), []

    def make(name, *actions, key="*"):
        iam.create_user(UserName=name)
        names.append(name)
        if actions:
            statement = {"Effect": "Allow", "Action": list(actions), "Resource": key}
            document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
        given = iam.create_access_key(UserName=name)["AccessKey"]
        return {"AWS_ACCESS_KEY_ID": given["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"]}

    yield make
    for name in names:
        for given in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
            iam.delete_access_key(UserName=name, AccessKeyId=given["AccessKeyId"])
        for policy in iam.list_user_policies(UserName=name)["PolicyNames"]:
            iam.delete_user_policy(UserName=name, PolicyName=policy)
        iam.delete_user(UserName=name)


def test_wrong_credentials_are_reported(moto_server, service, bare, user):
    right = user("payments", "kms:Encrypt", "kms:Decrypt")
    with moto_server.judging():
        init(bare, service.url(), env=service.env() | right)
        for wrong in ({"AWS_SECRET_ACCESS_KEY": "wrong-secret"}, {"AWS_ACCESS_KEY_ID": "AKIANOBODY"}):
            service.secrets.append(wrong.get("AWS_SECRET_ACCESS_KEY", right["AWS_SECRET_ACCESS_KEY"]))
            said = nothing_is_sealed(bare, service, env=service.env() | right | wrong)
            assert "these credentials are refused" in said
            assert WITH in said
        seal(bare, b"one\n", env=service.env() | right)


def test_credentials_that_were_taken_away_are_reported(moto_server, service, bare, user):
    right = user("payments", "kms:Encrypt", "kms:Decrypt")
    with moto_server.judging():
        init(bare, service.url(), env=service.env() | right)
    moto_server.client("iam").delete_access_key(UserName="payments", AccessKeyId=right["AWS_ACCESS_KEY_ID"])
    with moto_server.judging():
        assert "these credentials are refused" in nothing_is_sealed(bare, service, env=service.env() | right)


@pytest.mark.parametrize(("has", "lacks"), [("Encrypt", "Decrypt"), ("Decrypt", "Encrypt")])
def test_a_right_that_lacks_is_reported_at_set_up(moto_server, service, bare, user, has, lacks):
    env = service.env() | user("payments", f"kms:{has}")
    with moto_server.judging():
        said = nothing_is_set_up(bare, service, service.url(), env=env)
    assert f"these credentials are refused, or lack kms:{lacks} with this key" in said


def test_a_role_that_may_not_be_assumed_is_reported(service, bare):
    """On the way to credentials another service refuses: that is no matter of the key's policy."""
    (bare.path / ".aws").mkdir()
    env = service.env()
    (bare.path / ".aws" / "config").write_text(
        "[profile audit]\nrole_arn = arn:aws:iam::123456789012:role/audit\nsource_profile = base\n"
        f"[profile base]\naws_access_key_id = {env.pop('AWS_ACCESS_KEY_ID')}\n"
        f"aws_secret_access_key = {env.pop('AWS_SECRET_ACCESS_KEY')}\n"
    )
    error = b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"
    with servers.Answering.running(lambda path, headers, body: (403, error)) as server:
        env |= {"AWS_PROFILE": "audit", "AWS_ENDPOINT_URL_STS": f"http://127.0.0.1:{server.port}"}
        said = nothing_is_set_up(bare, service, service.url(), env=env)
    assert "no credentials for AWS that work were found (AssumeRole: AccessDenied)" in said


# Places


@pytest.mark.parametrize(
    "rest",
    [
        "", "alias/x", "//eu-central-1", "//eu-central-1/", "//eu-central-1/alias/", "//hunter2@eu-central-1/alias/x",
        "//Eu/alias/x", "//eu-central-1/alias/x?secret=hunter2", "//eu-central-1/alias/x?timeout=1e9",
        "//eu-central-1/arn:aws:kms:us-east-1:123456789012:key/1234", "//eu-central-1/a b", "//eu-central-1/a\nb",
    ],
)  # fmt: skip
def test_a_malformed_url_is_reported_at_once(rest):
    with pytest.raises(CustodyError, match="aws-kms:") as problem:
        custodies.connect(f"aws-kms:{rest}")
    assert "hunter2" not in explain(problem.value)


def test_an_invalid_endpoint_is_reported(service, bare):
    said = nothing_is_set_up(bare, service, service.url(), env=service.env() | {"AWS_ENDPOINT_URL_KMS": "nowhere"})
    assert "AWS_ENDPOINT_URL or AWS_ENDPOINT_URL_KMS holds no URL" in said


def test_a_missing_package_is_reported_with_how_to_install_it(service, bare):
    (bare.path / "without").mkdir()
    (bare.path / "without" / "boto3.py").write_text("raise ImportError\n")
    env = service.env() | {"PYTHONPATH": f"{bare.path}/without"}
    said = nothing_is_set_up(bare, Service(None, None, 0, "aws-kms"), service.url(), env=env)
    assert "aws-kms needs the package boto3; install it with: pip install 'tallystick[aws-kms]'" in said

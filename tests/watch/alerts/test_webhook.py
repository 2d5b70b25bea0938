"""Webhooks: forms, signatures, secrets, certificates, proxies."""

import hashlib
import hmac
import http.server
import json
import ssl
import subprocess
import threading
import time

import pytest

from tallystick.errors import TallystickError
from tallystick.watch import config
from tallystick.watch.alerts.form import plain_event
from tallystick.watch.alerts.receiver import AwayError
from tallystick.watch.alerts.webhook import WebhookUrl
from tests.servers import free_port, program
from tests.watch.alerts.receiving import Hook
from tests.watch.events import event, hostile


def post(url, given=None, **more):
    WebhookUrl(config.Webhook(url, **more)).deliver(plain_event(given or event(1)), threading.Event())


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret"
    path.write_text("s3cr3t-t0ken\n")
    path.chmod(0o600)
    return path


def test_cloudevents_are_in_structured_mode(hook):
    post(hook.url, hostile(), form="cloudevents")
    headers, body = hook.requests[0]
    found = json.loads(body)
    assert headers["Content-Type"] == "application/cloudevents+json; charset=utf-8"
    assert (found["specversion"], found["datacontenttype"]) == ("1.0", "application/json")
    assert found["type"] == "tallystick.watch.change"
    assert found["time"] == "2025-11-27T00:00:00Z"
    assert found["source"].startswith("urn:tallystick:watch:")
    assert found["data"]["id"] == found["id"] == "1"


def test_a_token_is_sent_and_read_again_for_each_post(hook, secret):
    receiver = WebhookUrl(config.Webhook(hook.url, token_file=secret))
    receiver.deliver(plain_event(event(1)), threading.Event())
    secret.write_text("another")
    receiver.deliver(plain_event(event(2)), threading.Event())
    assert [headers["Authorization"] for headers, _ in hook.requests] == ["Bearer s3cr3t-t0ken", "Bearer another"]


def test_a_signature_covers_the_body_and_a_time_of_now(hook, secret):
    post(hook.url, hmac_file=secret)
    headers, body = hook.requests[0]
    at, _, mac = headers["X-Tallystick-Signature"].partition(",v1=")
    assert abs(int(at.removeprefix("t=")) - time.time()) < 60
    signed = at.removeprefix("t=").encode() + b"." + body
    assert mac == hmac.new(b"s3cr3t-t0ken", signed, hashlib.sha256).hexdigest()


@pytest.mark.parametrize("trouble", ["mode", "gone", "empty", "long", "lines", "directory", "link"])
def test_a_secret_that_cannot_be_taken_is_reported_without_it(hook, secret, trouble, tmp_path):
    if trouble == "mode":
        secret.chmod(0o644)
    elif trouble == "gone":
        secret.unlink()
    elif trouble == "directory":
        secret.unlink()
        secret.mkdir()
    elif trouble == "link":
        secret.rename(tmp_path / "other")
        secret.symlink_to(tmp_path / "other")
    else:
        secret.write_text({"empty": "", "long": "s3cr3t" * 1000, "lines": "s3cr3t\r\nX-Other: 1"}[trouble])
    with pytest.raises(AwayError) as caught:
        post(hook.url, token_file=secret)
    assert "s3cr3t" not in str(caught.value)
    assert str(secret) in str(caught.value)
    assert not hook.tried


def test_trouble_names_neither_path_nor_query_nor_token(secret):
    with pytest.raises(AwayError) as caught:
        post(f"http://127.0.0.1:{free_port()}/services/T000/s3cr3t?key=s3cr3t", token_file=secret)
    assert "s3cr3t" not in f"{caught.value!r}{caught.value}{caught.value.__cause__}"
    url = f"https://example.org/s3cr3t?x={'s3cr3t'}"
    receiver = WebhookUrl(config.Webhook(url))
    assert (receiver.name, "s3cr3t" in repr(config.Webhook(url))) == ("webhook https://example.org", False)


def test_no_log_of_a_library_names_the_url(hook, secret, caplog):
    caplog.set_level(1)
    post(hook.url, token_file=secret, hmac_file=secret)
    assert hook.taken
    assert "s3cr3t" not in caplog.text


def test_no_proxy_of_the_environment_sees_what_goes_to_loopback_unencrypted(hook, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    post(hook.url)
    assert len(hook.taken) == 1


def test_an_unknown_form_is_refused(hook):
    with pytest.raises(TallystickError, match="no form of a webhook"):
        post(hook.url, form="xml")


@pytest.fixture
def secure_hook(tmp_path):
    """A receiver behind TLS, with a certificate of its own, and a proxy that connects to it."""
    openssl = program("openssl", "install the package openssl")
    done = subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=tmp_path, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    hook = Hook().start(context)
    yield hook
    hook.stop()


def test_a_certificate_of_nobody_is_refused_and_one_of_a_known_authority_taken(secure_hook, tmp_path, monkeypatch):
    url = f"https://localhost:{secure_hook.port}/s3cr3t"
    with pytest.raises(AwayError, match="its certificate is not valid"):
        post(url)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    post(url)
    assert len(secure_hook.taken) == 1
    with pytest.raises(AwayError, match="its certificate is not valid"):
        post(f"https://127.0.0.1:{secure_hook.port}/")  # the certificate names another host


def test_https_goes_through_the_proxy_of_the_environment_and_stays_encrypted(secure_hook, tmp_path, monkeypatch):
    asked = []

    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_CONNECT(self):
            asked.append((self.path, dict(self.headers)))
            self.send_error(502)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        with pytest.raises(AwayError, match="cannot be reached"):
            post(f"https://hooks.example.org:{secure_hook.port}/s3cr3t")
        server.shutdown()
    assert [path for path, _ in asked] == [f"hooks.example.org:{secure_hook.port}"]
    assert "s3cr3t" not in str(asked)

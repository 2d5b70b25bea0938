"""Who may read, and what a browser may do with what is served: nothing that was not meant."""

import ssl
import subprocess

import pytest

from tallystick.watch.config import Web
from tallystick.watch.web import WebError, serve
from tests import servers
from tests.watch.web.conftest import Client, basic

TOKEN = "0123456789abcdef0123456789abcdef"
ANYWHERE = "0.0.0.0"


@pytest.mark.parametrize("host", [ANYWHERE, "::"])
def test_other_machines_are_not_served_without_a_token_or_certificates(standings, host):
    with pytest.raises(WebError, match="nothing says who may read there"):
        serve(Web(host, 0), standings)


def test_a_request_needs_the_token(standings, serving, token):
    ask = Client(serving(standings, Web("127.0.0.1", 0, token_file=token)))
    for wrong in (
        None,
        "Bearer",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN}x",
        f"Basic {TOKEN}",
        "Basic !",
        basic("wrong"),
        f"Digest {TOKEN}",
        "Bearer \xff",
    ):
        for path in (
            "/",
            "/api/v1/logs",
            "/metrics",
            "/events",
            "/static/page.js",
            "/nowhere",
            "/reports/json/payments",
        ):
            answer = ask(path, **({"Authorization": wrong} if wrong else {}))
            assert answer.status == 401
            assert answer.headers["www-authenticate"].startswith("Basic ")
    for right in (f"Bearer {TOKEN}", f"bearer {TOKEN}", basic(TOKEN)):
        assert ask("/", Authorization=right).status == 200


def test_a_probe_needs_no_token(standings, serving, token):
    ask = Client(serving(standings, Web("127.0.0.1", 0, token_file=token)))
    assert ask("/healthz").json == {"status": "ok"}
    assert ask("/readyz").status == 200


def test_a_token_in_plain_text_on_a_network_is_warned_of(standings, serving, token):
    assert "plain text" in serving(standings, Web(ANYWHERE, 0, token_file=token)).warning
    assert serving(standings, Web("127.0.0.1", 0, token_file=token)).warning is None


@pytest.mark.parametrize("text", ["", "short", "two words of a token 123456", "ü" * 30, "x" * 5000])
def test_a_file_without_a_good_token_is_refused(standings, token, text):
    token.write_text(text)
    with pytest.raises(WebError) as caught:
        serve(Web("127.0.0.1", 0, token_file=token), standings)
    assert "openssl rand" in caught.value.hint
    assert not text or text not in str(caught.value)


def test_a_token_that_others_can_read_is_refused(standings, token):
    token.chmod(0o644)
    with pytest.raises(WebError, match="is open to other users"):
        serve(Web("127.0.0.1", 0, token_file=token), standings)


def test_a_token_that_is_not_there_is_reported(standings, tmp_path):
    with pytest.raises(WebError, match="no such file"):
        serve(Web("127.0.0.1", 0, token_file=tmp_path / "none"), standings)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:80",
        "127.0.0.1.evil.example",
        "192.0.2.1",
        "localhost.",
        "[::1",
        "localhost@evil.example",
        "",
    ],
)
def test_a_name_that_was_made_to_lead_here_is_refused(ask, host):
    assert ask("/", Host=host).status == 421
    assert ask("/healthz", Host=host).status == 421


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9", "[::1]:80", "LOCALHOST:1"])
def test_names_of_loopback_are_answered(ask, host):
    assert ask("/", Host=host).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
def test_all_is_read_only(ask, method):
    answer = ask("/", method)
    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD"


def test_a_body_is_refused(ask):
    assert ask("/", Content_Length="5").status == 400
    assert ask("/", Transfer_Encoding="chunked").status == 400


@pytest.mark.parametrize(
    "path", ["/", "/logs/payments", "/api/v1/logs", "/events", "/reports/html/payments", "/static/page.css"]
)
def test_a_head_has_no_body(ask, path):
    answer = ask(path, "HEAD")
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(
    "path", ["/", "/logs/none", "/api/v1/logs", "/static/page.js", "/reports/html/payments", "/healthz"]
)
def test_every_answer_tells_browsers_to_do_nothing_else_with_it(ask, path):
    headers = ask(path).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "style-src": "'self'",
        "script-src": "'self'",
        "img-src": "'self'",
        "connect-src": "'self'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers
    assert "access-control-allow-origin" not in headers


def test_a_page_of_another_site_gets_nothing_but_may_link_here(ask):
    assert ask("/api/v1/logs", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors").status == 403
    assert ask("/events", Sec_Fetch_Site="same-site", Sec_Fetch_Mode="cors").status == 403
    assert ask("/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate").status == 200
    assert ask("/api/v1/logs", Sec_Fetch_Site="same-origin", Sec_Fetch_Mode="cors").status == 200


def test_an_address_that_is_taken_is_reported(standings, serving):
    taken = int(serving(standings).address.rpartition(":")[2])
    with pytest.raises(WebError, match="already in use"):
        serve(Web("127.0.0.1", taken), standings)


@pytest.mark.parametrize("web", [Web("127.0.0.1", 70_000), Web("no-such-host.invalid", 0), Web("203.0.113.7", 0)])
def test_an_address_that_cannot_be_is_reported(standings, web):
    with pytest.raises(WebError, match="cannot listen at"):
        serve(web, standings)


def test_a_server_that_never_started_stops(standings):
    serve(Web("127.0.0.1", 0), standings).stop(1)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """An authority, and certificates of a server and of a client that it signed."""
    place = tmp_path_factory.mktemp("certificates")
    servers.authority(place, server="IP:127.0.0.1", client="IP:127.0.0.1")
    return place


def test_a_client_needs_a_certificate_of_the_authority(standings, serving, certificates):
    web = Web(
        ANYWHERE,
        0,
        certificate=certificates / "server.pem",
        private_key=certificates / "server.key",
        client_ca=certificates / "ca.pem",
    )
    server = serving(standings, web)
    assert server.warning is None
    trusting = ssl.create_default_context(cafile=certificates / "ca.pem")
    trusting.check_hostname = False
    with pytest.raises((ssl.SSLError, ConnectionError, OSError)):
        Client(server, context=trusting)("/healthz")
    trusting.load_cert_chain(certificates / "client.pem", certificates / "client.key")
    assert Client(server, context=trusting)("/").status == 200


def test_a_private_key_that_others_can_read_is_refused(standings, certificates, tmp_path):
    key = tmp_path / "server.key"
    key.write_bytes((certificates / "server.key").read_bytes())
    key.chmod(0o644)
    with pytest.raises(WebError, match="is open to other users"):
        serve(Web("127.0.0.1", 0, certificate=certificates / "server.pem", private_key=key), standings)


def test_a_private_key_with_a_password_is_refused_and_nobody_is_asked_for_it(standings, certificates, tmp_path):
    key = tmp_path / "locked.key"
    key.touch(0o600)
    command = ["openssl", "ec", "-in", certificates / "server.key", "-aes128", "-passout", "pass:secret", "-out", key]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    with pytest.raises(WebError) as caught:
        serve(Web("127.0.0.1", 0, certificate=certificates / "server.pem", private_key=key), standings)
    assert "without a password" in caught.value.hint


def test_certificates_of_clients_without_one_of_the_server_are_no_protection(standings, certificates):
    with pytest.raises(WebError, match="needs a certificate"):
        serve(Web(ANYWHERE, 0, client_ca=certificates / "ca.pem"), standings)


def test_an_invalid_certificate_is_reported(standings, certificates, token):
    with pytest.raises(WebError, match="cannot be used"):
        serve(Web("127.0.0.1", 0, certificate=token), standings)


def test_a_missing_package_is_named_with_the_command_that_installs_it(standings, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "uvicorn", None)
    with pytest.raises(WebError) as caught:
        serve(Web("127.0.0.1", 0), standings)
    assert caught.value.hint == "install it with: pip install 'tallystick[watch]'"


def test_a_name_of_this_machine_is_loopback_where_it_leads_there(standings, serving):
    assert Client(serving(standings, Web("localhost", 0)))("/").status == 200

"""What custody by a service on a network promises if the service, the network or somebody in between does harm.

A provider's test class gives `service`, which says how to reach it, and whatever else CustodySuite asks for.
"""

import base64
import re
import time
from dataclasses import dataclass, field

import pytest

from tallystick import custody as custodies
from tallystick._core import DataKey
from tallystick.errors import CustodyError
from tests import servers
from tests.custody.suite import OWNER, OutsideSuite
from tests.sealed import entries


def _page(body, status=b"200 OK"):
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


GARBAGE = {
    "noise": b"\xff\x00garbage\r\n" * 50,
    "another protocol": b"+OK\r\n",
    "empty": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "a list": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
    "other types": _page(b'{"data":{"ciphertext":7,"plaintext":7},"CiphertextBlob":7,"Plaintext":7,"KeyId":7}'),
    "no base64": _page(b'{"data":{"ciphertext":"vault:v1:?","plaintext":"?"},"CiphertextBlob":"?","Plaintext":"?"}'),
    "a page": _page(b"<html>sorry</html>", b"502 Bad Gateway"),
}


@dataclass
class Service:
    """How to reach a service as its user does.

    Args:
        url: That of a custody, by the port to go to and options.
        env: What to set so that it lets one in; for a port as well.
        port: Where it listens.
        names: A pattern for how messages name it.
        secrets: What no message may hold.
    """

    url: object
    env: object
    port: int
    names: str
    secrets: list[str] = field(default_factory=list)


def refused(site, service, *arguments, env, within=8.0, **more):
    """Run a command that must fail for its custody's sake; return what it says."""
    began = time.monotonic()
    done = site(*arguments, env=env, **more)
    assert time.monotonic() - began < within
    assert done.status == 4, done
    assert done.out == b""
    assert len(re.findall(r"^(?:tallystick|error): ", done.err, re.MULTILINE)) <= 1
    for secret in service.secrets:
        assert secret not in done.err
    assert re.search(service.names, done.err), done.err
    return done.err


def everything(site):
    """Return all that lies in a place, and what it holds; but not who tried to write last."""
    return {path: path.read_bytes() for path in site.path.rglob("*") if path.is_file() and path.name != "lock"}


def init(site, url, *, env, name="payments"):
    """Set a log up."""
    done = site("init", name, "--custody", url, "--verification-key", f"{name}.key", env=env)
    assert done.status == 0, done.err


def seal(site, data, *, env):
    """Append sealed lines to a file."""
    done = site("seal", "payments", "-o", "audit.log", stdin=data, env=env)
    assert (done.status, done.err) == (0, ""), done


def nothing_is_set_up(site, service, url, *, env, within=8.0):
    """Set a log up in vain; return what is said."""
    said = refused(
        site, service, "init", "lost", "--custody", url, "--verification-key", "lost.key", env=env, within=within
    )
    assert not [path for path in everything(site) if "lost" in path.name]
    return said


def nothing_is_sealed(site, service, *, env, within=8.0):
    """Seal in vain into a log that is there; return what is said."""
    before = everything(site)
    said = refused(site, service, "seal", "payments", "-o", "audit.log", stdin=b"lost\n", env=env, within=within)
    now = everything(site)
    assert {path: now[path] for path in before} == before
    assert not any(b"lost" in content for path, content in now.items() if path not in before)
    return said


class ServiceSuite(OutsideSuite):
    @pytest.fixture
    def service(self):
        raise NotImplementedError("a provider's test class gives a Service")

    @pytest.fixture
    def proxy(self, service):
        proxy = servers.Proxy(service.port)
        yield proxy
        proxy.stalled = False
        proxy.close()

    @pytest.mark.parametrize("harm", ["away", "slow", "garbage"])
    def test_trouble_is_reported_in_time_and_nothing_is_written(self, service, proxy, bare, harm):
        env, url = service.env(proxy.port), service.url(proxy.port, timeout=1)
        init(bare, url, env=env)
        seal(bare, b"one\n", env=env)
        target = proxy.target
        if harm == "away":
            proxy.target = servers.free_port()
        proxy.stalled = harm == "slow"
        proxy.garbage = GARBAGE["noise"] if harm == "garbage" else None
        for said in (nothing_is_set_up(bare, service, url, env=env), nothing_is_sealed(bare, service, env=env)):
            assert re.search(r"see that|try again", said), said
        proxy.target, proxy.stalled, proxy.garbage = target, False, None
        seal(bare, b"two\n", env=env)
        assert entries(bare.read()) == [b"one", b"two"]
        assert bare.verdict() == ("ok", [])

    def test_no_garbage_is_taken_for_an_answer(self, service, proxy, monkeypatch):
        for name, text in service.env(proxy.port).items():
            monkeypatch.setenv(name, text)
        custody = custodies.connect(service.url(proxy.port, timeout=0.5))
        wrapped = custody.wrap(DataKey.generate(), OWNER)
        for proxy.garbage in GARBAGE.values():
            for work in (lambda: custody.wrap(DataKey.generate(), OWNER), lambda: custody.unwrap(wrapped, OWNER)):
                with pytest.raises(CustodyError, match=f"{service.names}.*\nhint: .*(see that|try again)"):
                    work()

    def test_a_service_that_is_busy_for_a_moment_is_asked_again(self, service, proxy, bare):
        env, url = service.env(proxy.port), service.url(proxy.port)
        proxy.cut_after(server=20)
        init(bare, url, env=env)

    def test_what_a_server_says_back_is_not_told(self, service, bare):
        """It may be another one, or a proxy that quotes what it was sent."""
        seen = []

        def answer(path, headers, body):
            seen.append(str(headers) + body.decode())
            return 400, {"errors": [seen[-1]], "__type": seen[-1], "message": seen[-1]}

        with servers.Answering.running(answer) as server:
            said = nothing_is_set_up(bare, service, service.url(server.port, timeout=1), env=service.env(server.port))
        sent = [text for text in re.findall(r"[A-Za-z0-9+/=_-]{16,}", seen[0]) if text not in service.url(server.port)]
        assert any(
            len(base64.b64decode(text + "==")) >= 43 for text in sent if re.fullmatch(r"[A-Za-z0-9+/]{56,}=*", text)
        )
        for text in sent:
            assert text not in said

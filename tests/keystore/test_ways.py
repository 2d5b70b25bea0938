"""The way to a store or a custody on a server: where it leads, how long it takes, and who can listen on it."""

import base64
import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress

import pytest

import tallystick
from tallystick import custody as custodies
from tallystick import keystore
from tallystick._core import DataKey
from tallystick._services import AwayError, Line
from tallystick.errors import CustodyError, KeyStoreError, explain
from tests import servers
from tests.custody.suite import OWNER
from tests.servers import PASSWORD, Answering

TOKEN = "s.token-of-the-writer"
BEFORE_AND_AFTER = 1.0  # seconds beyond the timeout: threads start late where other work runs beside them


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("PG", "AWS_", "BAO_", "VAULT_", "TALLYSTICK_"))]:
        monkeypatch.delenv(name)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BAO_TOKEN", TOKEN)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    monkeypatch.setenv("TALLYSTICK_REDIS_PASSWORD", PASSWORD)
    for name, text in servers.Moto.env.items():
        monkeypatch.setenv(name, text)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for this host, as (the file, a context that shows it)."""
    made = tmp_path_factory.mktemp("certificate")
    command = [servers.program("openssl", "apt install openssl"), "req", "-x509", "-newkey", "ec", "-nodes"]
    command += ["-pkeyopt", "ec_paramgen_curve:P-256", "-days", "2", "-subj", "/CN=here", "-addext"]
    command += ["subjectAltName=IP:127.0.0.1", "-keyout", str(made / "key"), "-out", str(made / "cert")]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made / "cert", made / "key")
    return made / "cert", context


# Redirects


@contextlib.contextmanager
def answering(answer, context=None):
    """Run a server with answers of a test, with TLS if there is a context."""
    with Answering.running(answer) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        yield server


def work_with(kind, port, tls, authority):
    """Ask a store or a custody on a port for something."""
    more = "tls=off" if tls is None else f"cacert={authority}"
    if kind == "vault-transit":
        custody = f"vault-transit://127.0.0.1:{port}/transit/log?{more}&timeout=1"
        with tempfile.TemporaryDirectory() as directory:
            tallystick.create("log", store=f"file:{directory}/s", custody=custody, key_file=f"{directory}/key")
    else:
        keystore.connect(f"openbao://127.0.0.1:{port}/secret?{more}&timeout=1").names()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("kind", ["openbao", "vault-transit"])
def test_a_redirect_gets_nothing_and_is_reported(kind, status, certificate):
    authority, context = certificate
    came, asked = [], []

    def elsewhere(path, headers, body):
        came.append((str(headers), body))
        return 200, {}

    with Answering.running(elsewhere) as other:

        def answer(path, headers, body):
            asked.append(headers["X-Vault-Token"])
            return status, {}, {"Location": f"http://127.0.0.1:{other.port}/v1/secret"}

        with answering(answer, context) as server, pytest.raises((KeyStoreError, CustodyError)) as problem:
            work_with(kind, server.port, context, authority)
    assert TOKEN in asked
    assert came == []
    assert "answers with a redirect, which is not followed" in explain(problem.value)
    assert str(other.port) not in explain(problem.value)


@pytest.mark.parametrize("place", ["https://127.0.0.1:{own}/v1/secret", "/v1/other", "//127.0.0.1:{own}/v1/other"])
def test_a_redirect_that_stays_with_the_server_is_not_followed_either(place, certificate):
    """Whoever follows none cannot be led from one to the next."""
    authority, context = certificate
    asked = []

    def answer(path, headers, body):
        asked.append(headers)
        return 307, {}, {"Location": place.format(own=server.port)}

    with answering(answer, context) as server, pytest.raises(KeyStoreError, match="a redirect, which is not followed"):
        keystore.connect(f"openbao://127.0.0.1:{server.port}/secret?cacert={authority}&timeout=1").names()
    assert len(asked) < 10  # attempts within a second; a client that follows asks some thirty times for each


def test_a_secret_id_follows_no_redirect_at_a_login(monkeypatch, certificate):
    authority, context = certificate
    monkeypatch.setenv("BAO_SECRET_ID", "the-secret-id")
    came = []
    with Answering.running(lambda *given: (came.append(given), (200, {}))[1]) as other:
        place = {"Location": f"http://127.0.0.1:{other.port}/v1/auth/approle/login"}
        with answering(lambda path, headers, body: (307, {}, place), context) as server:
            url = f"openbao://127.0.0.1:{server.port}/secret?cacert={authority}&login=approle&role=app&timeout=1"
            with pytest.raises(KeyStoreError, match="a redirect, which is not followed"):
                keystore.connect(url).names()
    assert came == []


@pytest.mark.parametrize("kind", ["openbao", "vault-transit", "aws-kms"])
def test_a_proxy_of_the_environment_sees_nothing_that_is_not_encrypted(kind, monkeypatch):
    seen, asked = [], []

    def answer(path, headers, body):
        asked.append(headers)
        ciphertext = base64.b64encode(b"x" * 40).decode()
        data = {"keys": ["payments"], "ciphertext": f"vault:v1:{ciphertext}"}
        return 200, {"data": data, "CiphertextBlob": ciphertext}

    with Answering.running(lambda *given: (seen.append(given), (502, {}))[1]) as proxy, answering(answer) as server:
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        if kind == "aws-kms":
            monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", f"http://127.0.0.1:{server.port}")
            custodies.connect("aws-kms://eu-central-1/alias/x").wrap(DataKey.generate(), OWNER)
        else:
            with suppress(CustodyError):  # it does not decrypt
                work_with(kind, server.port, None, None)
    assert asked
    assert seen == []


@pytest.mark.parametrize("options", ["", "?tls=on"])
def test_a_key_for_aws_does_not_go_to_another_host_in_the_clear(monkeypatch, options):
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://kms.example:1")
    with pytest.raises(CustodyError, match=r"not https, .*\nhint: .* add tls=off if the way there is guarded"):
        custodies.connect(f"aws-kms://eu-central-1/alias/x{options}").wrap(DataKey.generate(), OWNER)


def test_a_key_for_aws_goes_there_if_that_is_said(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://kms.invalid:1")
    with pytest.raises(CustodyError, match="cannot be reached"):
        custodies.connect("aws-kms://eu-central-1/alias/x?tls=off&timeout=1").wrap(DataKey.generate(), OWNER)


# Time


class Dripping:
    """A server that takes whatever comes and sends a byte of its answer now and then, for ever."""

    def __init__(self, answer=b"", then=b"\0", context=None, pause=0.1):
        self._answer, self._then, self._context, self._pause = answer, then, context, pause
        self.came, self._over = 0, threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self.came += 1
                threading.Thread(target=self._drip, args=(near,), daemon=True).start()

    def _drip(self, near):
        left = self._answer
        with contextlib.suppress(OSError), near, self._guarded(near) as way:
            while not self._over.wait(self._pause):
                way.sendall(left[:1] or self._then)
                left = left[1:]

    def _guarded(self, near):
        return self._context.wrap_socket(near, server_side=True) if self._context else near


HTTP = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
DRIPS = {
    "redis": ("redis://127.0.0.1:{}/0?", b"+", b"x"),
    "redis, a long answer": ("redis://127.0.0.1:{}/0?", b"+OK\r\n$99999\r\n", b"x"),
    "redis with TLS, its handshake": ("rediss://127.0.0.1:{}/0?", b"\x16\x03\x03\x3f\xff\x02", b"\0"),
    "postgresql": ("postgresql://app@127.0.0.1:{}/db?sslmode=disable&", b"R\0\0\x07\xd0\0\0\0\x0a", b"x"),
    "postgresql with TLS, its handshake": (
        "postgresql://app@127.0.0.1:{}/db?sslmode=require&", b"S\x16\x03\x03\x3f\xff\x02", b"\0"
    ),
    "openbao, headers": ("openbao://127.0.0.1:{}/secret?tls=off&", HTTP, b"X-A: 1\r\n"),
    "openbao, a body": (
        "openbao://127.0.0.1:{}/secret?tls=off&", HTTP + b"Content-Length: 99999\r\n\r\n{", b" "
    ),
    "openbao, chunks": (
        "openbao://127.0.0.1:{}/secret?tls=off&", HTTP + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"
    ),
    "openbao with TLS, its handshake": ("openbao://127.0.0.1:{}/secret?", b"\x16\x03\x03\x3f\xff\x02", b"\0"),
}  # fmt: skip


def in_a_thread(work):
    """Return what some work in a thread raises, and how long it took."""
    raised = []

    def run():
        try:
            work()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    began = time.monotonic()
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), "it waits still"
    return raised[0], time.monotonic() - began


@pytest.mark.parametrize("kind", DRIPS)
def test_a_store_that_drips_is_reported_in_time_in_any_thread(kind):
    url, *answer = DRIPS[kind]
    with Dripping(*answer) as server:
        error, took = in_a_thread(lambda: keystore.connect(url.format(server.port) + "timeout=1").load("payments"))
        assert server.came
    assert isinstance(error, KeyStoreError), error
    assert "does not answer in time" in explain(error)
    assert took < 1 + BEFORE_AND_AFTER


def test_a_store_that_drips_within_tls_is_reported_in_time(certificate):
    authority, context = certificate
    with Dripping(HTTP, b"X-A: 1\r\n", context) as server:
        url = f"openbao://127.0.0.1:{server.port}/secret?cacert={authority}&timeout=1"
        error, took = in_a_thread(lambda: keystore.connect(url).load("payments"))
    assert "does not answer in time" in explain(error)
    assert took < 1 + BEFORE_AND_AFTER


@pytest.mark.parametrize("where", ["headers", "a body", "the handshake"])
@pytest.mark.parametrize("kind", ["vault-transit", "aws-kms"])
def test_a_custody_that_drips_is_reported_in_time(kind, where, monkeypatch, tmp_path):
    answer = {
        "headers": (HTTP, b"X-A: 1\r\n"),
        "a body": (HTTP + b"Content-Length: 99999\r\n\r\n{", b" "),
        "the handshake": (b"\x16\x03\x03\x3f\xff\x02", b"\0"),
    }[where]
    with Dripping(*answer) as server:
        guarded = where == "the handshake"
        url = f"vault-transit://127.0.0.1:{server.port}/transit/log?timeout=1" + ("" if guarded else "&tls=off")
        if kind == "aws-kms":
            scheme = "https" if guarded else "http"
            monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", f"{scheme}://127.0.0.1:{server.port}")
            url = "aws-kms://eu-central-1/alias/x?timeout=1"
        place = {"store": f"file:{tmp_path}/store", "key_file": tmp_path / "payments.key"}
        error, took = in_a_thread(lambda: tallystick.create("payments", custody=url, **place))
    assert isinstance(error, CustodyError), error
    assert "answer" in explain(error)
    assert took < 1 + 2 + BEFORE_AND_AFTER  # two are for the process that asks


def test_what_a_call_leaves_behind_ends_by_itself():
    before = threading.active_count()
    with Dripping(b"S\x16\x03\x03\x3f\xff\x02") as server:
        url = f"postgresql://app@127.0.0.1:{server.port}/db?sslmode=require&timeout=0.5"
        in_a_thread(lambda: keystore.connect(url).load("payments"))
        servers.until(lambda: not [each for each in threading.enumerate() if each.name == "tallystick line"], "the end")
    servers.until(lambda: threading.active_count() <= before, "the end of what dripped")


def test_a_name_that_is_looked_up_for_ever_is_reported_in_time(monkeypatch):
    over = threading.Event()

    def slow(*_, **__):
        over.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    for url in ("rediss://db.example/0", "openbao://bao.example/secret", "postgresql://db.example/db"):
        error, took = in_a_thread(lambda url=url: keystore.connect(f"{url}?timeout=0.5").names())
        assert isinstance(error, KeyStoreError)
        assert took < 0.5 + BEFORE_AND_AFTER
    over.set()


def test_a_call_that_takes_its_time_but_not_too_much_is_answered():
    """The nearest case that stays as it is: slow, and in time."""
    body = json.dumps({"data": {"keys": ["payments"]}}).encode()
    whole = HTTP + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body
    with Dripping(whole, pause=0.005) as server:
        assert keystore.connect(f"openbao://127.0.0.1:{server.port}/secret?tls=off&timeout=10").names() == ["payments"]


def test_an_idle_connection_is_not_cut():
    near, far = socket.socketpair()
    line = Line()
    with near, far:
        with line.within(0.05):
            line.open(lambda: near)
        time.sleep(0.15)
        far.sendall(b"x")
        assert near.recv(1) == b"x"
        with pytest.raises(AwayError, match="in time"):
            wait_for_a_byte(line, near)
        line.close()


def wait_for_a_byte(line, near):
    with line.within(0.05):
        if not near.recv(1):
            raise OSError


def test_where_no_thread_can_be_started_calls_go_on(monkeypatch):
    """As at the end of the interpreter, where logs are closed."""

    def none(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none)
    near, far = socket.socketpair()
    with near, far:
        line = Line()
        assert line.open(lambda: near) is near
        line.close()


# Who can listen


@pytest.mark.parametrize(
    "url",
    [
        "redis://db.example", "redis://:hunter2@10.0.0.1/0", "redis://[2001:db8::1]/0", "redis://localhost.example/0",
        "redis://127.0.0.1.example/0", "redis://[::ffff:10.0.0.1]/0", "redis://0.0.0.0/0", "redis://127.1/0",
        "redis://db.example?timeout=9", "redis://db.example?tls=", "redis://[fe80::1%25lo]/0",
    ],
)  # fmt: skip
def test_redis_on_another_host_without_tls_is_refused(url):
    with pytest.raises(KeyStoreError, match=r"write rediss://, or add tls=off if the way there is guarded") as problem:
        keystore.connect(url)
    assert "hunter2" not in explain(problem.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost", "redis://127.0.0.1:1/0", "redis://[::1]/0", "redis://127.8.8.8/0", "rediss://db.example",
        "redis://LOCALHOST", "redis://[::ffff:127.0.0.1]/0", "redis://db.example/0?tls=off", "rediss://db/0?tls=on",
    ],
)  # fmt: skip
def test_redis_here_or_with_tls_or_as_it_is_said_is_taken(url):
    keystore.connect(url)


@pytest.mark.parametrize("url", ["rediss://db?tls=off", "redis://db?tls=on", "redis://db?tls=maybe"])
def test_words_about_tls_that_contradict_each_other_are_refused(url):
    with pytest.raises(KeyStoreError, match="write rediss:// for Redis with TLS"):
        keystore.connect(url)


@pytest.mark.parametrize(("host", "comes"), [("127.0.0.1", True), ("localhost", False)])
def test_a_redis_gets_a_password_only_if_its_certificate_is_for_its_name(certificate, host, comes):
    authority, context = certificate
    came = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            with contextlib.suppress(OSError):
                near, _ = listener.accept()
                with near, context.wrap_socket(near, server_side=True) as way:
                    came.append(way.recv(1000))

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"rediss://{host}:{listener.getsockname()[1]}/0?cacert={authority}&timeout=1"
        with pytest.raises(KeyStoreError):
            keystore.connect(url).names()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)
    assert [PASSWORD.encode() in each for each in came if each] == ([True] if comes else [])


@pytest.fixture
def told(monkeypatch):
    """A function that returns the options with which the client library of PostgreSQL is told to connect."""
    import psycopg

    def options(store):
        given = []

        def connect(**options):
            given.append(options)
            raise psycopg.errors.InvalidPassword

        with monkeypatch.context() as patch:
            patch.setattr(psycopg, "connect", connect)
            with pytest.raises(KeyStoreError, match="refuses user or password"):
                store.names()
        return given[0]

    return options


@pytest.fixture
def sslmode(told):
    """A function that returns what the client library is told about TLS for a URL."""
    return lambda url: told(keystore.connect(url)).get("sslmode")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://db.example/db", "postgresql://app@10.0.0.1:5433/db", "postgresql://[2001:db8::1]/db",
        "postgresql://localhost,db.example/db", "postgresql://127.0.0.1:1,db.example:2/db",
        "postgresql://localhost/db?host=db.example", "postgresql://localhost/db?hostaddr=10.0.0.1",
        "postgresql:///db?host=/run/postgresql,db.example", "postgresql://localhost/db?service=main",
        "postgresql://localhost,localhost/db?hostaddr=127.0.0.1,10.0.0.1", "postgresql://localhost.example/db",
        "postgresql://localhost/db?host=localhost,&hostaddr=,10.0.0.1",
    ],
)  # fmt: skip
def test_postgresql_on_another_host_must_show_who_it_is(sslmode, url):
    assert sslmode(url) == "verify-full"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://localhost/db", "postgresql://127.0.0.1:1,[::1]:2/db", "postgresql:///db?host=/run/postgresql",
        "postgresql://app@/db", "postgresql://%2Frun%2Fpostgresql/db", "postgresql:///db?host=%40abstract",
        "postgresql://db.example/db?hostaddr=127.0.0.1",
    ],
)  # fmt: skip
def test_postgresql_on_this_host_is_asked_as_before(sslmode, url):
    assert sslmode(url) is None


@pytest.mark.parametrize(("option", "mode"), [("sslmode=require", "require"), ("ssl=true", "require")])
def test_the_url_decides_about_tls(sslmode, option, mode):
    assert sslmode(f"postgresql://db.example/db?{option}") == mode


@pytest.mark.parametrize(
    ("name", "text", "mode"),
    [
        ("PGSSLMODE", "prefer", None), ("PGHOSTADDR", "10.0.0.1", "verify-full"), ("PGSERVICE", "main", "verify-full"),
        ("PGHOST", "db.example", None),  # the URL names one
    ],
)  # fmt: skip
def test_the_environment_counts_as_libpq_counts_it(monkeypatch, sslmode, name, text, mode):
    monkeypatch.setenv(name, text)
    assert sslmode("postgresql://localhost/db") == mode
    if name == "PGSSLMODE":
        assert sslmode("postgresql://db.example/db") is None
    if name == "PGHOST":
        assert sslmode("postgresql:///db") == "verify-full"


def test_no_password_goes_to_a_postgresql_that_shows_no_certificate(monkeypatch):
    """By another name than that of this host; what it would say of the password is never asked."""
    import psycopg

    came = []
    genuine = psycopg.connect
    # The host is reached at the loopback, whatever its name.
    monkeypatch.setattr(psycopg, "connect", lambda **given: genuine(**{**given, "hostaddr": "127.0.0.1"}))
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            with contextlib.suppress(OSError):
                near, _ = listener.accept()
                with near:
                    came.append(near.recv(100))
                    near.sendall(b"N")  # no TLS here
                    came.append(near.recv(100))

        thread = threading.Thread(target=answer)
        thread.start()
        port = listener.getsockname()[1]
        name = socket.gethostname()
        store = keystore.connect(f"postgresql://app@{name}:{port}/db?sslrootcert=system&timeout=2")
        with pytest.raises(KeyStoreError, match="must show a certificate for its name"):
            # An address of this host that is none of the loopback would do as well, but there may be none.
            store.load("payments")
        thread.join(10)
    assert came[-1] == b""


# What is shown


@pytest.mark.parametrize("option", ["password", "sslpassword", "oauth_client_secret", "options", "scram_client_key"])
def test_an_option_that_is_not_known_to_be_harmless_is_not_shown(told, option):
    import psycopg

    url = f"postgresql://db.example/db?sslmode=require&{option}=hunter2&timeout=2"
    try:
        psycopg.conninfo.conninfo_to_dict(url.removesuffix("&timeout=2"))
    except psycopg.ProgrammingError:
        pytest.skip(f"this libpq knows no {option}")
    store = keystore.connect(url)
    assert store.url == "postgresql://db.example/db?sslmode=require&timeout=2"
    assert told(store)[option].split()[-1] == "hunter2"  # other options of ours stand before it


def test_a_plus_in_a_password_is_a_plus(told):
    store = keystore.connect("postgresql://db.example/db?password=a+b%2Bc")
    assert told(store)["password"] == "a+b+c"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app:hunter2/x@db.example/db", "postgresql://app:12?hunter2=3@db.example/db",
        "postgresql://app:hunter2#3@db.example/db", "postgresql://app:hun@ter2@db.example/db",
        "postgresql://app:hunter2/db", "postgresql://db.example/db?colour=hunter2", "postgresql:hunter2",
        "redis://:12?hunter2=3@localhost/0", "redis://:12/hunter2@localhost", "redis://:hunter2@localhost/0\n",
        "redis://:12#hunter2@localhost/0", "openbao://bao.example/hunter2@secret", "postgresql//app:hunter2@db/db",
        "//:hunter2@localhost/0", "redis://:hun ter2@localhost/0",
    ],
)  # fmt: skip
def test_a_url_that_can_be_read_in_two_ways_is_refused_without_being_shown(url):
    with pytest.raises(KeyStoreError, match="malformed") as problem:
        keystore.connect(url)
    assert "hunter2" not in explain(problem.value)


def test_who_has_a_right_is_named_without_the_arguments_of_his_program(monkeypatch):
    from tallystick.keystore.names import ourselves

    for words, told in (
        (["/usr/bin/tallystick", "seal", "payments", "--store", "redis://:hunter2@db/0"], "(tallystick seal payments)"),
        (["/usr/bin/tallystick", "run", "--store=redis://:hunter2@db/0", "payments"], "(tallystick run)"),
        (["/srv/app.py", "hunter2", "--password", "hunter2"], "(app.py)"),
        ([""], "(python)"),
        ([], "(python)"),
    ):
        monkeypatch.setattr(sys, "argv", words)
        assert told in ourselves()
        assert "hunter2" not in ourselves()


def test_two_places_that_look_alike_are_two():
    one = keystore.connect("postgresql://db.example/db?options=-csearch_path%3Da")
    other = keystore.connect("postgresql://db.example/db?options=-csearch_path%3Db")
    assert one.url == other.url
    assert one != other
    assert one == keystore.connect("postgresql://db.example/db?options=-csearch_path%3Da")
    assert keystore.connect("file:x") == keystore.connect("file:./x") != one

"""Objects of a web server, over TLS: what is found in them is what is found in files, whatever the server does."""

import http.server
import random
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tallystick
from tallystick.objects import connect
from tallystick.verify import Report, Verdict
from tests import doctoring
from tests.servers import authority

Headers = dict[str, str]
Change = Callable[[int, bytes, Headers], tuple[int, bytes, Headers]]


class Web(http.server.ThreadingHTTPServer):
    """A web server over TLS.

    Attributes:
        objects: What it has, by path.
        hidden: What it has besides, which is not verified by itself.
        calls: Method, path and range of each call.
        changed: Given method and path; returns what is done to the answer, or None.
        root: Its URL.
    """

    daemon_threads = True

    def __init__(self, certificates: Path) -> None:
        web = self
        self.objects: dict[str, bytes] = {}
        self.hidden: dict[str, bytes] = {}
        self.calls: list[tuple[str, str, str | None]] = []
        self.changed: Callable[[str, str], Change | None] = lambda *_: None

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                web.calls.append((self.command, self.path, self.headers.get("Range")))
                status, data, headers = web.answer(self.path, self.headers.get("Range"), self.headers.get("If-Match"))
                change = web.changed(self.command, self.path)
                headers = {"Content-Length": str(len(data)), **headers}
                status, data, headers = (status, data, headers) if change is None else change(status, data, headers)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.close_connection = int(headers["Content-Length"]) != len(data)
                if self.command != "HEAD":
                    self.wfile.write(data)

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates / "localhost.pem", certificates / "localhost.key")
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.root = f"https://localhost:{self.server_address[1]}"

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that do not trust the certificate."""

    def answer(self, path: str, wanted: str | None, match: str | None) -> tuple[int, bytes, Headers]:
        if (data := {**self.objects, **self.hidden}.get(path)) is None:
            return 404, b"", {}
        tag = f'"{hash(data) & 0xFFFFFFFF:x}"'
        if match not in (None, tag):
            return 412, b"", {}
        headers = {"ETag": tag, "Last-Modified": "Sat, 28 Nov 2026 10:00:00 GMT"}
        if wanted is None:
            return 200, data, headers
        start, end = map(int, wanted.removeprefix("bytes=").split("-"))
        part = data[start : end + 1]
        return 206, part, {**headers, "Content-Range": f"bytes {start}-{start + len(part) - 1}/{len(data)}"}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("authority")
    authority(made, localhost="DNS:localhost")
    return made


@pytest.fixture
def web(certificates: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """Give a web server whose certificate is trusted."""
    connect.cache_clear()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "ca.pem"))
    with Web(certificates) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def verify(web: Web, tmp_path: Path) -> Callable[[], Report]:
    """Put the lines of a log there, as two objects; give what verifies them."""
    rng = random.Random(7)
    while len((log := doctoring.seal(rng)).lines) < 60:
        pass
    doctoring.write(tmp_path, log)
    half = log.data.index(b"\n", len(log.data) // 2) + 1
    web.objects |= {"/logs/a.log": log.data[:half], "/logs/b.log": log.data[half:]}
    keys = {"keys": [tmp_path / "log.key"], "head": tmp_path / "log.head"}
    return lambda: tallystick.verify([f"{web.root}{path}" for path in web.objects], **keys)


def said(report: Report) -> str:
    return " ".join(one.detail for one in report.findings if one.kind == "unreadable")


def test_objects_of_a_web_server_are_read_in_ranges(web: Web, verify: Callable[[], Report]) -> None:
    assert verify().verdict is Verdict.OK
    assert all(wanted for method, _, wanted in web.calls if method == "GET")
    web.objects["/logs/b.log"] = web.objects["/logs/b.log"][:-40]
    assert verify().verdict is Verdict.FAILED


def test_a_server_without_ranges_is_reported(web: Web, verify: Callable[[], Report]) -> None:
    def everything(_status: int, _data: bytes, headers: Headers) -> tuple[int, bytes, Headers]:
        whole = web.objects["/logs/b.log"]
        return 200, whole, {"ETag": headers["ETag"], "Content-Length": str(len(whole))}

    web.changed = lambda method, path: everything if (method, path) == ("GET", "/logs/b.log") else None
    report = verify()
    assert report.verdict is Verdict.INCOMPLETE
    assert "the server gives no ranges of bytes" in said(report)


def test_an_object_that_is_replaced_while_it_is_read_is_read_once_more(web: Web, verify: Callable[[], Report]) -> None:
    right = web.objects["/logs/b.log"]
    web.objects["/logs/b.log"] = right[:-40]

    def replaced(method: str, path: str) -> None:
        if (method, path) == ("HEAD", "/logs/b.log"):
            web.objects["/logs/b.log"] = right

    web.changed = replaced
    assert verify().verdict is Verdict.OK


def test_a_redirect_is_followed_but_not_to_where_nothing_is_encrypted(web: Web, verify: Callable[[], Report]) -> None:
    def to(place: str) -> Callable[[str, str], Change | None]:
        answer = 307, b"", {"Location": place, "Content-Length": "0"}
        return lambda _, path: (lambda *_: answer) if path == "/logs/b.log" else None

    web.hidden["/elsewhere"] = web.objects["/logs/b.log"]
    web.changed = to(f"{web.root}/elsewhere")
    assert verify().verdict is Verdict.OK
    web.changed = to(web.root.replace("https:", "http:") + "/elsewhere")
    assert verify().verdict is not Verdict.OK


def test_a_body_that_ends_too_early_is_asked_for_once_more(web: Web, verify: Callable[[], Report]) -> None:
    broken = iter([True, True])

    def cut(status: int, data: bytes, headers: Headers) -> tuple[int, bytes, Headers]:
        return status, data[:50], headers

    web.changed = lambda method, path: cut if (method, path) == ("GET", "/logs/b.log") and next(broken, False) else None
    assert verify().verdict is Verdict.OK
    assert next(broken, None) is None


@pytest.mark.parametrize("wrong", ["authority", "name"])
def test_a_server_whose_certificate_is_not_trusted_is_reported(
    web: Web, verify: Callable[[], Report], wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.objects.popitem()
    if wrong == "authority":
        authority(tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    else:
        web.root = web.root.replace("localhost", "127.0.0.1")
    report = verify()
    assert report.verdict is Verdict.INCOMPLETE
    assert "its certificate is not one that is trusted here" in said(report)
    assert not web.calls

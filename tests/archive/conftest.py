"""A bucket of a real S3 service, with a place between it and the program where a test can make trouble."""

import contextlib
import http.client
import http.server
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tallystick
from tests import doctoring
from tests.doctoring import Sealed
from tests.servers import PASSWORD, Moto

Answer = tuple[int, bytes, dict[str, str]]
Trouble = Callable[[str, str, dict[str, str]], Answer | None]


class Between(http.server.ThreadingHTTPServer):
    """Passes calls on to a service, but for those that a test answers.

    Attributes:
        calls: Method, and path with query, of each call.
        trouble: Given method, path and headers; returns an answer, or None to pass the call on.
        altered: Given method, path and the service's answer; returns another answer.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int) -> None:
        between = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                between.calls.append((self.command, self.path))
                answer = between.trouble(self.command, self.path, dict(self.headers))
                if answer is None:
                    answer = between.altered(self.command, self.path, self.passed_on(body))
                status, data, headers = answer
                self.send_response(status)
                headers = {"Content-Length": str(len(data)), **headers}
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)
                if int(headers["Content-Length"]) != len(data) and self.command != "HEAD":
                    self.close_connection = True

            do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815

            def passed_on(self, body: bytes) -> Answer:
                with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as service:
                    service.request(self.command, self.path, body, dict(self.headers))
                    got = service.getresponse()
                    data = got.read()
                    kept = {n: v for n, v in got.getheaders() if n.lower() not in ("connection", "transfer-encoding")}
                    if self.command != "HEAD":
                        kept = {n: v for n, v in kept.items() if n.lower() != "content-length"}
                    return got.status, data, kept

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.port = self.server_address[1]
        self.reset()

    def reset(self) -> None:
        """Make no trouble any more, and forget the calls."""
        self.calls: list[tuple[str, str]] = []
        self.trouble: Trouble = lambda *_: None
        self.altered: Callable[[str, str, Answer], Answer] = lambda _method, _path, answer: answer

    def reads(self) -> list[str]:
        """Return the paths of the objects that were read."""
        return [path for method, path in self.calls if method == "GET" and "?" not in path]


class Bucket:
    """A bucket with the lines of a log in it, and the same as files.

    Attributes:
        name: Its name.
        s3: A client of the service itself.
        between: What stands between the service and the program.
        keys: What verifies the log.
    """

    def __init__(self, server: Moto, between: Between, name: str, directory: Path) -> None:
        self.name, self.s3, self.between, self.directory = name, server.client("s3"), between, directory
        self.url = f"s3://{name}"
        self.s3.create_bucket(
            Bucket=name,
            ObjectLockEnabledForBucket=True,
            CreateBucketConfiguration={"LocationConstraint": "eu-central-1"},
        )
        self.files = directory / "logs"
        self.files.mkdir()

    def put(self, name: str, data: bytes) -> None:
        """Put an object there."""
        self.s3.put_object(Bucket=self.name, Key=name, Body=data)

    def fill(self, log: Sealed, count: int) -> dict[str, bytes]:
        """Put a log there in so many objects, and beside it in as many files; return these."""
        doctoring.write(self.directory, log)
        self.keys = {"keys": [self.directory / "log.key"], "head": self.directory / "log.head"}
        lines, made = [line + b"\n" for line in log.lines], {}
        for number in range(count):
            part = b"".join(lines[len(lines) * number // count : len(lines) * (number + 1) // count])
            made[f"logs/{number:04}.log"] = part
        for name, data in made.items():
            self.put(name, data)
            (self.directory / name).write_bytes(data)
        return made

    def verify(self, *paths: str, **more: object) -> tallystick.Report:
        """Verify objects; all of them, unless some are named."""
        return tallystick.verify(paths or [f"{self.url}/logs/"], **{**self.keys, **more})


@pytest.fixture(scope="module")
def log() -> Sealed:
    """A log of some hundred lines."""
    rng = random.Random(7)
    while len((log := doctoring.seal(rng)).lines) < 80:
        pass
    return log


@pytest.fixture(scope="session")
def between(moto_server: Moto) -> Iterator[Between]:
    """Give what stands before the service."""
    with Between(moto_server.port) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()


@pytest.fixture
def environment(between: Between, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Have AWS's libraries find the service."""
    from tallystick.objects import connect

    connect.cache_clear()
    env = {
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": PASSWORD,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{between.port}",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return env


@pytest.fixture
def bucket(
    moto_server: Moto, between: Between, environment: dict[str, str], tmp_path: Path, request: pytest.FixtureRequest
) -> Bucket:
    """Give a new bucket."""
    import re

    between.reset()
    name = re.sub("[^a-z0-9]+", "-", request.node.name.lower())[:50].strip("-")
    return Bucket(moto_server, between, f"{name}-{abs(hash(str(tmp_path))) % 10**6}", tmp_path)

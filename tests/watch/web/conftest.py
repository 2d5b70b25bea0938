"""Real sealed logs, what a verification says of them, and a server that shows it."""

import base64
import http.client
import json
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest

from tallystick.watch.config import Web
from tallystick.watch.standing import State
from tallystick.watch.web import serve
from tests.watch.web import board

LINES = [f"user={number} action=login" for number in range(40)]


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A directory with a sealed log `payments` of three chains."""
    made = board.Place(tmp_path_factory.mktemp("sealed"))
    made.log("payments", LINES, chains=3)
    return made


@pytest.fixture(scope="session")
def reports(place):
    """Real reports: on the log as it is, on one in which a line was edited, and on one that nothing anchors."""
    edited = place.doctored("payments", "edit a line")
    return {
        "ok": place.report("payments"),
        "failed": place.report("payments", edited, digests=True),
        "incomplete": place.report("payments", start=1, last=2, allow=()),
    }


@pytest.fixture
def standings(reports):
    """A board with an entry in each state, for this test alone."""
    return filled(reports)


def filled(reports):
    made = board.Board()
    states = [
        board.standing("payments", reports["failed"], labels={"team": "money"}),
        board.standing("ledger", reports["ok"], State.OK),
        board.standing("web/1", reports["ok"], State.STALE, trouble="the key store does not answer"),
        board.standing("audit", reports["ok"], State.SILENT),
        board.standing("backup"),
    ]
    for one in states:
        report = {"payments": reports["failed"], "backup": None}.get(one.name, reports["ok"])
        made.put(one, board.day_of(one.state), report)
    return made


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)

    @property
    def text(self):
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.body)


class Client:
    """Asks a server, without any manners of its own: what is in a request is what a test says."""

    def __init__(self, server, **options):
        self.server, self.options = server, options

    def __call__(self, path, method="GET", **headers):
        at = urlsplit(self.server.address)
        kind = http.client.HTTPSConnection if at.scheme == "https" else http.client.HTTPConnection
        connection = kind(at.hostname, at.port, timeout=20, **self.options)
        try:
            connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            found = connection.getresponse()
            return Answer(found.status, {k.lower(): v for k, v in found.getheaders()}, found.read())
        finally:
            connection.close()


@pytest.fixture
def serving():
    """Start a server; it is stopped after the test."""
    started = []

    def start(standings, web=None, metrics=None):
        server = serve(web or Web("127.0.0.1", 0), standings, metrics)
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        assert server.stop(5), "the server did not end"


@pytest.fixture(scope="session")
def ask(reports):
    """Ask a server at a loopback address, whose board nobody changes."""
    server = serve(Web("127.0.0.1", 0), filled(reports))
    server.start()
    yield Client(server)
    assert server.stop(5)


@pytest.fixture
def token(tmp_path):
    """A file with a token, as it should be."""
    path = tmp_path / "token"
    path.touch(0o600)
    path.write_text("0123456789abcdef0123456789abcdef\n")
    return path


def basic(token):
    """Return the Authorization header of a browser."""
    return "Basic " + base64.b64encode(f"any:{token}".encode()).decode()

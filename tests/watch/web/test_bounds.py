"""Bounds: slow and silent clients, many of them, and logs that were written to break what shows them."""

import contextlib
import os
import resource
import socket
import time
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from tallystick.verify.report import Finding, Kind, Weight
from tallystick.watch.standing import State
from tallystick.watch.web import live
from tallystick.web import connection, guard
from tests.servers import until
from tests.watch.web import board
from tests.watch.web.conftest import Client

HOSTILE = "\x1b[31m\x1b]0;x\x07<script>alert(1)</script>\u202e{{7*7}} '\"&\x00\x9b\udcff javascript:"
REFUSED = ("\x1b", "\x07", "\u202e", "\x00", "\x9b", "<script>alert", "&#8238;", "&#27;", "49 '")


def connected(server):
    """Return a connection to a server."""
    at = urlsplit(server.address)
    return socket.create_connection((at.hostname, at.port), 20)


def ended(made):
    """Wait until the other side ends a connection; return what came before."""
    made.settimeout(20)
    got = b""
    with contextlib.suppress(ConnectionError):
        while data := made.recv(65_536):
            got += data
    return got


@pytest.fixture
def hurried(monkeypatch):
    """Patience of a tenth of a second."""
    monkeypatch.setattr(connection, "PATIENCE", 0.1)


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "])
def test_a_client_that_does_not_finish_its_request_is_cut(standings, serving, hurried, sent):
    with connected(serving(standings)) as made:
        made.sendall(sent)
        assert ended(made) == b""


def test_a_client_that_asks_drop_by_drop_is_cut(standings, serving, hurried):
    with connected(serving(standings)) as made, contextlib.suppress(ConnectionError):
        for byte in b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 200:
            made.sendall(bytes([byte]))
            time.sleep(0.01)
        pytest.fail("two seconds of drops were taken")


def test_a_client_that_does_not_take_its_answer_is_cut(standings, serving, hurried, reports):
    many = replace(reports["failed"], findings=reports["failed"].findings * 20_000)
    standings.put(board.standing("big", reports["failed"]), (), many)
    with socket.socket() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        at = urlsplit(serving(standings).address)
        made.connect((at.hostname, at.port))
        made.sendall(b"GET /reports/json/big HTTP/1.1\r\nHost: localhost\r\n\r\n")
        made.recv(100)
        before = len(os.listdir("/proc/self/fd"))
        until(lambda: len(os.listdir("/proc/self/fd")) < before, "the end of the connection")
        assert len(ended(made)) < 8_000_000


def test_a_head_that_is_too_large_is_refused(standings, serving):
    ask = Client(serving(standings))
    assert ask("/", X="y" * 20_000).status == 431
    assert ask("/?q=" + "y" * 20_000).status == 431


def test_connections_beyond_the_bound_are_closed_and_the_others_served(standings, serving):
    server = serving(standings)
    with contextlib.ExitStack() as held:
        many = [held.enter_context(connected(server)) for _ in range(connection.CONNECTIONS)]
        with connected(server) as late:
            assert ended(late) == b""
        many[0].sendall(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" in ended(many[0])
    until(lambda: not refused(server), "room again")
    assert Client(server)("/").status == 200


def refused(server):
    """Is a new connection closed at once?"""
    try:
        return Client(server)("/healthz").status != 200
    except (ConnectionError, OSError):
        return True


def listening(server):
    made = connected(server)
    made.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return made, made.makefile("rb")


@pytest.mark.parametrize(("bound", "status"), [("LISTENERS", 503), ("SHARE", 429)])
def test_listeners_hear_of_each_change_and_are_bounded(standings, serving, reports, monkeypatch, bound, status):
    """In all, and of one address: a single client does not take the page's life from all others."""
    monkeypatch.setattr(live, "PACE", 0.05)
    monkeypatch.setattr(live, "LISTENERS" if bound == "SHARE" else "SHARE", 100)
    monkeypatch.setattr(live, bound, 8)
    server = serving(standings)
    with contextlib.ExitStack() as held:
        streams = []
        for _ in range(8):
            made, stream = listening(server)
            held.enter_context(made)
            streams.append(held.enter_context(stream))
        for stream in streams:
            while not stream.readline().startswith(b"data: "):
                pass
        answer = Client(server)("/events")
        assert answer.status == status
        assert "retry-after" in answer.headers
        standings.put(board.standing("payments", reports["ok"]))
        for stream in streams:
            assert any(line.startswith(b"event: change") for line in (stream.readline() for _ in range(20)))
    until(lambda: heard(server), "room for a listener")


def heard(server):
    made, stream = listening(server)
    with made, stream:
        return b"200" in stream.readline()


def test_a_client_that_asks_too_often_is_told_to_wait_and_others_are_served(standings, serving, monkeypatch):
    monkeypatch.setattr(guard, "RATE", 1e-3)
    monkeypatch.setattr(guard, "BURST", 5.0)
    ask = Client(serving(standings))
    assert [ask("/api/v1/logs").status for _ in range(5)] == [200] * 5
    for path in ("/", "/events", "/api/v1/logs", "/reports/json/payments", "/metrics", "/static/page.css"):
        answer = ask(path)
        assert answer.status == 429
        assert int(answer.headers["retry-after"]) > 0
    assert ask("/healthz").status == 200
    other = Client(ask.server, source_address=("127.0.0.2", 0))
    assert other("/").status == 200


def test_a_flood_of_changes_is_a_trickle_of_events(standings, serving):
    server = serving(standings)
    made, stream = listening(server)
    with made, stream:
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            standings.put(board.standing("payments"))
        made.settimeout(0.2)
        got = b""
        with contextlib.suppress(TimeoutError):
            while True:
                got += made.recv(65_536)
    assert 1 <= got.count(b"event: change") <= 2


def test_listeners_do_not_delay_the_end(standings, serving):
    server = serving(standings)
    made, stream = listening(server)
    with made, stream:
        stream.readline()
        began = time.monotonic()
        server.stop(5)
        assert time.monotonic() - began < 5
        assert stream.read() is not None


def hostile(report, count):
    finding = Finding(
        Kind.UNSEALED,
        Weight.FAILED,
        HOSTILE,
        cause=HOSTILE,
        log="payments",
        path=HOSTILE,
        line=3,
        offset=9,
        position="1.0.3",
        excerpt=HOSTILE,
        sha256="0" * 64,
    )
    return replace(report, findings=(finding,) * count, command=HOSTILE)


def test_hostile_names_troubles_and_findings_do_nothing(standings, serving, reports):
    report = hostile(reports["failed"], 3)
    standings.put(
        board.standing(HOSTILE, report, labels={HOSTILE: HOSTILE}, trouble=HOSTILE), board.day_of(State.FAILED), report
    )
    ask = Client(serving(standings))
    found = next(one["url"] for one in ask("/api/v1/logs").json["logs"] if one["name"] == HOSTILE)
    pages = [ask("/"), ask(found), ask(found.replace("/api/v1", "", 1)), ask("/api/v1/logs")]
    pages += [ask(found.replace("/api/v1/logs/", f"/reports/{form}/", 1)) for form in ("html", "json", "sarif")]
    for answer in pages:
        assert answer.status == 200
        assert answer.body.isascii()
        shown = answer.text if "html" in answer.headers["content-type"] else answer.text.replace("<script>alert", "")
        assert not [sign for sign in REFUSED if sign in shown]
        assert all(sign.isprintable() for name, value in answer.headers.items() for sign in value)


def test_a_million_findings_make_a_small_page_in_time(standings, serving, reports):
    report = hostile(reports["failed"], 1_000_000)
    standings.put(board.standing("payments", reports["failed"]), board.day_of(State.FAILED), report)
    ask = Client(serving(standings))
    for path in ("/", "/logs/payments", "/api/v1/logs/payments"):
        began = time.thread_time()
        answer = ask(path)
        assert len(answer.body) < 300_000
        assert time.thread_time() - began < 2
    assert "The first 100 of 1,000,000 findings" in ask("/logs/payments").text
    assert ask("/api/v1/logs/payments").json["total"] == 1_000_000


def test_a_line_of_sixteen_megabytes_makes_a_small_page(place, standings, serving):
    place.log("long", [b"x" * 1000, b"a" * 60_000])
    path = place.path / "long.log"
    path.write_bytes(path.read_bytes() + b"<b>" * (16 * 1024 * 1024 // 3) + b"\n")
    report = place.report("long")
    assert report.verdict.value == "failed"
    standings.put(board.standing("long", report), board.day_of(State.FAILED), report)
    answer = Client(serving(standings))("/logs/long")
    assert len(answer.body) < 60_000
    assert "<b><b>" not in answer.text


def test_a_name_as_long_as_a_book_makes_a_small_page(standings, serving, reports):
    standings.put(board.standing("n" * 1_000_000, reports["ok"], trouble="t" * 1_000_000))
    answer = Client(serving(standings))("/api/v1/logs?q=payments")
    assert answer.status == 200
    standings.put(board.standing("m" * 2_000, reports["ok"], trouble="t" * 1_000_000), (), reports["ok"])
    assert len(Client(serving(standings))("/logs/" + "m" * 2_000).body) < 60_000


def test_many_clients_cost_no_memory_that_stays(standings, serving):
    ask = Client(serving(standings))
    for _ in range(20):
        ask("/logs/payments")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(300):
        ask("/logs/payments")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # kB

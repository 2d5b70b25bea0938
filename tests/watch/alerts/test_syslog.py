"""Messages of syslog arrive whole, one for each event, over each way."""

import contextlib
import re
import socket
import threading

import pytest

from tallystick.errors import TallystickError
from tallystick.watch import config
from tallystick.watch.alerts.form import plain_event
from tallystick.watch.alerts.receiver import AwayError
from tallystick.watch.alerts.syslog import SyslogDaemon
from tests.servers import free_port, until
from tests.watch.events import event, over

RFC_5424 = re.compile(
    rb"<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) ([!-~]{1,255}) ([!-~]{1,48}) (\d+) ([!-~]{1,32}) - ([ -~]+)"
)


class Daemon:
    """A listening socket; what comes in is kept, a datagram or a connection in each."""

    def __init__(self, family, kind, address):
        self.got = []
        self.socket = socket.socket(family, kind)
        self.socket.bind(address)
        if kind == socket.SOCK_STREAM:
            self.socket.listen()
        work = self._stream if kind == socket.SOCK_STREAM else self._datagrams
        self.thread = threading.Thread(target=work, daemon=True)
        self.thread.start()

    def stop(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)  # ends what waits for it
        self.socket.close()

    def _datagrams(self):
        with contextlib.suppress(OSError):
            while data := self.socket.recv(65536):
                self.got.append(data)

    def _stream(self):
        with contextlib.suppress(OSError):
            while True:
                with self.socket.accept()[0] as one, one.makefile("rb") as file:
                    self.got.append(file.read())


@pytest.fixture(params=["unix datagram", "unix stream", "udp", "tcp", "udp6", "tcp6"])
def daemon(request, tmp_path):
    kind = socket.SOCK_STREAM if request.param in ("unix stream", "tcp", "tcp6") else socket.SOCK_DGRAM
    if request.param.startswith("unix"):
        found, address = Daemon(socket.AF_UNIX, kind, f"{tmp_path}/log"), f"unix:{tmp_path}/log"
    elif request.param.endswith("6"):
        port = free_port()
        try:
            found, address = Daemon(socket.AF_INET6, kind, ("::1", port)), f"{request.param[:3]}:[::1]:{port}"
        except OSError:
            pytest.skip("no IPv6 on loopback here")
    else:
        port = free_port()
        found, address = Daemon(socket.AF_INET, kind, ("127.0.0.1", port)), f"{request.param}:127.0.0.1:{port}"
    found.address = address
    yield found
    found.stop()


def test_a_message_arrives_in_the_form_of_rfc_5424(daemon, alerts):
    sender = alerts(config.Syslog(daemon.address, "local3"))
    sender.send(event(1))
    until(lambda: daemon.got, "the message")
    data = daemon.got[0]
    if daemon.address.startswith("tcp"):
        length, _, data = data.partition(b" ")
        assert int(length) == len(data)
    match = RFC_5424.fullmatch(data.rstrip(b"\n"))
    assert match, data
    assert int(match[1]) == 19 * 8 + 2
    assert match[4] == b"tallystick"
    assert b'entry="app" reason="change" before="ok" after="failed"' in match[7]
    sender.send(over(2))
    until(lambda: len(daemon.got) == 2, "the second message")
    assert b"<157>1 " in daemon.got[1]


@pytest.mark.parametrize("address", ["unix:/nonexistent/log", "tcp:127.0.0.1:{port}"])
def test_a_daemon_that_is_away_is_reported(address):
    receiver = SyslogDaemon(config.Syslog(address.format(port=free_port())))
    with pytest.raises(AwayError):
        receiver.deliver(plain_event(event(1)), threading.Event())


@pytest.mark.parametrize(
    ("address", "facility"),
    [("udp:host", "auth"), ("tcp:host:x", "auth"), ("tcp:host:0", "auth"), ("/dev/log", "auth"), ("unix:", "auth"),
     ("udp::514", "auth"), ("udp:host:514", "bad")],
)  # fmt: skip
def test_an_invalid_address_is_refused_at_the_start(address, facility):
    with pytest.raises(TallystickError):
        SyslogDaemon(config.Syslog(address, facility))

"""A client of the acknowledged protocol, written from spec/agent.md and not from the code; and agents to talk to."""

import contextlib
import os
import re
import select
import socket
import struct
import time
from dataclasses import dataclass, field

PREAMBLE = b"\0tally\0\x01"
NEW = bytes(16)
WELCOME, ACKNOWLEDGEMENT, REFUSAL = 0x81, 0x82, 0x83


def frame(kind: int, body: bytes) -> bytes:
    return struct.pack(">IB", len(body) + 1, kind) + body


def hello(id: bytes = NEW, state: int = 1) -> bytes:
    return frame(1, bytes([state]) + id)


def batch(first: int, lines: list[bytes]) -> bytes:
    return frame(2, struct.pack(">Q", first) + b"".join(struct.pack(">I", len(line)) + line for line in lines))


SEAL = re.compile(rb'(?:(?:^| )tally=|,"tally":")[a-z2-7]{8}(?:\.\d+){4}\.[\w-]{22}(?:"})?$')
OPEN: list[socket.socket] = []
"""Sockets of clients, which the end of a test closes."""


class RefusedError(Exception):
    """The agent refused: its code, and the number."""


@dataclass
class Client:
    """Numbers its lines, remembers those that are not acknowledged, and sends them again after it connected again."""

    path: str
    state: int = 1
    id: bytes = NEW
    next: int = 1
    through: int = 0
    at: tuple[int, int, int] = (0, 0, 0)
    unacknowledged: dict[int, bytes] = field(default_factory=dict)
    way: socket.socket | None = None

    def connect(self) -> "Client":
        """Connect, say hello, and send again what is not acknowledged."""
        self.close()
        self.way = socket.socket(socket.AF_UNIX)
        OPEN.append(self.way)
        self.way.settimeout(20)
        self.way.connect(self.path)
        self.way.sendall(PREAMBLE + hello(self.id, self.state))
        kind, body = self.read()
        assert kind == WELCOME
        self.id, (sealed, self.window, self.longest) = body[:16], struct.unpack(">QII", body[16:])
        self.acknowledged(sealed)
        if self.unacknowledged:
            self.way.sendall(batch(min(self.unacknowledged), [line for _, line in sorted(self.unacknowledged.items())]))
        return self

    def acknowledged(self, through: int) -> None:
        for number in range(self.through + 1, through + 1):
            self.unacknowledged.pop(number, None)
        self.through = max(self.through, through)

    def send(self, lines: list[bytes]) -> None:
        first = self.next
        self.next += len(lines)
        self.unacknowledged |= dict(zip(range(first, self.next), lines, strict=True))
        assert self.way is not None
        self.way.sendall(batch(first, lines))

    def wait(self) -> None:
        """Return when all that was sent is acknowledged."""
        while self.through < self.next - 1:
            self.hear()

    def hear(self) -> None:
        kind, body = self.read()
        assert kind == ACKNOWLEDGEMENT, kind
        state, through, *at = struct.unpack(">BQIBH", body)
        assert state == self.state
        self.at = (at[0], at[1], at[2])
        self.acknowledged(through)

    def read(self) -> tuple[int, bytes]:
        (length,) = struct.unpack(">I", self._exactly(4))
        body = self._exactly(length)
        if body[0] == REFUSAL:
            raise RefusedError(*struct.unpack(">BQ", body[1:10]))
        return body[0], body[1:]

    def _exactly(self, count: int) -> bytes:
        data = b""
        assert self.way is not None
        while len(data) < count:
            more = self.way.recv(count - len(data))
            if not more:
                raise ConnectionError("the agent has gone")
            data += more
        return data

    def close(self) -> None:
        if self.way is not None:
            self.way.close()
            self.way = None


class Agent:
    """A running `tallystick agent`."""

    def __init__(self, site, *options, name="payments", output="audit.log", start=None, **more):
        self.site, self.output = site, output
        self.path = str(site.path / "s")
        listen = () if "--listen" in options else ("--listen", f"unix:{self.path}")
        arguments = ("agent", name, "-o", output, "--state", site.path / "state", *listen, *options)
        self.process = (start or site.start)(*arguments, **more)

    def until(self, ready, seconds=20.0):
        """Wait for something."""
        deadline = time.monotonic() + seconds
        while not ready():
            assert self.process.poll() is None, self.process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        return self

    def listening(self, path=None, kind=socket.SOCK_STREAM):
        """Wait until it listens."""

        def ready():
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, kind) as probe:
                probe.connect(path or self.path)
                return True
            return False

        return self.until(ready)

    def said(self):
        """Wait for the next line of what it says."""
        return heard(self.process.stderr)

    def end(self, status=0):
        """End it as a service manager does; return what it said."""
        self.process.terminate()
        err = self.process.communicate(timeout=30)[1]
        assert self.process.returncode == status, err
        return err.decode()

    def kill(self):
        self.process.kill()
        self.process.communicate(timeout=60)


def heard(pipe, seconds=30.0):
    """Wait for the next line that a process writes."""
    line, until = b"", time.monotonic() + seconds
    while not line.endswith(b"\n"):
        assert select.select([pipe], [], [], max(0.0, until - time.monotonic()))[0], line
        if not (byte := os.read(pipe.fileno(), 1)):
            break
        line += byte
    return line


def send(path, data, kind=socket.SOCK_STREAM):
    """Send bytes by a connection of its own, and end it."""
    with socket.socket(socket.AF_UNIX, kind) as way:
        way.connect(path)
        way.sendall(data)


def entries(site, output="audit.log"):
    """The entries of a log, without control lines and torn lines, their seals taken off."""
    found = []
    for line in (site.path / output).read_bytes().split(b"\n"):
        seal = SEAL.search(line)
        m = line[: seal.start()] + b"}" * line.startswith(b"{") if seal else b"tallystick/v1 "
        if not m.startswith((b"tallystick/v1 ", b'{"tallystick":')):
            found.append(m)
    return found

#!/usr/bin/env python3
"""An agent of agent.md without sockets, disks and keys: a second implementation, written from the text ("section …") alone.

`Connection.feed(bytes)` returns the frames that the agent sends; `Agent.entries` are the lines in its log, of one chain.
`lines_of(framing, bytes)` are the lines of a whole stream. It is made to be read, and to be compared with.
"""
import hashlib
import re
import struct

PREAMBLE = b"\0tally\0\x01"
MALFORMED, EXPIRED, CONFLICT, GAP, TOO_LONG, _, STATE, SUPERSEDED, _ = range(1, 10)  # section 3, the table of refusals


class Agent:
    """What an agent knows: of each client its identity, the highest number, and the hashes of its lines."""

    def __init__(self, new_id, states=(1, 2), window=1024, longest=2**20):
        self.new_id, self.states, self.window, self.longest = new_id, states, window, longest
        self.entries, self.clients = [], {}


class Client:
    def __init__(self, id, identity):
        self.id, self.identity, self.through, self.hashes, self.at, self.connection = id, identity, 0, {}, 0, None


class Refused(Exception):
    """The agent refuses: a code, and a number."""


def frame(kind, body):
    return struct.pack(">IB", len(body) + 1, kind) + body


class Connection:
    """One connection of a client with an identity, by which the acknowledged protocol is spoken (section 3)."""

    def __init__(self, agent, identity):
        self.agent, self.identity = agent, identity
        self.rest, self.client, self.state, self.has_begun, self.is_over = b"", None, 0, False, False

    def feed(self, data):
        """Return what the agent sends; acknowledgements once for all these bytes."""
        said, self.rest, taken = b"", self.rest + data, False
        try:
            while not self.is_over and (body := self.next_frame()) is not None:
                if self.client is None:
                    said += self.hello(body)
                else:
                    taken = True
                    self.batch(body)
        except Refused as refused:
            self.is_over = True
            return said + frame(0x83, struct.pack(">BQ", *refused.args))  # what it took before holds
        return said + self.acknowledgement(taken)

    def acknowledgement(self, taken):
        client = self.client
        if not taken or not client.through:
            return b""
        # The chain's `open` is 1.0.0, so the first line is at 1.0.1.
        return frame(0x82, struct.pack(">BQIBH", self.state, client.through, 1, 0, client.at))

    def next_frame(self):
        if not self.has_begun:
            if self.rest[:8] != PREAMBLE[: len(self.rest)]:
                raise Refused(MALFORMED, 0)
            if len(self.rest) < 8:
                return None
            self.has_begun, self.rest = True, self.rest[8:]
        if len(self.rest) < 4:
            return None
        (size,) = struct.unpack(">I", self.rest[:4])
        if size == 0:
            raise Refused(MALFORMED, 0)
        if size > self.agent.longest + 13:
            raise Refused(TOO_LONG, 0)
        if len(self.rest) < 4 + size:
            return None
        body, self.rest = self.rest[4 : 4 + size], self.rest[4 + size :]
        return body

    def hello(self, body):
        agent = self.agent
        if body[0] != 1 or len(body) != 18:
            raise Refused(MALFORMED, 0)
        state, id = body[1], body[2:]
        if state not in agent.states:
            raise Refused(STATE, 0)
        if id == bytes(16):
            id = agent.new_id()
            agent.clients[id] = Client(id, self.identity)
        client = agent.clients.get(id)
        if client is None or client.identity != self.identity:
            raise Refused(EXPIRED, 0)
        if client.connection is not None:
            client.connection.is_over = True  # it hears SUPERSEDED
        self.client, self.state, client.connection = client, state, self
        return frame(0x81, id + struct.pack(">QII", client.through, agent.window, agent.longest))

    def batch(self, body):
        if body[0] != 2 or len(body) < 9:
            raise Refused(MALFORMED, 0)
        (number,), at, count = struct.unpack(">Q", body[1:9]), 9, 0
        while at < len(body):
            if count == self.agent.window or len(body) < at + 4:
                raise Refused(MALFORMED, number)
            (size,) = struct.unpack(">I", body[at : at + 4])
            if size > self.agent.longest:
                raise Refused(TOO_LONG, number + count)
            if size > len(body) - at - 4:
                raise Refused(MALFORMED, number)
            self.take(number + count, body[at + 4 : at + 4 + size])
            at, count = at + 4 + size, count + 1

    def take(self, number, line):
        client, digest = self.client, hashlib.sha256(line).digest()
        if number == 0:
            raise Refused(MALFORMED, 0)
        if number > client.through + 1:
            raise Refused(GAP, number)
        if number <= client.through - self.agent.window:
            raise Refused(EXPIRED, number)
        if number <= client.through:
            if client.hashes[number] != digest:
                raise Refused(CONFLICT, number)
            return
        client.through, client.hashes[number] = number, digest
        self.agent.entries.append(one_line(line))
        client.at = len(self.agent.entries)


def one_line(message):
    """Section 2: one line end at the end is no part of a message; those inside are escaped."""
    message = re.sub(rb"(\r\n|\n|\r)\Z", b"", message)
    return message.replace(b"\r", b"\\r").replace(b"\n", b"\\n")


def lines_of(framing, data):
    """Return the lines of a whole stream, or of one packet (section 2)."""
    if framing == "packets":
        return [one_line(data)]
    if framing == "lines":
        *lines, last = data.split(b"\n")
        return [re.sub(rb"\r\Z", b"", line) for line in (*lines, *([last] if last else []))]
    lines = []
    while data := data.lstrip(b"\n\r\0"):
        if counted := re.match(rb"([1-9][0-9]{0,8}) ", data):
            begin = counted.end()
            message, data = data[begin : begin + int(counted[1])], data[begin + int(counted[1]) :]
        else:
            message, _, data = re.fullmatch(rb"([^\n\0]*)([\n\0]?)(.*)", data, re.DOTALL).groups()
        lines += [one_line(message)] if message else []  # the stream may end after a count
    return lines

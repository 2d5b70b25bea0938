"""The conversations and framings of spec/vectors/agent.json, with a real agent and a second one."""

import importlib.util
import json
import random
import socket
import struct

from tallystick import _core
from tests.agent.client import PREAMBLE, batch, entries, hello
from tests.vectors import VECTORS

_SPEC = importlib.util.spec_from_file_location("check_agent", VECTORS.parent / "check_agent.py")
check_agent = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(check_agent)

KNOWN = json.loads((VECTORS / "agent.json").read_text())
ID = bytes(range(16))
PIECES = (b"a", b"1", b"9", b"0", b" ", b"\n", b"\r", b"\0", b"3 ", b"12 ", b"<13>x", b"\r\n")


def test_an_agent_answers_as_the_conversations_say(site, agents):
    assert len(KNOWN["conversations"]) == 7
    agent = agents().listening()
    id, expected = b"", []
    for conversation in KNOWN["conversations"]:
        with socket.socket(socket.AF_UNIX) as way:
            way.settimeout(20)
            way.connect(agent.path)
            file = way.makefile("rb")
            through = 0
            for each in conversation["frames"]:
                data = bytes.fromhex(each["hex"])
                if each["from"] == "client":
                    way.sendall(data.replace(ID, id) if id else data)
                    continue
                while True:
                    head = file.read(4)
                    body = file.read(struct.unpack(">I", head)[0])
                    if body[0] != 0x82 or struct.unpack(">Q", body[2:10])[0] > through:
                        break  # acknowledgements may be repeated
                if body[0] == 0x81:
                    id = id or body[1:17]
                    through = struct.unpack(">Q", body[17:25])[0]
                    assert body[1:17] == id
                    body = body.replace(id, ID)
                assert (body[:10] if body[0] == 0x83 else body) == data[4:], (conversation["name"], each["what"])
            file.close()
        expected += [text.encode() for text in conversation["entries"]]
    agent.end()
    assert entries(site) == expected


def test_framings_make_these_lines():
    assert len(KNOWN["framings"]) == 4
    for case in KNOWN["framings"]:
        stream, lines = _core.LineStream(case["framing"], 1000), _core.Lines()
        stream.feed(bytes.fromhex(case["hex"]), lines)
        stream.finish(lines)
        assert lines.take() == b"".join(text.encode() + b"\n" for text in case["lines"])


def told(data):
    """Frames, without texts for people and without acknowledgements that another one, or the welcome, covers."""
    frames = []
    while data:
        (size,) = struct.unpack(">I", data[:4])
        body, data = data[4 : 4 + size], data[4 + size :]
        frames.append(body[:10] if body[0] == 0x83 else body)
    known = frames[0][17:25] if frames[0][0] == 0x81 else b""
    acknowledged = [each for each in frames if each[0] == 0x82 and each[2:10] != known]
    return [each for each in frames if each[0] != 0x82 or each in acknowledged[-1:]]


def test_the_second_implementation_answers_as_the_conversations_say():
    second = check_agent.Agent(lambda: ID)
    for conversation in KNOWN["conversations"]:
        connection, said, expected = check_agent.Connection(second, "uid:0"), b"", b""
        for each in conversation["frames"]:
            data = bytes.fromhex(each["hex"])
            if each["from"] == "client":
                said += connection.feed(data)
            else:
                expected += data
        assert told(said) == told(expected), conversation["name"]
    assert second.entries == [text.encode() for each in KNOWN["conversations"] for text in each["entries"]]


def test_both_implementations_make_the_same_lines_of_any_stream_however_it_is_cut():
    for case in KNOWN["framings"]:
        assert check_agent.lines_of(case["framing"], bytes.fromhex(case["hex"])) == [
            text.encode() for text in case["lines"]
        ]
    chance = random.Random(7)
    for _ in range(3000):
        framing = chance.choice(["lines", "syslog"])
        data = b"".join(chance.choice(PIECES) for _ in range(chance.randrange(12)))
        stream, lines, rest = _core.LineStream(framing, 1000), _core.Lines(), data
        while rest:
            size = chance.randrange(1, 6)
            stream.feed(rest[:size], lines)
            rest = rest[size:]
        stream.finish(lines)
        # The CR before a line end goes when the line is sealed.
        made = [line.removesuffix(b"\r") for line in lines.take().split(b"\n")[:-1]]
        assert made == check_agent.lines_of(framing, data), (framing, data)


def test_both_implementations_answer_the_same_to_conversations_at_random(site, agents):
    chance, ids = random.Random(7), []
    agent = agents("--epoch-lines", "65534", "--epoch-age", "1h").listening()
    second = check_agent.Agent(lambda: ids[-1])
    for _ in range(150):
        known = list(second.clients)
        id = chance.choice([bytes(16), bytes(16), b"x" * 16, *known, *known])
        frames = [PREAMBLE + hello(id, chance.choice([1, 1, 1, 2, 3, 9]))]
        through = second.clients[id].through if id in second.clients else 0
        for _ in range(chance.randrange(4)):
            first = chance.choice([1, through, *[through + 1] * 5, through + 2, max(0, through - 1)])
            lines = [
                chance.choice([b"a", b"b", b"", b"c\nd\r\n"]) for _ in range(chance.choice([0, 1, 2, 2, 600, 1100]))
            ]
            whole = batch(first, lines)
            frames.append(chance.choice([whole] * 8 + [whole[:-1], whole + b"\0", b"\0\0\0\0"]))
            through = max(through, first + len(lines) - 1)
        data = b"".join(frames)
        with socket.socket(socket.AF_UNIX) as way:
            way.settimeout(20)
            way.connect(agent.path)
            way.sendall(data)
            way.shutdown(socket.SHUT_WR)
            said = b""
            while more := way.recv(65536):
                said += more
        if said[4] == 0x81:
            ids.append(said[5:21])
        connection = check_agent.Connection(second, "uid:0")
        assert told(said) == told(connection.feed(data)), data
        if connection.client is not None:
            connection.client.connection = None
    agent.end()
    assert len(second.entries) > 20
    assert entries(site) == second.entries

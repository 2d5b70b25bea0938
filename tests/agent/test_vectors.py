"""The conversations and framings of spec/vectors/agent.json, with a real agent."""

import json
import socket
import struct

from tallystick import _core
from tests.agent.client import entries
from tests.vectors import VECTORS

KNOWN = json.loads((VECTORS / "agent.json").read_text())
ID = bytes(range(16))


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

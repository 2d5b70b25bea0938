"""What sealed lines look like to somebody who knows nothing but their form."""

import re

LOG_ID = rb"[a-z2-7]{8}"
_SEAL = LOG_ID + rb"\.([0-9]+)\.([0-9]+)\.([0-9]+)\.[0-9]+\.[\w-]{22}"
_PLAIN = re.compile(rb"(?: |^)tally=" + _SEAL + rb"$")
_JSON = re.compile(rb',?"tally":"' + _SEAL + rb'"\}$')
_CONTROL = (b"tallystick/v1 ", b'{"tallystick":"tallystick/v1 ')


def stripped(line: bytes) -> bytes:
    """Return the entry of a sealed line."""
    if found := _JSON.search(line):
        return line[: found.start()] + b"}"
    found = _PLAIN.search(line)
    assert found, f"no seal: {line[:200]!r}"
    return line[: found.start()]


def position(line: bytes) -> tuple[int, int, int]:
    """Return chain, epoch and index of a sealed line."""
    found = _JSON.search(line) or _PLAIN.search(line)
    assert found, f"no seal: {line[:200]!r}"
    return int(found[1]), int(found[2]), int(found[3])


def lines(data: bytes) -> list[bytes]:
    """Return the lines of a sealed file, each of which must be whole."""
    assert data == b"" or data.endswith(b"\n")
    return data.split(b"\n")[:-1]


def entries(data: bytes) -> list[bytes]:
    """Return what the application said, without control lines and seals."""
    return [stripped(line) for line in lines(data) if not line.startswith(_CONTROL)]


def controls(data: bytes) -> list[str]:
    """Return which control lines are there: `open`, or how a checkpoint goes on."""
    found = []
    for line in lines(data):
        if line.startswith(_CONTROL):
            words = stripped(line).split()
            found.append("open" if words[1] == b"open" else words[10].decode())
    return found

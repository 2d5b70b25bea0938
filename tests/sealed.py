"""What sealed lines look like to somebody who knows nothing but their form."""

import re
from urllib.parse import unquote_to_bytes

from tallystick import _core

LOG_ID = rb"[a-z2-7]{8}"
_SEAL = LOG_ID + rb"\.([0-9]+)\.([0-9]+)\.([0-9]+)\.[0-9]+\.[\w-]{22}"
_PLAIN = re.compile(rb"(?: |^)tally=" + _SEAL + rb"$")
_JSON = re.compile(rb',?"tally":"' + _SEAL + rb'"\}$')
_CONTROL = (b"tallystick/v1 ", b'{"tallystick":"tallystick/v1 ')
_NOTICE = re.compile(rb'(?:\{"tallystick":")?tallystick/v1 notice (?:\S+ ){5}(\S+) (\S+) ')


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


LATE = b"[head] no head counted new lines"


def entries(data: bytes) -> list[bytes]:
    """Return what the application said, without seals, and between that what the log itself did: `[KIND] TEXT`.

    A machine that is busy with other work may keep a writer from storing a head in time; what the log says of that is
    left out.
    """
    return [entry for entry in whole(data) if not entry.startswith(LATE)]


def whole(data: bytes) -> list[bytes]:
    """Return the same with what the log says of late heads."""
    found = []
    for line in lines(data):
        if said := _NOTICE.match(line):
            found.append(b"[%s] %s" % (said[1], unquote_to_bytes(said[2].replace(b"+", b" "))))
        elif not line.startswith(_CONTROL):
            found.append(stripped(line))
    return found


def controls(data: bytes) -> list[str]:
    """Return which openings and checkpoints are there: `open`, or how a checkpoint goes on."""
    found = []
    for line in lines(data):
        if line.startswith(_CONTROL) and not _NOTICE.match(line):
            words = stripped(line).split()
            found.append("open" if words[1] == b"open" else words[10].decode())
    return found


class Taking:
    """A sealer of the core whose calls give the bytes that they seal, at a time that is given."""

    def __init__(self, sealer) -> None:
        self._sealer = sealer

    def __getattr__(self, name):
        return getattr(self._sealer, name)

    def _given(self, call, *arguments) -> bytes:
        output = _core.Output()
        call(*arguments[:-1], output, arguments[-1]) if arguments else call(output)
        return output.peek()

    def start(self) -> bytes:
        return self._given(self._sealer.start)

    def seal(self, m: bytes, time: int) -> bytes:
        return self.seal_lines(m + b"\n", 0, time)[0]

    def seal_lines(self, data: bytes, start: int, time: int) -> tuple[bytes, int]:
        output = _core.Output()
        used, _ = self._sealer.write_lines(data, start, output, time)
        return output.peek(), used

    def notice(self, kind: str, text: bytes, time: int) -> bytes:
        return self._given(self._sealer.notice, kind, text, time)

    def checkpoint(self, time: int) -> bytes:
        return self._given(self._sealer.checkpoint, time)

    def close(self, time: int) -> bytes:
        return self._given(self._sealer.close, time)

    def end(self, time: int) -> bytes:
        return self._given(self._sealer.end, time)

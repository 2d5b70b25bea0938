"""What an intruder finds in bytes that he took, and what he can open of it with the custody that there is now.

Memory, files and data directories of servers may hold a sealing state in pieces, and in the encodings of those who
carried it. So its public front and its secret are looked for each by itself, and each front is tried with each secret:
what stands between them is the same in all states of a generation, and public.
"""

import base64
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tallystick import _core
from tallystick import custody as custodies
from tallystick.courier.state import owner_of
from tallystick.errors import FormatError, TallystickError
from tests.custody.apart import Apart
from tests.custody.keys import text_of
from tests.past.forger import keys_in

__all__ = ["Loot", "Opened", "memory_of", "tree"]

_FRONT = re.compile(
    rb"chain ([1-9][0-9]*)\nversion [0-9]+\ncustody [ -~]{1,500}\nwrapped [\w-]{40,20000}\n"
    rb"(?:exposed [ -~]{1,500}\n)?(?:former [ -~]{1,20000}\n)?"
)
_SECRET = re.compile(rb"secret ([\w-]{139})(?![\w-])")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{80,}")
_HEX = re.compile(rb"(?:[0-9a-fA-F]{2}){60,}")
_SIGNS = (b"\nversion ", b"\nsecret ")


@dataclass(frozen=True)
class Opened:
    """A sealing state that was opened, and what follows from it."""

    chain: int
    a: bytes
    b: bytes


def memory_of(pid: int) -> bytes:
    """Return all memory of a process that could be written to."""
    found = bytearray()
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for row in Path(f"/proc/{pid}/maps").read_text().splitlines():
            if re.match(r"[0-9a-f]+-[0-9a-f]+ rw", row):
                start, end = (int(part, 16) for part in row.split()[0].split("-"))
                memory.seek(start)
                with suppress(OSError):
                    found += memory.read(end - start)
    assert found  # there was something to take
    return bytes(found)


def tree(*places: str | os.PathLike[str]) -> bytes:
    """Return what all files below some directories hold, one after the other."""
    found = []
    for place in places:
        for at, _, files in os.walk(place):
            for name in sorted(files):
                with suppress(FileNotFoundError):
                    found.append((Path(at) / name).read_bytes())
    return b"\n\0".join(found)


@dataclass
class Loot:
    """Everything of one log that an intruder ever got hold of.

    Args:
        state: A state of the log; of it only what anybody may read is used.
    """

    state: bytes
    fronts: set[bytes] = field(default_factory=set)
    secrets: set[bytes] = field(default_factory=set)

    def add(self, data: bytes) -> "Loot":
        """Keep what some bytes hold."""
        for view in _views(data):
            self.fronts |= {found[0] for found in _FRONT.finditer(view)}
            self.secrets |= {found[1] for found in _SECRET.finditer(view)}
        return self

    def states(self) -> Iterator[bytes]:
        """Return each state that can be read as one; memory holds pieces that were overwritten in part, too."""
        public = re.match(rb"tallystick-state v1\npublic [^\n]+\n", self.state)
        keys = re.search(rb"\nkeys [\w-]+\n(?:open [^\n]+\n)*", self.state)
        assert public
        assert keys
        for front in sorted(self.fronts):
            for secret in sorted(self.secrets):
                state = public[0] + front + keys[0][1:] + b"secret " + secret + b"\n"
                with suppress(FormatError):
                    _core.read_state(state)
                    yield state

    def opened(self, *custody: str) -> list[Opened]:
        """Return what can be opened of it now; by the custody that a state names, and by others that are given."""
        found = {}
        data_keys = set(self._data_keys(custody))
        for state in self.states():
            for key in data_keys:
                if both := keys_in(state, key):
                    chain = _core.read_state(state).next_chain
                    assert chain is not None
                    found[chain] = Opened(chain, *both)
        return [found[chain] for chain in sorted(found)]

    def _data_keys(self, custody: Iterable[str]) -> Iterator[bytes]:
        """Return what custody makes of each wrapped key, asked as the writer would ask it."""
        asked = set()
        for state in self.states():
            info = _core.read_state(state)
            wrapped = [(info.custody, info.wrapped), *([info.former] if info.former else [])]
            for url, text in [*wrapped, *((url, text) for url in custody for _, text in wrapped)]:
                if (url, text) not in asked:
                    asked.add((url, text))
                    with suppress(TallystickError):
                        key = text_of(_custody(url).unwrap(text, owner_of(info)))
                        yield base64.urlsafe_b64decode(key.strip() + b"=")


def _custody(url: str) -> custodies.Custody:
    return Apart(url) if url.startswith("pkcs11:") else custodies.connect(url)


def _views(data: bytes) -> Iterator[bytes]:
    """Return some bytes, and what they are in the encodings of those who carry states."""
    yield data
    if b"\\n" in data:
        yield data.replace(b"\\n", b"\n")
    for sign in _SIGNS:
        for shift in range(3):  # base64 of the sign, wherever in a group of three it begins
            code = base64.b64encode(bytes(shift) + sign)[4 if shift else 0 :][: (len(sign) - (-shift % 3)) // 3 * 4]
            if code in data:
                yield from _decoded(data, code)
        if sign.hex().encode() in data.lower():
            yield b"\0".join(bytes.fromhex(found[0].decode()) for found in _HEX.finditer(data))


def _decoded(data: bytes, code: bytes) -> Iterator[bytes]:
    for found in _BASE64.finditer(data):
        if code in found[0]:
            text = found[0].replace(b"-", b"+").replace(b"_", b"/")
            for cut in range(4):  # what stands before it may look like base64, too
                part = text[cut:]
                part = part[: len(part) - (len(part) % 4 == 1)]
                yield base64.b64decode(part + b"=" * (-len(part) % 4))

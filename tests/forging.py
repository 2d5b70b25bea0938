"""Logs whose every byte is known, and what somebody who holds V, or S, can make of them.

They are sealed by the script of the vectors, which was written from the specification and shares nothing with the
package: so nothing that the package believes goes into what it is tested with.

>>> log = whole()
>>> [at(line) for line in log.lines[:3]], len(log.lines)
(['1.0.0', '1.0.1', '1.0.2'], 15)
>>> [at(line) for line in log.without("1.0.1").lines[:2]]
['1.0.0', '1.0.2']
"""

import importlib.util
import re
import sys
from dataclasses import dataclass, field, replace
from functools import cache
from types import ModuleType

from tests import sealed
from tests.vectors import VECTORS


def _make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_vectors", VECTORS / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = before
    return module


MAKE = _make()
V, S, NAME, TIME = bytes(range(32)), bytes(range(32, 64)), "app", 1_795_401_650_000
HASH = MAKE.b64(bytes(32))  # of a statement that never was

b64 = MAKE.b64


def at(line: bytes) -> str:
    """Return the position of a sealed line."""
    return ".".join(map(str, sealed.position(line)))


def triple(position: str) -> tuple[int, ...]:
    """Return chain, epoch and index."""
    return tuple(map(int, position.split(".")))


@dataclass(frozen=True)
class Log:
    """Lines of a log, and the heads and statements that there were when they were written."""

    lines: tuple[bytes, ...]
    heads: dict[str, str] = field(default_factory=dict)
    """Text of each head by the position that it counts up to."""

    def head(self, position: str) -> str:
        """The head that counts everything before a position."""
        return self.heads[position]

    def pin(self, position: str) -> str:
        """A pin on the statement at a position."""
        text = sealed.stripped(self.line(position)).removeprefix(b'{"tallystick":"').removesuffix(b'"}')
        return f"tallypin {LOG_ID} {position}.{b64(MAKE.H(text))}"

    def line(self, position: str) -> bytes:
        """The line at a position."""
        return self.lines[self._number(position)]

    def _number(self, position: str) -> int:
        seal = re.compile(rf'tally(?:=|":")[a-z2-7]{{8}}\.{re.escape(position)}\.'.encode())
        (number,) = [n for n, line in enumerate(self.lines) if seal.search(line[-120:])]
        return number

    def _with(self, lines: list[bytes]) -> "Log":
        return replace(self, lines=tuple(lines))

    def without(self, *positions: str) -> "Log":
        """Without the lines at some positions."""
        gone = {self._number(position) for position in positions}
        return self._with([line for n, line in enumerate(self.lines) if n not in gone])

    def between(self, first: str, last: str) -> "Log":
        """The lines from one position to another one."""
        return self._with(list(self.lines[self._number(first) : self._number(last) + 1]))

    def changed(self, position: str, old: bytes, new: bytes) -> "Log":
        """With something else in one line."""
        line = self.line(position)
        assert line.count(old) == 1, (line, old)
        return self.put(position, line.replace(old, new))

    def put(self, position: str, line: bytes) -> "Log":
        """With another line in the place of one."""
        number = self._number(position)
        return self._with([*self.lines[:number], line, *self.lines[number + 1 :]])

    def behind(self, position: str, *lines: bytes) -> "Log":
        """With more lines behind one."""
        number = self._number(position) + 1
        return self._with([*self.lines[:number], *lines, *self.lines[number:]])

    def swapped(self, one: str, other: str) -> "Log":
        """With two lines in each other's place."""
        lines, (a, b) = list(self.lines), (self._number(one), self._number(other))
        lines[a], lines[b] = lines[b], lines[a]
        return self._with(lines)

    @property
    def data(self) -> bytes:
        """The lines as a file."""
        return b"".join(line + b"\n" for line in self.lines)


class Writer(MAKE.Sealer):  # type: ignore[misc, name-defined]
    """A writer that does what it is told, right or wrong."""

    def __init__(self, name: str = NAME, secrets: tuple[bytes, bytes] = (V, S), control: str = "plain") -> None:
        super().__init__(*secrets, name, control)
        self.heads: dict[str, str] = {}

    def keep_head(self) -> None:
        """Let a head count what was written."""
        super().keep_head()
        self.heads[f"{self.chain}.{self.epoch}.{self.index}"] = self.head_text()

    def chain_of(self, *steps: str, time: int = TIME, head: bool = True) -> "Writer":
        """Write a chain: entries, notices, and the words `continues`, `closed` and `ended` for such a checkpoint.

        Args:
            steps: What comes behind the opening; `notice KIND TEXT` is a notice, its text as it is written.
            time: The claimed time of the opening; each checkpoint comes one second after the statement before it.
            head: A head counts what was written; else the host dies before one is.
        """
        kept = self.head, self.head_mac
        self.open(time)
        for step in steps:
            if step in ("continues", "closed", "ended"):
                time += 1000
                self.checkpoint(step, time)
            elif step.startswith("notice "):
                self.notice(*step.split()[1:])
            else:
                self.entry(step.encode())
        self.keep_head()
        if not head:
            self.head, self.head_mac = kept
        return self

    def log(self) -> Log:
        """What was written."""
        return Log(tuple(self.lines), dict(self.heads))


LOG_ID: str = Writer().log_id


def forged(position: str, m: bytes, *, control: bool = False, log_id: str = LOG_ID, v: bytes = V) -> bytes:
    """Return a line that a holder of V can make at any position: its tag holds."""
    tag = MAKE.mac(MAKE.entry_key(v, *triple(position)), MAKE.H((b"\x03" if control else b"\x02") + m))[:16]
    seal: bytes = MAKE.seal_line(m, f"{log_id}.{position}.{len(m)}.{b64(tag)}".encode())
    return seal


def redacted(line: bytes) -> bytes:
    """Return a line blanked by a holder of V."""
    blanked: bytes = MAKE.redacted_line(V, line)
    return blanked


def key_text(name: str = NAME, v: bytes = V, s: bytes = S) -> str:
    """Return the verification key."""
    text: str = MAKE.secret_text(MAKE.chain_root(s, 0), name, [v])
    return text


def narrowed_key(first: int, last: int) -> str:
    """Return the verification key of some chains."""
    keys = [MAKE.derive(MAKE.chain_link(V, chain), "chain") for chain in range(first, last + 1)]
    text: str = MAKE.secret_text(MAKE.chain_root(S, 0), NAME, keys, first, last, scope=1)
    return text


def public_text(name: str = NAME, s: bytes = S) -> str:
    """Return the public key."""
    text: str = MAKE.public_text(MAKE.chain_root(s, 0), name)
    return text


@cache
def whole() -> Log:
    """Three chains, the last of which ended the log: 15 lines.

    1.0.0 open, 1.0.1 to 1.0.3, 1.0.4 continues, 1.1.0 and 1.1.1, 1.1.2 closed; 2.0.0 open, 2.0.1 and 2.0.2, 2.0.3
    closed; 3.0.0 open, 3.0.1, 3.0.2 ended.
    """
    writer = Writer()
    writer.chain_of("a one", "a two", "a three", "continues", "a four", "a five", "closed")
    writer.chain_of("b one", "b two", "closed", time=TIME + 10_000)
    return writer.chain_of("c one", "ended", time=TIME + 20_000).log()


@cache
def closed() -> Log:
    """One chain that was closed: 1.0.0 open, 1.0.1, 1.0.2, 1.0.3 continues, 1.1.0, 1.1.1 closed."""
    return Writer().chain_of("one", "two", "continues", "three", "closed").log()


@cache
def crashed() -> Log:
    """Chain 2 has no end, its head counted it whole; nothing of chain 3 left the host; chain 4 ended the log."""
    writer = Writer().chain_of("one", "closed").chain_of("two", "three")
    writer.burn()
    return writer.chain_of("four", "ended").log()


@cache
def passed_over() -> Log:
    """No head counted chain 2, which has no end; chain 3 ended the log."""
    return Writer().chain_of("one", "closed").chain_of("two", head=False).chain_of("three", "ended").log()


@cache
def in_json() -> Log:
    """One chain of JSON lines in RFC 8785 form, plain ones among them."""
    return Writer(control="json").chain_of('{"a":1,"b":"x"}', "plain", '{"c":[1,2]}', "ended").log()

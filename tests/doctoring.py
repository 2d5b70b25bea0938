"""Random sealed logs, and random things that somebody may do to them."""

import hashlib
import random
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tallystick import _core
from tests.sealed import Taking

TIME = 1_795_401_650_000
SEAL = re.compile(rb'( ?tally=|,?"tally":")([a-z2-7]{8}\.[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+\.[\w-]{22})("\})?$')
TAG = re.compile(rb'\.[\w-]{22}(?=(?:"\})?$)')
CHECKPOINT = re.compile(rb"tallystick/v1 checkpoint ")


@dataclass
class Sealed:
    """A sealed log in memory, with all that verifies it."""

    lines: list[bytes]
    key: str
    public: str
    head: bytes
    pin: str
    older_heads: list[bytes] = field(default_factory=list)
    secrets: tuple[bytes, bytes] = (b"", b"")
    foreign: list[bytes] = field(default_factory=list)
    shown: list[bytes] = field(default_factory=list)
    """Signed heads, opens and checkpoints, in order."""
    past: bytes = b""
    """What the log adopted, which stands before it."""

    @property
    def data(self) -> bytes:
        """The log as one file."""
        return b"".join(line + b"\n" for line in self.lines)


def text(rng: random.Random) -> bytes:
    """Return an entry: plain, JSON, odd bytes, or something that looks like what it is not."""
    kind = rng.randrange(8)
    if kind < 3:
        return b"user=%d action=%s ok=true" % (rng.randrange(100), rng.choice([b"login", b"read", b"write"]))
    if kind < 5:
        return b'{"a":%d,"b":"%s"}' % (rng.randrange(1000), rng.choice([b"x", b"yy", b"\xc3\xa9"]))
    if kind == 5:
        return bytes(rng.choice([b for b in range(256) if b not in b"\n\r"]) for _ in range(rng.randrange(40)))
    if kind == 6:
        return rng.choice([b"", b"{}", b"{ }", b"}", b'{"tally":1}', b'{"z":1,"a":[1.0,2]}'])
    return rng.choice(
        [
            b"x tally=aaaaaaaa.1.0.1.5.AAAAAAAAAAAAAAAAAAAAAA",
            b"tallystick/v1 open look alike",
            b'{"tallystick":"tallystick/v1 checkpoint x"}',
        ]
    )


def seal(
    rng: random.Random,
    *,
    name: str = "payments",
    crashes: bool = False,
    adopts: bool = False,
    secrets: tuple[bytes, bytes] | None = None,
) -> Sealed:
    """Seal random entries over random epochs and chains; sometimes the log adopts a random past."""
    past = b"".join(text(rng) + b"\n" for _ in range(rng.randrange(1, 6))) if adopts and rng.random() < 0.3 else b""
    secrets = secrets or (rng.randbytes(32), rng.randbytes(32))
    setup = _core.setup(name, secrets)
    state, head = setup.state(), bytes(setup.head())
    heads = [head]
    lines: list[bytes] = []
    shown: list[bytes] = []
    control = rng.choice(["auto", "plain", "json"])
    count = rng.randrange(1, 5)
    for number in range(count):
        sealer = Taking(state.open_chain(head, TIME + len(lines)))
        sealer.configure(control, rng.randrange(1, 12))
        sealer.show()
        out: list[bytes] = []
        if past and not number:
            said = f"sha256:{hashlib.sha256(past).hexdigest()} {len(past)} {past.count(10)}"
            out.append(sealer.notice("adopted", said.encode(), TIME))
        for _ in range(rng.randrange(0, 25)):
            kind = rng.random()
            if kind < 0.1 and not sealer.closed:
                out.append(sealer.notice("dropped", text(rng) or b"-", TIME))
            elif kind < 0.12 and out and b"tallystick/v1 notice" in out[-1]:
                copied = SEAL.sub(rb"\3", next(one for one in out[-1].split(b"\n") if b"/v1 notice" in one))
                out.append(sealer.seal(copied.replace(b"dropped", rng.choice([b"dropped", b"output"])), TIME))
            else:
                out.append(sealer.seal(text(rng), TIME + len(lines)))
            shown += spoken(sealer, TIME + len(shown))
        if rng.random() < 0.2 and not sealer.closed:
            out.append(sealer.checkpoint(TIME))
        crash = crashes and rng.random() < 0.5 and out
        if not crash and not sealer.closed:
            last = number == count - 1 and rng.random() < 0.2
            out.append(sealer.end(TIME) if last else sealer.close(TIME))
        shown += spoken(sealer, TIME + len(shown))
        new = sealer.head()
        assert new is not None
        # Not always the store is told of the end before the host dies.
        if not (crash and number < count - 1 and rng.random() < 0.3):
            head = bytes(new)
        heads.append(head)
        lines += b"".join(out).removesuffix(b"\n").split(b"\n")
    with tempfile.TemporaryFile() as file:
        setup.write_key(file.fileno())
        file.seek(0)
        key = file.read().decode()
    # The newest statement is the last line, unless the last chain crashed.
    _, at, digest = _core.parse_head(head)
    last = (at[0], at[1], at[2] - 1)
    pin = f"tallypin {setup.log_id} {'.'.join(map(str, last))}.{b64(digest)}"
    return Sealed(lines, key, setup.public_key + "\n", head, pin, heads, secrets, shown=shown, past=past)


def spoken(sealer: Taking, time: int) -> list[bytes]:
    """Return what a writer shows to witnesses: its statements since the last time, and a head."""
    head = sealer.signed_head(time)
    return [text for text, _ in sealer.take_spoken()] + ([head] if head is not None else [])


def b64(data: bytes) -> str:
    """Return base64url without padding."""
    import base64

    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def doctor(rng: random.Random, log: Sealed, other: Sealed) -> tuple[str, bytes]:
    """Do one random thing to a log; say which, and return its bytes afterwards."""
    lines = list(log.lines)
    at, to = rng.randrange(len(lines)), rng.randrange(len(lines))
    what = rng.choice(
        [
            "flip",
            "flip",
            "flip",
            "delete",
            "delete some",
            "twice",
            "swap",
            "cut",
            "cut lines",
            "splice",
            "seals",
            "move",
        ]
    )
    if what == "flip":
        data = bytearray(log.data)
        byte = rng.randrange(len(data))
        data[byte] ^= 1 << rng.randrange(8)
        return what, bytes(data)
    if what == "cut":
        data = log.data
        return what, data[: rng.randrange(len(data))]
    if what == "delete":
        del lines[at]
    elif what == "delete some":
        del lines[min(at, to) : max(at, to) + 1]
    elif what == "twice":
        lines.insert(to, lines[at])
    elif what == "swap":
        lines[at], lines[to] = lines[to], lines[at]
    elif what == "cut lines":
        del lines[at:]
    elif what == "splice":
        lines[at:at] = other.lines[: rng.randrange(1, len(other.lines) + 1)]
    elif what == "seals":
        one, two = SEAL.search(lines[at]), SEAL.search(lines[to])
        assert one is not None
        assert two is not None
        lines[at], lines[to] = (
            lines[at][: one.start(2)] + two[2] + lines[at][one.end(2) :],
            lines[to][: two.start(2)] + one[2] + lines[to][two.end(2) :],
        )
    elif what == "move":
        end = min(len(lines), at + rng.randrange(1, 10))
        part = lines[at:end]
        del lines[at:end]
        lines[to:to] = part
    return what, b"".join(line + b"\n" for line in lines)


def is_harmless(log: Sealed, doctored: bytes, *, with_v: bool) -> bool:
    """Is it the same log still? White space behind lines says nothing, and P does not see a checkpoint's own tag."""

    def plain(data: bytes) -> list[bytes]:
        lines = [line.rstrip(b" \t\r") for line in data.split(b"\n")]
        lines = [line for line in lines if line.strip(b"\0")]
        if with_v:
            return lines
        return [TAG.sub(b".", line) if CHECKPOINT.search(line[:60]) else line for line in lines]

    return plain(doctored) == plain(log.data)


def write(directory: Path, log: Sealed) -> None:
    """Write keys and head of a log into a directory."""
    (directory / "log.key").write_text(log.key)
    (directory / "log.pub").write_text(log.public)
    (directory / "log.head").write_bytes(log.head)

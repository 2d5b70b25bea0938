"""Those who cosign a witness's tree: one of our own by C2SP's texts, and the real litewitness and omniwitness.

The own one shares nothing with the package; it can be told to answer badly.
"""

import base64
import contextlib
import hashlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tests.processes import Started
from tests.servers import Answering, free_port, listens, missing, program, until

PACKAGES = {
    "litewitness": "filippo.io/torchwood/cmd/litewitness@v0.6.1",
    "omniwitness": "github.com/transparency-dev/witness/cmd/omniwitness@v0.0.0-20260720115447-2e1c6971d19e",
}


def key_text(name: str, kind: int, public: bytes) -> str:
    data = bytes([kind]) + public
    number = hashlib.sha256(name.encode() + b"\n" + data).digest()[:4].hex()
    return f"{name}+{number}+{base64.b64encode(data).decode()}"


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def goes_on(size: int, root: bytes, end: int, new: bytes, proof: list[bytes]) -> bool:
    """Does a consistency proof hold? RFC 9162 section 2.1.4.2."""
    if size == end:
        return not proof and root == new
    path = [root, *proof] if size & (size - 1) == 0 else list(proof)
    if not path:
        return False
    fn, sn = size - 1, end - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for one in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node(one, fr), node(one, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, one)
        fn, sn = fn >> 1, sn >> 1
    return fr == root and sr == new and sn == 0


@dataclass
class Cosigner:
    """One of our own. `answers`, where it is set, makes what is answered instead of a good answer."""

    name: str
    log: str = ""
    secret: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    size: int = 0
    root: bytes = b""
    requests: int = 0
    answers: Callable[[bytes], tuple[int, bytes]] | None = None
    url: str = ""

    @property
    def key(self) -> str:
        raw = self.secret.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return key_text(self.name, 4, raw)

    def line(self, text: bytes, at: int | None = None) -> bytes:
        """Return the signature line for the text of a checkpoint."""
        at = int(time.time()) if at is None else at
        signature = self.secret.sign(b"cosignature/v1\ntime %d\n" % at + text)
        number = bytes.fromhex(self.key.split("+")[1])
        data = base64.b64encode(number + at.to_bytes(8) + signature).decode()
        return f"\u2014 {self.name} {data}\n".encode()

    def answer(self, path: str, headers: Message, body: bytes) -> tuple[int, bytes]:
        self.requests += 1
        status, said = self.answers(body) if self.answers is not None else self.take(body)
        return (status if path == "/add-checkpoint" else 404), said

    def take(self, body: bytes) -> tuple[int, bytes]:
        head, _, note = body.partition(b"\n\n")
        old, *proof = head.decode().split("\n")
        text, _, signatures = note.partition(b"\n\n")
        text += b"\n"
        origin, size, root = text.decode().split("\n")[:3]
        name, number, data = self.log.split("+", 2)
        if origin != name:
            return 404, b""
        mine = [line for line in signatures.decode().split("\n") if line.startswith(f"\u2014 {name} ")]
        try:
            for line in mine:
                raw = base64.b64decode(line.rpartition(" ")[2])
                assert raw[:4].hex() == number
                Ed25519PublicKey.from_public_bytes(base64.b64decode(data)[1:]).verify(raw[4:], text)
        except InvalidSignature:
            return 403, b""
        if not mine:
            return 403, b""
        known, end = int(old.removeprefix("old ")), int(size)
        if known > end:
            return 400, b""
        if known != self.size:
            return 409, b"%d\n" % self.size
        new, hashes = base64.b64decode(root), [base64.b64decode(one) for one in proof]
        if known == end and known and new != self.root:
            return 409, b"%d\n" % self.size
        if known and not goes_on(known, self.root, end, new, hashes):
            return 422, b""
        self.size, self.root = end, new
        return 200, self.line(text)


@contextlib.contextmanager
def serving(*cosigners: Cosigner) -> Iterator[None]:
    """Serve cosigners on loopback, each at a URL of its own."""
    with contextlib.ExitStack() as stack:
        for one in cosigners:
            server = stack.enter_context(Answering.running(one.answer))
            one.url = f"http://127.0.0.1:{server.port}"
        yield


def real(name: str) -> str:
    """Return the path of a real peer."""
    if (place := os.environ.get("TALLYSTICK_GO_BIN")) is None:  # it takes minutes to build
        pytest.skip(f"go install {PACKAGES[name]}, and name its folder in TALLYSTICK_GO_BIN")
    return shutil.which(name, path=place) or missing(name, f"it is not in {place}")


@dataclass
class Peer:
    """A real cosigner in a process of its own."""

    key: str
    url: str


@contextlib.contextmanager
def ended(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(30)


@contextlib.contextmanager
def litewitness(directory: Path, log: str) -> Iterator[Peer]:
    """Run litewitness for a log. Its key is in an ssh-agent, and its logs are rows of its database."""
    command, socket = real("litewitness"), directory / "agent"
    agent, keygen, add = (
        program(name, "apt install openssh-client") for name in ("ssh-agent", "ssh-keygen", "ssh-add")
    )
    subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", directory / "key"], check=True)
    printed = subprocess.run([keygen, "-l", "-f", directory / "key"], check=True, capture_output=True, text=True)
    public = base64.b64decode((directory / "key.pub").read_text().split(" ")[1])[-32:]
    port, name = free_port(), "example.com/lite"
    with ended(Started([agent, "-D", "-a", socket], stdout=subprocess.DEVNULL)):
        until(socket.exists, "the ssh-agent")
        environment = {**os.environ, "SSH_AUTH_SOCK": str(socket)}
        subprocess.run([add, "-q", directory / "key"], check=True, env=environment)
        database = directory / "lite.db"
        options = ["-db", database, "-name", name, "-ssh-agent", socket, "-listen", f"127.0.0.1:{port}"]
        options += ["-key", printed.stdout.split(" ")[1]]
        with ended(Started([command, *options], stderr=subprocess.DEVNULL)):
            until(lambda: listens(port), "litewitness")
            with contextlib.closing(sqlite3.connect(database, timeout=30)) as rows, rows:
                empty = base64.b64encode(hashlib.sha256().digest()).decode()
                origin = log.split("+")[0]
                rows.execute("INSERT INTO log VALUES (?, 0, ?)", (origin, empty))
                rows.execute("INSERT INTO key VALUES (?, ?)", (origin, log))
            yield Peer(key_text(name, 4, public), f"http://127.0.0.1:{port}")


@contextlib.contextmanager
def omniwitness(directory: Path, log: str) -> Iterator[Peer]:
    """Run omniwitness for a log."""
    command, port, name = real("omniwitness"), free_port(), "example.com/omni"
    secret = Ed25519PrivateKey.generate()
    seed = secret.private_bytes_raw()
    public = secret.public_key().public_bytes_raw()
    _, number, _ = key_text(name, 1, public).split("+", 2)
    private = f"PRIVATE+KEY+{name}+{number}+{base64.b64encode(bytes([1]) + seed).decode()}\n"
    (directory / "omni.key").write_text(private)
    origin = json.dumps(log.split("+")[0])
    (directory / "logs.yaml").write_text(
        f"Logs:\n  - Origin: {origin}\n    URL: http://127.0.0.1:1/\n    PublicKey: {log}\n    Feeder: none\n"
    )
    options = [f"--listen=127.0.0.1:{port}", "--metrics_listen=", f"--private_key_path={directory / 'omni.key'}"]
    options += [f"--db_file={directory / 'omni.db'}", f"--additional_logs={directory / 'logs.yaml'}"]
    with ended(Started([command, *options], stderr=subprocess.DEVNULL)):
        until(lambda: listens(port), "omniwitness")
        yield Peer(key_text(name, 4, public), f"http://127.0.0.1:{port}")


def policy(directory: Path, rule: str, *cosigners: Cosigner | Peer, logs: tuple[str, ...] = ()) -> Path:
    """Write a policy: `rule` is any, all or a number of these cosigners."""
    lines = [f"log {log}" for log in logs]
    lines += [f"witness w{n} {one.key} {one.url}" for n, one in enumerate(cosigners)]
    lines += [f"group all-of-them {rule} {' '.join(f'w{n}' for n in range(len(cosigners)))}", "quorum all-of-them"]
    path = directory / "policy"
    path.write_text("\n".join(lines) + "\n")
    return path


def cosigners_of(note: str) -> set[str]:
    """Return the names of those whose lines stand in a note."""
    return set(re.findall("^\u2014 ([^ ]+) ", note.partition("\n\n")[2], re.MULTILINE))

"""A real witness as a process, and writers that show it their texts."""

import base64
import contextlib
import http.client
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tallystick import _core
from tests.preloaded import Running, killed_after
from tests.sealed import Taking

TIME = 1_795_401_650_000
NAME = "w.example"
PATIENCE = 60.0  # seconds
LOADS = ("tallystick.witness.service", "uvicorn", "starlette.applications", "tallystick.web.guard", "psycopg")


def b64(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@dataclass(frozen=True)
class Said:
    """What a witness answered."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def text(self) -> bytes:
        """The text that it answered with."""
        ((text, _),) = _core.read_receipts(self.body)
        return text

    @property
    def receipt(self) -> bytes:
        """Its receipt."""
        ((_, (receipt,)),) = _core.read_receipts(self.body)
        return receipt


class Service:
    """A witness that runs in a process of its own."""

    def __init__(self, directory: Path, *options: str, store: str | None = None, port: int = 0) -> None:
        self.directory, self.options, self.port = directory, options, port
        self.store = store or str(directory / "store")
        (directory / "logs").mkdir(exist_ok=True)
        self.process: Running | None = None
        self.said: list[str] = []

    def start(self, *more: str) -> "Service":
        """Start it, and wait until it listens."""
        command = ["witness", "serve", "--store", self.store, "--listen", f"127.0.0.1:{self.port}", "--name", NAME]
        command += ["--key", str(self.directory / "w.key"), *self.options, *more]
        command += [] if "--open" in self.options else ["--logs", str(self.directory / "logs")]
        self.process = Running(command, loads=LOADS)
        with killed_after(PATIENCE, self.process.pid):
            for line in self.process.stderr:
                self.said.append(line)
                if " its public key is " in line:
                    self.url = line.split(" at ")[1].split(";")[0]
                    self.key = _core.NoteKey(line.split(" its public key is ")[1].strip())
                    return self
        self.process.communicate(PATIENCE)
        raise AssertionError(self.said)

    @property
    def named(self) -> str:
        """URL and key, as a writer takes them."""
        return f"{self.url}={self.key}"

    def kill(self) -> None:
        """Kill it, as a power cut does but for what the disk has."""
        assert self.process is not None
        self.process.kill()
        self.process.communicate(PATIENCE)

    def end(self, number: int = signal.SIGTERM) -> str:
        """End it; return what it said since it listened."""
        assert self.process is not None
        self.process.send_signal(number)
        _, said = self.process.communicate(PATIENCE)
        if number == signal.SIGTERM:
            assert self.process.returncode == 0, said
        return said

    def ask(self, method: str, path: str, body: bytes | None = None, address: str = "127.0.0.1") -> Said:
        """Send one request, from an address."""
        host = self.url.removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=60, source_address=(address, 0))
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return Said(answer.status, answer.read(), dict(answer.getheaders()))
        finally:
            connection.close()

    def show(self, root: bytes, body: bytes, address: str = "127.0.0.1") -> Said:
        """Show texts, from an address."""
        return self.ask("POST", f"/log/{b64(root)}", body, address)

    def newest(self, root: bytes) -> tuple[int, list[tuple[int, bool, bytes]]]:
        """Ask how long a log is; the answer is checked."""
        nonce = bytes(range(32))
        said = self.ask("GET", f"/log/{b64(root)}?nonce={b64(nonce)}")
        assert said.status == 200, said
        return _core.read_answer(said.body, self.key, nonce, root)


@contextlib.contextmanager
def running(service: Service, *more: str) -> Iterator[Service]:
    """Run a witness for a block."""
    service.start(*more)
    try:
        yield service
    finally:
        if service.process is not None and service.process.poll() is None:
            service.end()


class Writer:
    """A log, and what its writer shows."""

    def __init__(self, seed: int, name: str = "app") -> None:
        self.setup = _core.setup(name, (bytes([seed]) * 32, bytes([seed + 100]) * 32))
        self.state, self.head = self.setup.state(), bytes(self.setup.head())
        self.public = self.setup.public_key + "\n"
        self.root = _core.WitnessedLog(self.public.encode()).root
        self.tick, self.n, self.data = 0, 0, b""

    def known_to(self, service: Service) -> "Writer":
        """Give a witness the public file."""
        made = service.directory / "made"
        made.write_text(self.public)
        made.rename(service.directory / "logs" / f"{b64(self.root).strip('-')[:8]}.pub")
        return self

    def open(self, epoch_lines: int = 60_000) -> bytes:
        """Open the next chain; return what is shown of that."""
        self.sealer = Taking(self.state.open_chain(self.head, TIME))
        self.sealer.configure("plain", epoch_lines)
        self.sealer.show()
        self.data += self.sealer.start()
        self.n = 0
        ((text, _),) = self.sealer.take_spoken()
        self.keep()
        return text + b"\n"

    def keep(self) -> None:
        """Let the key store's head count all."""
        self.head = bytes(self.sealer.head())

    def step(self, lines: int = 1, *, proof: bool = True, words: bytes = b"line") -> bytes:
        """Write lines; return the signed head after them, as it is shown."""
        for _ in range(lines):
            self.data += self.sealer.seal(words, TIME)
        self.keep()
        self.tick += 1
        head = bytes(self.sealer.signed_head(TIME + self.tick))
        n = _core.parse_shown(head).n
        hashes = self.sealer.tree().proof(self.n, n) if self.n else []
        self.n = n
        return (
            head + b"\n" + (b"proof " + b" ".join(b64(h).encode() for h in hashes) + b"\n" if proof and hashes else b"")
        )


@contextlib.contextmanager
def small_disk(size: str) -> Iterator[Path]:
    """Give a directory on a file system of a size; needs root."""
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "none", directory], check=True)
        try:
            yield Path(directory)
        finally:
            subprocess.run(["umount", "-l", directory], check=True)

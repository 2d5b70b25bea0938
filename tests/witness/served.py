"""A witness for writers: the rules of the core behind HTTP, as spec section 11 has it, and a file of what it keeps.

It keeps one log in memory, or in a file, and can be told to fail.
"""

import base64
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tallystick import _core

ACCEPTED = ("newer", "sign of life", "gap")


def now() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class Held:
    """A text that no later one contains."""

    text: bytes
    time: int
    gap: bool


@dataclass
class Witness:
    """What a witness keeps of one log, and how it was asked to behave."""

    signer: _core.NoteSigner = field(default_factory=lambda: _core.NoteSigner.generate("w.example"))
    held: list[Held] = field(default_factory=list)
    status: int = 200
    """What it answers instead, unless it is 200."""
    delay: float = 0.0
    loses: int = 0
    """How many answers it is to lose after it has accepted what was shown."""
    decisions: list[str] = field(default_factory=list)
    requests: int = 0
    root: bytes = b""
    port: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def named(self) -> str:
        """URL and key, as a writer takes them."""
        return f"{self.url}={self.signer.key}"

    @property
    def newest(self) -> _core.ShownText | None:
        return _core.parse_shown(self.held[-1].text) if self.held else None

    def wait(self, condition: Any, seconds: float = 30.0) -> None:
        """Wait until something holds after a request."""
        with self.changed:
            assert self.changed.wait_for(condition, seconds), (self.decisions[-5:], self.newest and self.newest.until)

    def take(self, body: bytes) -> int:
        """Take the texts of a request; give the status."""
        lines, shown = body.decode().split("\n"), list[tuple[bytes, list[bytes]]]()
        for line in lines:
            if line.startswith(("tallystick/v1 head ", "tallystick/v1 open ", "tallystick/v1 checkpoint ")):
                shown.append((line.encode(), []))
            elif line.startswith("proof "):
                shown[-1][1].extend(base64.urlsafe_b64decode(word + "=") for word in line.split(" ")[1:])
        for text, proof in shown:
            decision, _ = _core.accept_text([one.text for one in self.held], text, proof)
            self.decisions.append(decision)
            if decision in ("newer", "sign of life"):
                self.held[-1:] = [Held(text, now(), False)]
            elif decision == "gap":
                self.held.append(Held(text, now(), True))
            elif decision == "fork":
                return 422
            elif decision in ("open first", "proof"):
                return 409
        return 200

    def receipt(self) -> bytes:
        """Return the newest text and the receipt for it."""
        if not self.held:
            return b""
        one = self.held[-1]
        note = _core.make_receipt(self.signer, self.root, one.text, one.time, one.gap)
        return one.text + b"\n" + note.encode()

    def answer(self, nonce: bytes) -> bytes:
        """Answer a verifier."""
        texts = [(one.time, one.gap, one.text) for one in self.held]
        return _core.make_answer(self.signer, nonce, self.root, now(), texts).encode()


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=")


@contextmanager
def serving(witness: Witness | None = None, port: int = 0) -> Iterator[Witness]:
    """Serve a witness on loopback."""
    mine = witness or Witness()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(mine.delay)
            with mine.changed:
                mine.requests += 1
                mine.root = decoded(self.path.rpartition("/")[2])
                status = mine.status if mine.status != 200 else mine.take(body)
                said = mine.receipt() if status in (200, 409, 422) else b"no"
                mine.changed.notify_all()
                if mine.loses and status == 200:
                    mine.loses -= 1
                    self.close_connection = True
                    return
            self.say(status, said)

        def do_GET(self) -> None:
            with mine.changed:
                self.say(200, mine.answer(decoded(self.path.partition("?nonce=")[2])))

        def say(self, status: int, said: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", port), Handler) as server:
        mine.port = server.server_port
        thread = threading.Thread(target=lambda: server.serve_forever(0.05))
        thread.start()
        try:
            yield mine
        finally:
            server.shutdown()
            thread.join()

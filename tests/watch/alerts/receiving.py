"""A receiver of webhooks for tests: a real server on loopback that answers as it is told to."""

import http.server
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

from tests.servers import free_port


class Hook:
    """A server that keeps what was posted to it.

    `plan` says for each event, given as its values, what becomes of it: a status, a status with headers, `close` (no
    answer), `stall` (no answer until the end), `trickle` (a header without end, byte by byte) or `endless` (a body
    without end).
    """

    def __init__(self, plan: Callable[[dict[str, Any]], Any] = lambda event: 200) -> None:
        self.plan, self.port = plan, free_port()
        self.taken: list[dict[str, Any]] = []  # answered with 2xx
        self.tried: list[dict[str, Any]] = []
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.changed = threading.Condition()
        self._server: http.server.ThreadingHTTPServer | None = None
        self._over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?secret=s3cr3t"

    def start(self, secure: ssl.SSLContext | None = None) -> "Hook":
        """Begin to listen, with TLS if a context for it is given."""
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                hook.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, *_: Any) -> None:
                """Clients break off."""

        self._over.clear()
        self._server = Server(("127.0.0.1", self.port), Handler)
        if secure is not None:
            self._server.socket = secure.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        self._over.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def wait(self, ready: Callable[["Hook"], Any], seconds: float = 30) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: ready(self), seconds), f"after {seconds} s: {self.ids()}"

    def ids(self) -> list[str]:
        return [event["id"] for event in self.taken]

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        """Answer a request as is laid down for it."""
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        found = json.loads(body)
        event = found.get("data", found) if isinstance(found, dict) else {"id": "", "list": found}
        with self.changed:
            self.requests.append((dict(handler.headers), body))
            self.tried.append(event)
            planned = self.plan(event)
            self.changed.notify_all()
        status, headers = planned if isinstance(planned, tuple) else (planned, {})
        if isinstance(status, int):
            if 200 <= status < 300:
                with self.changed:
                    self.taken.append(event)
                    self.changed.notify_all()
            handler.send_response(status)
            for name, value in ({"Content-Length": "0"} | headers).items():
                handler.send_header(name, value)
            handler.end_headers()
        elif status == "close":
            handler.connection.shutdown(socket.SHUT_RDWR)
        elif status == "stall":
            self._over.wait(60)
        else:
            self._forever(handler, status)

    def _forever(self, handler: http.server.BaseHTTPRequestHandler, what: str) -> None:
        if what == "endless":
            self.taken.append(self.tried[-1])
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
            while not self._over.is_set():
                handler.wfile.write(b"x" * 65536)
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while not self._over.is_set():
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.02)

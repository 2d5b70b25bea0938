"""A server, in a thread of its own: it takes no signal, and ends when it is asked to."""

import asyncio
import socket
import threading
from typing import TYPE_CHECKING, Protocol

from tallystick._services import is_here, library
from tallystick.errors import reason
from tallystick.web.access import Web, WebError, context, url_host

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from tallystick.web.connection import Listener

__all__ = ["Server", "Site"]

_THREADS = 3  # that make answers at the same time: what they take of the processor is taken from verification


class Site(Protocol):
    """What a server serves.

    Attributes:
        has_token: Does it ask some requests for a token?
    """

    has_token: bool

    def application(self, host: str) -> "ASGIApp":
        """Return what answers requests at a numeric address; called once, when the extra's packages are there."""

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin, in the loop that answers."""

    def stop(self) -> None:
        """Let nothing more be waited for; from any thread, and more than once."""

    def join(self) -> None:
        """Wait for its threads; after `stop`."""


class Server:
    """A server, which listens once it is started.

    Args:
        web: Where it listens and who may read.
        site: What it serves.
        extra: The extra whose packages it needs.
        connections: Connections at the same time; None for as many as pages need.

    Raises:
        WebError: It cannot be served so, or not at this address, or a package is not installed.
    """

    def __init__(self, web: Web, site: Site, extra: str, connections: int | None = None) -> None:
        self._tls = context(web)
        uvicorn = library("uvicorn", extra, WebError)
        library("starlette", extra, WebError)
        self._limiter = library("anyio.to_thread", extra, WebError)
        # This needs the extra's packages.
        from tallystick.web import connection

        self._socket = _bound(web, connection.Listener)
        if connections is not None:
            self._socket.most = connections
        try:
            self._at: tuple[str, int] = self._socket.getsockname()[:2]
            app = site.application(self._at[0])
        except BaseException:
            self._socket.close()
            raise
        self._site = site
        config = uvicorn.Config(
            app,
            http=connection.Connection,
            loop="asyncio",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            proxy_headers=False,
            server_header=False,
            h11_max_incomplete_event_size=connection.LARGEST_HEAD,
        )
        config.load()
        config.ssl = self._tls
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="tallystick web", daemon=True)

    @property
    def address(self) -> str:
        """Its URL, with the port that it has."""
        host, port = self._at
        return f"{'https' if self._tls else 'http'}://{url_host(host)}:{port}"

    @property
    def warning(self) -> str | None:
        """What is to be said about how it is reached; None if nothing."""
        if is_here(self._at[0]) or self._tls is not None or not self._site.has_token:
            return None
        return f"the token crosses the network to {self.address} in plain text: give a certificate"

    def start(self) -> None:
        """Serve; from the moment that this returns, connections are taken."""
        self._socket.listen(128)
        self._thread.start()

    def stop(self, seconds: float = 5.0) -> bool:
        """End, and return whether that is done: what is being answered has so many seconds."""
        self._site.stop()
        self._server.config.timeout_graceful_shutdown = max(seconds - 0.5, 0.1)
        self._server.should_exit = True
        if self._thread.ident is None:
            self._socket.close()
        else:
            self._thread.join(seconds + 1)
        return not self._thread.is_alive()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._limiter.current_default_thread_limiter().total_tokens = _THREADS
        self._site.start(asyncio.get_running_loop())
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            self._site.stop()
            for connection in list(self._server.server_state.connections):
                connection.transport.abort()
            await asyncio.to_thread(self._site.join)
            self._socket.close()


def _bound(web: Web, kind: "type[Listener]") -> "Listener":
    """Return a socket at the address that is asked for, which does not listen yet."""
    if not 0 <= web.port <= 65_535:  # the library takes a part of it
        raise WebError(f"cannot listen at {web.host}:{web.port}: there is no such port", hint="choose one up to 65535")
    try:
        family, _, _, _, address = socket.getaddrinfo(web.host, web.port, type=socket.SOCK_STREAM)[0]
        made = kind(family)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(address)
        except BaseException:
            made.close()
            raise
    except OSError as error:
        raise WebError(
            f"cannot listen at {web.host}:{web.port}: {reason(error)}", hint="choose another address or port"
        ) from None
    return made

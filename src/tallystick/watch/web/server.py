"""A server of the page, in a thread of its own: it takes no signal, and ends when it is asked to."""

import asyncio
import importlib
import socket
import threading
from typing import Any

from tallystick._services import is_here, library
from tallystick.errors import reason
from tallystick.watch.config import Web
from tallystick.watch.standing import Standings
from tallystick.watch.web.access import Access, WebError, context, url_host

__all__ = ["Server", "serve"]

_THREADS = 3  # that make answers at the same time: what they take of the processor is taken from verification


class Server:
    """A server, as `serve` returns it.

    Args:
        web: Where it listens and who may read.
        standings: What it shows.
        metrics: Gives the metrics: from the standings and an Accept header, content type and text.

    Raises:
        WebError: It cannot be served so, or not at this address.
    """

    def __init__(self, web: Web, standings: Standings, metrics: Any) -> None:
        self._tls = context(web)
        uvicorn = library("uvicorn", "watch", WebError)
        library("starlette", "watch", WebError)
        # These need the extra's packages.
        from tallystick.watch.web import app, connection, guard, live

        self._socket = _bound(web, connection.Listener)
        try:
            self._at: tuple[str, int] = self._socket.getsockname()[:2]
            access = Access.of(web, self._at[0])
        except BaseException:
            self._socket.close()
            raise
        self._live = live.Live(standings)
        config = uvicorn.Config(
            guard.Guard(app.application(standings, self._live, metrics), access),
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
        if is_here(self._at[0]) or self._tls is not None:
            return None
        return f"the token crosses the network to {self.address} in plain text: give a certificate"

    def start(self) -> None:
        """Serve; from the moment that this returns, connections are taken."""
        self._socket.listen(128)
        self._thread.start()

    def stop(self, seconds: float = 5.0) -> bool:
        """End, and return whether that is done: what is being answered has so many seconds."""
        self._live.stop()
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
        limiter = library("anyio.to_thread", "watch", WebError).current_default_thread_limiter()
        limiter.total_tokens = _THREADS
        follower = self._live.start(asyncio.get_running_loop())
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            self._live.stop()
            for connection in list(self._server.server_state.connections):
                connection.transport.abort()
            await asyncio.to_thread(follower.join)
            self._socket.close()


def serve(web: Web, standings: Standings, metrics: Any = None) -> Server:
    """Return a server of the page, the API and the metrics, which listens once it is started.

    Args:
        web: Where it listens and who may read.
        standings: What it shows; read only.
        metrics: Gives the metrics: from the standings and an Accept header, content type and text. None for those of
            the standings alone.

    Raises:
        WebError: It cannot be served so, or not at this address, or a package is not installed.
    """
    return Server(web, standings, metrics if metrics is not None else _metrics())


def _metrics() -> Any:
    """Return the maker of metrics; None where its packages are not installed."""
    try:
        return importlib.import_module("tallystick.watch.metrics").exposition
    except ImportError:
        return None


def _bound(web: Web, kind: type[socket.socket]) -> socket.socket:
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

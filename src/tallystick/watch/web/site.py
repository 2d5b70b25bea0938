"""The page, the API and the metrics of the watch service, as a server serves them."""

import asyncio
import importlib
import threading
from typing import TYPE_CHECKING, Any

from tallystick.watch.standing import Standings
from tallystick.web.access import Access, Web
from tallystick.web.server import Server

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from tallystick.watch.web.live import Live

__all__ = ["serve"]


class WatchSite:
    """What is served of standings.

    Args:
        web: Who may read.
        standings: What is shown.
        metrics: Gives the metrics: from the standings and an Accept header, content type and text.
    """

    def __init__(self, web: Web, standings: Standings, metrics: Any) -> None:
        self.has_token = web.token_file is not None
        self._web, self._standings, self._metrics = web, standings, metrics
        self._live: Live | None = None
        self._follower: threading.Thread | None = None

    def application(self, host: str) -> "ASGIApp":
        """Return what answers requests at a numeric address."""
        # These need the extra's packages.
        from tallystick.watch.web import app, live
        from tallystick.web.guard import Guard

        access = Access.of(self._web, host)
        self._live = live.Live(self._standings)
        return Guard(app.application(self._standings, self._live, self._metrics), access, "tallystick watch")

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Follow changes."""
        if self._live is not None:
            self._follower = self._live.start(loop)

    def stop(self) -> None:
        """Follow them no more."""
        if self._live is not None:
            self._live.stop()

    def join(self) -> None:
        """Wait until that is so."""
        if self._follower is not None:
            self._follower.join()


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
    return Server(web, WatchSite(web, standings, metrics if metrics is not None else _metrics()), "watch")


def _metrics() -> Any:
    """Return the maker of metrics; None where its packages are not installed."""
    try:
        return importlib.import_module("tallystick.watch.metrics").exposition
    except ImportError:
        return None

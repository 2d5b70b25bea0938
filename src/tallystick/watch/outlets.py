"""Where the service's results go: alerts, the web page and metrics, each started where it is asked for.

>>> from pathlib import Path
>>> from tallystick.watch.config import Config
>>> Outlets(Config((), Path("state")), print).queued()
0
"""

import importlib
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tallystick.errors import ReportError, TallystickError, explain
from tallystick.watch.board import Board
from tallystick.watch.config import Config, Web
from tallystick.watch.events import Event

if TYPE_CHECKING:
    from tallystick.watch.alerts import Alerts, Delivery
    from tallystick.watch.web import Server

__all__ = ["Outlets"]

_PATIENCE = 5.0  # seconds for the end of a part


class Outlets:
    """Alerts, the web page and pushed metrics of a service.

    Args:
        config: What is asked for.
        say: Takes a line about what happened, for people.
    """

    def __init__(self, config: Config, say: Callable[[str], None]) -> None:
        self._config, self._say = config, say
        self._alerts = self._made_alerts(config)
        self._server: Server | None = None
        self._push: Any = None

    def queued(self) -> int:
        """Return how many alerts wait to be delivered."""
        return self._alerts.queued() if self._alerts is not None else 0

    def start(self, board: Board) -> None:
        """Start what is asked for.

        Raises:
            TallystickError: The page cannot be served so, or a package is not installed.
        """
        if self._alerts is not None:
            self._alerts.start()
        self._serve(self._config.web, board)
        if any(name.startswith("OTEL_EXPORTER_OTLP_") and value for name, value in os.environ.items()):
            otlp = _part("otlp", "metrics over OTLP", "tallystick[otlp]")
            if otlp.is_asked_for(os.environ):
                self._push = otlp.Push(board, self._deliveries)
                self._push.start()

    def send(self, event: Event) -> bool:
        """Hand an event on; is it durable there? If not, it must be handed on again."""
        if self._alerts is None:
            return True
        try:
            return self._alerts.send(event)
        except TallystickError as error:
            self._say(f"an alert was not queued: {explain(error)}")
            return False

    def change(self, config: Config, board: Board) -> None:
        """Take another configuration.

        Raises:
            TallystickError: It asks for something that cannot be; all goes on as before.
        """
        old, self._config = self._config, config
        try:
            self._exchange(old, config, board)
        except TallystickError:
            self._config = old
            self._exchange(config, old, board)
            raise

    def _exchange(self, old: Config, new: Config, board: Board) -> None:
        if new.alerts != old.alerts:
            if self._alerts is not None:
                self._alerts.stop(_PATIENCE)
                self._alerts = None
            self._alerts = self._made_alerts(new)
            if self._alerts is not None:
                self._alerts.start()
        if new.web != old.web:
            if self._server is not None:
                self._server.stop(_PATIENCE)
                self._server = None
            self._serve(new.web, board)

    def stop(self, seconds: float) -> None:
        """Stop all, in this time."""
        for each in (self._server, self._push, self._alerts):
            if each is not None:
                each.stop(seconds)

    def _serve(self, web: Web | None, board: Board) -> None:
        if web is None:
            return
        serve = _part("web", "--listen", "tallystick[watch]").serve
        metrics = _part("metrics", "--listen", "tallystick[watch]")
        self._server = server = serve(web, board, lambda of, accept: metrics.exposition(of, accept, self._deliveries()))
        server.start()
        self._say(f"the page is at {server.address}")
        if server.warning:
            self._say(server.warning)

    def _deliveries(self) -> "Sequence[Delivery]":
        return self._alerts.deliveries() if self._alerts is not None else ()

    def _made_alerts(self, config: Config) -> "Alerts | None":
        if not config.alerts.to:
            return None
        made: Alerts = _part("alerts", "alerts", "tallystick[watch]").Alerts(config.alerts, config.state, say=self._say)
        return made


def _part(module: str, what: str, extra: str) -> Any:
    """Import a part whose packages an extra brings."""
    try:
        return importlib.import_module(f"tallystick.watch.{module}")
    except ImportError as error:
        raise ReportError(
            f"{what}: a package that it needs is not here ({error.name})", hint=f"install {extra}"
        ) from None

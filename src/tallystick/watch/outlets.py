"""Where the service's results go: alerts and the web page, each started where it is asked for.

>>> from pathlib import Path
>>> from tallystick.watch.config import Config
>>> Outlets(Config((), Path("state")), print).queued()
0
"""

import importlib
from collections.abc import Callable
from typing import Any

from tallystick.errors import ReportError, TallystickError, explain
from tallystick.watch.board import Board
from tallystick.watch.config import Config
from tallystick.watch.events import Event

__all__ = ["Outlets"]


class Outlets:
    """Alerts and the web page of a service.

    Args:
        config: What is asked for.
        say: Takes a line about what happened, for people.
    """

    def __init__(self, config: Config, say: Callable[[str], None]) -> None:
        self._config, self._say = config, say
        self._alerts: Any = self._made_alerts(config)
        self._server: Any = None

    def queued(self) -> int:
        """Return how many alerts wait to be delivered."""
        return int(self._alerts.queued()) if self._alerts is not None else 0

    def start(self, board: Board) -> None:
        """Start what is asked for."""
        if self._alerts is not None:
            self._alerts.start()
        if self._config.web is not None:
            serve = _part("web", "serve", "--listen")
            self._server = serve(self._config.web, board)
            self._server.start()

    def send(self, event: Event) -> None:
        """Hand an event on: it is durable on return."""
        if self._alerts is not None:
            try:
                self._alerts.send(event)
            except TallystickError as error:
                self._say(f"an alert was not queued: {explain(error)}")

    def change(self, config: Config, board: Board) -> None:
        """Take another configuration."""
        old, self._config = self._config, config
        if config.alerts != old.alerts:
            made = self._made_alerts(config)
            if self._alerts is not None:
                self._alerts.stop(5.0)
            self._alerts = made
            if made is not None:
                made.start()
        if config.web != old.web:
            if self._server is not None:
                self._server.stop()
                self._server = None
            if config.web is not None:
                self._server = _part("web", "serve", "--listen")(config.web, board)
                self._server.start()

    def stop(self, seconds: float) -> None:
        """Stop all, in this time."""
        if self._server is not None:
            self._server.stop()
        if self._alerts is not None:
            self._alerts.stop(seconds)

    def _made_alerts(self, config: Config) -> Any:
        if not config.alerts.to:
            return None
        return _part("alerts", "Alerts", "--on-alert")(config.alerts, config.state)


def _part(module: str, name: str, option: str) -> Any:
    try:
        return getattr(importlib.import_module(f"tallystick.watch.{module}"), name)
    except ImportError as error:
        raise ReportError(
            f"{option}: a package that it needs is not here ({error.name})", hint="install tallystick[watch]"
        ) from None

"""Watches a log in this process, and calls a function when something happens to it.

>>> import tempfile, threading, tallystick
>>> from pathlib import Path
>>> with tempfile.TemporaryDirectory() as d:
...     place = {"store": f"file:{d}/store"}
...     _ = tallystick.create("app", custody=f"master-key:{d}/master.key", key_file=f"{d}/app.key", **place)
...     with tallystick.open("app", output=f"{d}/app.log", **place) as log:
...         log.write("user=7 action=login")
...     events, heard = [], threading.Event()
...     def take(event):
...         events.append(event)
...         heard.set()
...     with tallystick.watch(
...         [f"{d}/app.log"], keys=[f"{d}/app.key"], state=f"{d}/watch", interval=0.1, on_event=take, **place
...     ) as service:
...         _ = service.wait_for_all(60.0)
...         _ = Path(f"{d}/app.log").write_bytes(Path(f"{d}/app.log").read_bytes().replace(b"user=7", b"user=8"))
...         _ = heard.wait(60.0)
...     events[0].after, str(events[0].finding.kind)
(<State.FAILED: 'failed'>, 'altered')
"""

import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from tallystick.errors import ReportError
from tallystick.verify.keys import labels, read_keys
from tallystick.verify.request import Request
from tallystick.watch.config import Config, Entry
from tallystick.watch.events import Event
from tallystick.watch.outlets import Outlets
from tallystick.watch.service import Service

__all__ = ["watch"]

_log = logging.getLogger("tallystick.watch")


def watch(
    paths: Iterable[str | os.PathLike[str]],
    *,
    state: str | os.PathLike[str],
    on_event: Callable[[Event], None],
    keys: Iterable[str | os.PathLike[str]] = (),
    public: Iterable[str | os.PathLike[str]] = (),
    store: str | None = None,
    interval: float = 1.0,
    silence: float | None = None,
    rescan: float = 86400.0,
) -> Service:
    """Watch a log: verify it whenever something moves, and report each change of its state once.

    The service runs in a thread of its own within a `with` block, or in the calling one by its method `run`.

    Args:
        paths: What holds the log, as `verify` takes it; nothing need be there yet.
        state: Directory in which it is remembered what was verified and reported; it is made if it is not there.
        on_event: Called with each event, from the service's thread. An event for which it raises an exception is
            given to it again, after a second and by the next process: its id is the same then.
        keys: Files with verification keys.
        public: Public files.
        store: URL of the key store that has the heads, as `verify` takes it.
        interval: Seconds between two looks while something moves.
        silence: Seconds without anything new after which the log is silent; None if it may be.
        rescan: Seconds within which each remembered byte is read again.

    Returns:
        The service.

    Raises:
        FormatError: A key is invalid.
        ReportError: No key was given, or another service has the directory, or other users have a right to it.
    """
    request = Request(paths=tuple(paths), keys=tuple(keys), public=tuple(public), store=store)
    logs, _ = read_keys(request.keys, request.public)
    if not request.paths:
        raise ReportError("there is nothing to watch", hint="give paths")
    entry = Entry("+".join(labels(logs))[:100], request, silence, rescan)
    config = Config((entry,), Path(state), interval)
    return Service(config, outlets=_Called(config, on_event))


class _Called(Outlets):
    """Hands events to a function."""

    def __init__(self, config: Config, call: Callable[[Event], None]) -> None:
        super().__init__(config, lambda _: None)
        self._call = call

    def send(self, event: Event) -> bool:
        """Hand an event on; is that done?"""
        try:
            self._call(event)
        except Exception:
            _log.exception("an event was not taken; it is handed on again")
            return False
        return True

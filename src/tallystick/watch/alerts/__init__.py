"""Alerts: events are put into a queue on the disk and delivered to each receiver until it has taken them.

Each receiver has a queue and a thread of its own, so that one that is dead holds up no other. An event is delivered at
least once, and each time with the same id. `send` returns once it is stored; a crash after that loses nothing.

>>> import tempfile
>>> from tallystick.watch import config
>>> from tallystick.watch.events import Event, Reason
>>> from tallystick.watch.standing import State
>>> with tempfile.TemporaryDirectory() as d:
...     alerts = Alerts(config.Alerts((config.AlertCommand(("cat",)),)), f"{d}/state")
...     alerts.start()
...     stored = alerts.send(Event("1", 0, "app", Reason.CHANGE, State.OK, State.SILENT, 0))
...     while alerts.queued():
...         time.sleep(0.01)
...     alerts.stop(5)
...     stored, [each.delivered for each in alerts.deliveries()]
(True, [1])
"""

import hashlib
import os
import re
import sys
import time
from collections.abc import Callable, Sequence

from tallystick import securefile
from tallystick.errors import TallystickError
from tallystick.watch import config
from tallystick.watch.alerts.command import Command
from tallystick.watch.alerts.form import plain_event, schema
from tallystick.watch.alerts.outbox import Bounds, Outbox
from tallystick.watch.alerts.receiver import Receiver
from tallystick.watch.alerts.sending import Delivery, Pace, Sending
from tallystick.watch.alerts.syslog import SyslogDaemon
from tallystick.watch.alerts.webhook import WebhookUrl
from tallystick.watch.events import Event

__all__ = ["Alerts", "Bounds", "Delivery", "Pace", "schema"]

_QUEUE = re.compile("[0-9a-f]{32}")


def _print(text: str) -> None:
    print(f"tallystick: {text}", file=sys.stderr, flush=True)


class Alerts:
    """The alerts of the service. One process at a time uses a directory.

    Args:
        given: Who is alerted.
        directory: Directory of the service's state, ours alone (mode 0700); the queues are in `alerts` in it.
        pace: How long to rest after failures.
        bounds: How much each queue takes.
        say: Is given trouble with delivery and its end, in words; by default they go to standard error.

    Raises:
        TallystickError: A receiver is invalid, or the directory cannot be used.
    """

    def __init__(
        self,
        given: config.Alerts,
        directory: str | os.PathLike[str],
        *,
        pace: Pace | None = None,
        bounds: Bounds | None = None,
        say: Callable[[str], None] = _print,
    ) -> None:
        receivers = [_receiver(one) for one in given.to]
        # A queue is known by a digest: what a receiver is called may be secret, and too long for a name.
        keys = [hashlib.sha256(one.key.encode("utf-8", "surrogateescape")).hexdigest()[:32] for one in receivers]
        if len(set(keys)) < len(keys):
            raise TallystickError("a receiver of alerts is given twice", hint="give it once")
        place = os.path.abspath(os.path.join(directory, "alerts"))
        with securefile.reporting(TallystickError, place):
            securefile.make_directories(place)
            _hand_over(place, set(keys), say)
        self._sendings = [
            Sending(one, Outbox(os.path.join(place, key), bounds, say), pace or Pace(), say)
            for one, key in zip(receivers, keys, strict=True)
        ]

    def send(self, event: Event) -> bool:
        """Put an event into the queue of each receiver; one whose id is known already is not put there twice.

        Returns:
            Whether it is stored. If not, the disk is full: it is delivered from memory, and a crash loses it unless it
            is sent again.
        """
        plain = plain_event(event)
        stored = [each.put(plain) for each in self._sendings]  # each, whatever becomes of another
        return all(stored)

    def queued(self) -> int:
        """Return how many deliveries wait: of each event one for each receiver that has not taken it."""
        return sum(each.queued for each in self.deliveries())

    def deliveries(self) -> Sequence[Delivery]:
        """Return how each receiver does."""
        return [each.state() for each in self._sendings]

    def start(self) -> None:
        """Begin to deliver; what waited in the queues goes first."""
        for each in self._sendings:
            each.start()

    def stop(self, seconds: float) -> None:
        """Deliver nothing more; what is on its way has so many seconds. The rest waits for the next start."""
        until = time.monotonic() + seconds
        for each in self._sendings:
            each.end()
        for each in self._sendings:
            each.join(until)


def _hand_over(place: str, keys: set[str], say: Callable[[str], None]) -> None:
    """See to the queue of a receiver that is not configured any more, such as one whose URL was corrected.

    Where one receiver took the place of another, it gets what waits there.
    """
    fd = securefile.open_directory(place)
    try:
        there = {name for name in securefile.names(fd) if _QUEUE.fullmatch(name)}
        left, new = sorted(there - keys), sorted(keys - there)
        if len(left) == len(new) == 1:
            os.rename(left.pop(), new[0], src_dir_fd=fd, dst_dir_fd=fd)
        for name in left:
            inner = securefile.open_directory(name, fd)
            try:
                waiting = sum(each.endswith(".json") for each in securefile.names(inner))
            finally:
                os.close(inner)
            if waiting:
                say(f"{waiting} alerts wait for a receiver that is not configured any more: {place}/{name}")
    finally:
        os.close(fd)


def _receiver(one: config.AlertCommand | config.Webhook | config.Syslog) -> Receiver:
    if isinstance(one, config.AlertCommand):
        return Command(one)
    return WebhookUrl(one) if isinstance(one, config.Webhook) else SyslogDaemon(one)

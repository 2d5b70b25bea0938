"""Publishes the tree of a witness at intervals, and gets time-stamps for it, in a thread of its own."""

import threading
import time
from collections.abc import Callable

from tallystick.errors import TallystickError, explain
from tallystick.witness.desk import Desk
from tallystick.witness.errors import StoppedError
from tallystick.witness.showing import Showing
from tallystick.witness.store import Store
from tallystick.witness.tiles import Tiles
from tallystick.witness.timestamp import Authority

__all__ = ["Publisher"]


class Publisher:
    """The thread.

    Args:
        desk: Where the store is written.
        tiles: What is published.
        showing: Knows whether anything may be signed.
        interval: Seconds between two checkpoints.
        say: Takes a line about what went wrong, for people.
        authority: The time-stamp authority; None for none.
        pace: Seconds between two tokens.
    """

    def __init__(
        self,
        desk: Desk,
        tiles: Tiles,
        showing: Showing,
        interval: float,
        say: Callable[[str], None],
        authority: Authority | None = None,
        pace: float = 3600.0,
    ) -> None:
        self._authority, self._pace, self._stamped = authority, pace, -pace
        self._desk, self._tiles, self._showing, self._interval, self._say = desk, tiles, showing, interval, say
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tallystick witness publisher")

    def start(self) -> None:
        """Start."""
        self._thread.start()

    def stop(self) -> None:
        """End, and wait until that is so."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._interval):
            try:
                self._desk.submit(self._publish).result()
                self._stamp()
            except StoppedError:
                pass  # it was reported when it stopped
            except TallystickError as error:
                self._say(f"the tree, or its time-stamp, is late: {explain(error)}")

    def _stamp(self) -> None:
        """Get a token over the checkpoint, if it is time."""
        if self._authority is None or time.monotonic() - self._stamped < self._pace:
            return
        found = self._desk.submit(self._tiles.unstamped).result()
        if found is not None:
            size, root, text = found
            self._desk.submit(self._tiles.keep_token(size, root, self._authority.stamp(text))).result()
            self._stamped = time.monotonic()

    def _publish(self, store: Store, now: int) -> Callable[[], int]:
        self._showing.check(store)
        return self._tiles.publish(store, now)

"""Publishes the tree of a witness at intervals, gets cosignatures and time-stamps for it, in a thread of its own."""

import threading
import time
from collections.abc import Callable, Sequence

from tallystick.errors import TallystickError, explain
from tallystick.witness.completing import Completing, Signing
from tallystick.witness.cosigning import Cosigning
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
        completing: What completes receipts.
        showing: Knows whether anything may be signed.
        interval: Seconds between two checkpoints.
        say: Takes a line about what went wrong, for people.
        cosigning: Who is asked to cosign; None for nobody.
        authority: The time-stamp authority; None for none. It stamps trees that enough cosigners signed.
        pace: Seconds between two tokens.
    """

    def __init__(
        self,
        desk: Desk,
        tiles: Tiles,
        completing: Completing,
        showing: Showing,
        interval: float,
        say: Callable[[str], None],
        cosigning: Cosigning | None = None,
        authority: Authority | None = None,
        pace: float = 3600.0,
    ) -> None:
        self._authority, self._pace, self._stamped = authority, pace, -pace
        self._cosigning, self._completing = cosigning, completing
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
                signing = self._desk.submit(self._completing.signing).result()
                if signing is not None and self._cosigned(signing):
                    self._stamp(signing)
            except StoppedError:
                pass  # it was reported when it stopped
            except Exception as error:  # also a mistake of ours: the next round must come
                why = explain(error) if isinstance(error, TallystickError) else f"{type(error).__name__}: {error}"
                self._say(f"the tree, or its time-stamp, is late: {why}")

    def _cosigned(self, signing: Signing) -> bool:
        """Get the cosignatures that are lacking; return whether there are enough."""
        if self._cosigning is None:
            return True
        lines = self._cosigning.ask(signing, self._consistency)
        is_met = self._cosigning.is_met(signing, lines)
        if lines:
            self._desk.submit(self._completing.keep_cosignatures(signing, lines, is_met)).result()
        return is_met

    def _consistency(self, size: int, end: int) -> Sequence[bytes]:
        return self._desk.submit(self._completing.consistency(size, end)).result()

    def _stamp(self, signing: Signing) -> None:
        """Get a token over the checkpoint, if it is time."""
        if self._authority is None or time.monotonic() - self._stamped < self._pace:
            return
        if not self._desk.submit(self._completing.is_stamped(signing.size)).result():
            token = self._authority.stamp(signing.text.encode())
            self._desk.submit(self._completing.keep_token(signing, token)).result()
            self._stamped = time.monotonic()

    def _publish(self, store: Store, now: int) -> Callable[[], int]:
        self._showing.check(store)
        return self._tiles.publish(store, now)

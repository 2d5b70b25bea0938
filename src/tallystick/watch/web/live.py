"""Changes as server-sent events: one thread waits for them, and all listeners hear of them.

A listener hears that something changed, not what: it asks again for what it shows. So an event is a few bytes,
however many logs there are, and there is one at most in two seconds.
"""

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress

from tallystick.watch.standing import Standings

__all__ = ["LISTENERS", "SHARE", "Live"]

LISTENERS = 32
"""Listeners at the same time."""

SHARE = 16
"""Those of one address."""

PACE = 2.0  # seconds between two events
_BEAT = 15.0  # seconds after which a listener hears that nothing changed
_LOOK = 0.25  # seconds that the thread waits at a time

_log = logging.getLogger("tallystick.watch.web")


class Live:
    """What listeners hear. All but `stop` belongs to the event loop's thread.

    Args:
        standings: What changes.
    """

    def __init__(self, standings: Standings) -> None:
        self._standings = standings
        self._version = standings.version()
        self._changed = asyncio.Event()
        self._over = asyncio.Event()
        self._stopping = threading.Event()
        self._listeners: Counter[str] = Counter()  # of each address

    @property
    def is_full(self) -> bool:
        """Are there as many listeners as there may be?"""
        return self._listeners.total() >= LISTENERS

    def is_served(self, owner: str) -> bool:
        """Has an address as many listeners as it may have?"""
        return self._listeners[owner] >= SHARE

    def start(self, loop: asyncio.AbstractEventLoop) -> threading.Thread:
        """Start the thread that waits for changes."""
        thread = threading.Thread(target=self._wait, args=(loop,), name="tallystick web changes", daemon=True)
        thread.start()
        return thread

    def stop(self) -> None:
        """Let the thread end; from any thread. It does so at once, and its listeners hear no more."""
        self._stopping.set()

    async def events(self, owner: str) -> AsyncIterator[bytes]:
        """Give a listener its events, until all is over.

        Args:
            owner: Its address.
        """
        self._listeners[owner] += 1
        try:
            yield b"retry: 3000\n\n"
            heard: int | None = None
            while not self._over.is_set():
                changed, version = self._changed, self._version
                if version != heard:
                    heard = version
                    yield b"event: change\ndata: %d\n\n" % version
                    await _waited(self._over, PACE)
                elif not await _waited(changed, _BEAT):
                    yield b"event: beat\ndata: %d\n\n" % version
        finally:
            self._listeners[owner] -= 1
            self._listeners += Counter()  # drops those of which none is left

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        version = self._version
        try:
            while not self._stopping.is_set():
                now = self._standings.wait(version, _LOOK)
                if now != version:
                    version = now
                    loop.call_soon_threadsafe(self._turn, version)
        except Exception:
            _log.exception("changes are no longer followed; the page asks by itself")
        finally:
            with suppress(RuntimeError):  # the loop has ended before
                loop.call_soon_threadsafe(self._end)

    def _turn(self, version: int) -> None:
        self._version = version
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _end(self) -> None:
        self._over.set()
        self._changed.set()


async def _waited(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event, at most so long; return whether it came."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True

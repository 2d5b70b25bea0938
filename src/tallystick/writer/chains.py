"""Where the sealer of the next chain comes from, fetched early where that is possible (spec sections 3 and 6)."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tallystick import _core
from tallystick.courier import Courier, Next
from tallystick.errors import CustodyError, KeyStoreError, LeaseLostError, explain
from tallystick.keystore import Lease
from tallystick.writer import lifecycle
from tallystick.writer.opening import EarlyChain, fetch_early, open_chain

__all__ = ["ChainSource", "Opening"]

_HALF = 128  # epochs of a chain
AGAIN = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class Opening:
    """How chains are opened; for tests without a key store.

    Args:
        open: As `tallystick.writer.opening.open_chain`.
        fetch: As `tallystick.writer.opening.fetch_early`.
    """

    open: Callable[..., _core.Sealer] = open_chain
    fetch: Callable[..., EarlyChain | None] = fetch_early


class ChainSource:
    """Gives the sealer of each next chain.

    State: what was fetched early and for which chain, when to try again, the courier under way.
    Invariant: the state of chain n + 1 is durable before the sealer of chain n exists; what is fetched early is
    ciphertext, under a key that only locked memory holds.
    """

    def __init__(
        self,
        lease: Lease,
        custody: str | None,
        lock: Any,
        report: Callable[[str], None],
        opening: Opening | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin.

        Args:
            lease: The lease of the log.
            custody: URL of the custody, if it is not the one noted in the sealing state.
            lock: That of the lease.
            report: Called when the next chain cannot be fetched early.
            opening: How chains are opened.
            clock: The monotonic clock, in seconds.
        """
        self._lease, self._custody, self._lock, self._report = lease, custody, lock, report
        self._opening, self._clock = opening or Opening(), clock
        self._early: EarlyChain | None = None
        self._done_for, self._again = 0, 0.0
        self._courier: Courier | None = None
        self._until = math.inf
        self.trouble: str | None = None
        """Why the next chain cannot be fetched yet."""

    def open(self, control: str, epoch_lines: int, check: Callable[[Next], None] | None = None) -> _core.Sealer:
        """Open the next chain; called under the turn, or before there is one.

        Args:
            control: Form of control lines.
            epoch_lines: Lines after which an epoch ends.
            check: Raises KeyStoreError where a state must not be used.

        Raises:
            KeyStoreError: State or head is gone, damaged, or older than the log.
            CustodyError: The sealing state cannot be opened, or older ones could still be.
            SealError: The log has ended.
        """
        with self._lock, self._carrying() as courier:
            sealer = self._opening.open(self._lease, courier, control, epoch_lines, early=self._early, check=check)
            self._early = None  # where that failed, nothing was sealed with it
        self.trouble = None
        return sealer

    def fetch_early(self, epoch: tuple[int, int]) -> bool:
        """Fetch the next chain when half of this one is used: time enough to correct what is in the way.

        Args:
            epoch: The chain that is written, and its epoch.

        Returns:
            Whether that was tried.

        Raises:
            LeaseLostError: The lease is lost.
            SealError: The log has ended.
        """
        chain, number = epoch
        if number < _HALF or self._done_for == chain or self._clock() < self._again or self._until < math.inf:
            return False
        trouble = None
        try:
            with lifecycle.KEY_SETUP, self._lock, self._carrying() as courier:
                if self._early is None:
                    self._early = self._opening.fetch(self._lease, courier)
            self._done_for = chain
        except LeaseLostError:
            raise
        except (KeyStoreError, CustodyError) as error:
            self._again = self._clock() + AGAIN
            trouble = f"the next chain of log {self._lease.name} cannot be fetched yet: {explain(error)}"
        if trouble not in (None, self.trouble) and self._until == math.inf:
            self._report(str(trouble))
        self.trouble = trouble
        return True

    def hurry(self, until: float) -> None:
        """Fetch nothing early any more, and wait for no answer beyond a moment of the clock."""
        self._until = min(self._until, until)

    @property
    def is_ahead(self) -> bool:
        """Is the next chain here already?"""
        return self._early is not None

    @property
    def is_carrying(self) -> bool:
        """Is a courier under way?"""
        return self._courier is not None

    def abandon(self) -> None:
        """Have a courier that is under way fail now; another thread or a signal handler may call this."""
        if (courier := self._courier) is not None:
            courier.abandon()

    @contextmanager
    def _carrying(self) -> Iterator[Courier]:
        courier = Courier(self._lease, self._custody, self._until)
        self._courier = courier
        lifecycle.UNDER_WAY.add(courier)
        try:
            yield courier
        finally:
            lifecycle.UNDER_WAY.discard(courier)
            self._courier = None

"""Critical lines: who writes one goes on only when it is on the disk and enough witnesses have it (spec section 11)."""

from collections.abc import Callable

from tallystick.courier.state import public_state
from tallystick.errors import SealError
from tallystick.keystore import Lease
from tallystick.sinks import Sink
from tallystick.sinks.base import Followed
from tallystick.writer.parts import Parts, Settings
from tallystick.writer.steps import Steps
from tallystick.writer.turn import Step
from tallystick.writer.witnesses.part import Witnesses
from tallystick.writer.witnesses.policy import Policy

__all__ = ["PATIENCE", "Critical", "witnesses_of"]

PATIENCE = 10.0
"""Seconds for which a critical line waits for witnesses, unless the caller says otherwise."""


def witnesses_of(policy: Policy, lease: Lease, sink: Sink, changed: Callable[[], None]) -> Witnesses:
    """Return the witnesses of a log; `changed` is called whenever one of them has answered.

    Raises:
        SealError: Each line is to be critical, and the sink cannot have it on the disk.
        KeyStoreError: The public key of the log cannot be read.
    """
    if policy.each:
        _check_synced(sink)
    root = public_state(lease.name, lease.load().state).root if policy.addresses else b""
    return Witnesses(policy, root, changed)


def _check_synced(sink: Sink) -> None:
    # After a power loss witnesses would be ahead of what is there.
    if not isinstance(sink, Followed):
        raise SealError(f"{sink.name} cannot be synced, so no line in it is critical", hint="write to a file")


class Critical:
    """Waits until lines are witnessed.

    Invariant: it waits without the turn, and for nothing but what the background thread and the messengers do.
    """

    def __init__(self, parts: Parts, steps: Steps, settings: Settings, hurry: Step) -> None:
        """Begin; `hurry` has a head stored for the lines that are there now."""
        self._parts, self._steps, self._settings, self._hurry = parts, steps, settings, hurry

    def check(self) -> None:
        """Raise SealError if no line can be critical here."""
        self._settings.witnesses.check_critical()
        _check_synced(self._parts.outlet.sink)

    def write(self, m: bytes, take: Callable[[Step], None], seconds: float) -> None:
        """Seal an entry, and return when it is witnessed.

        Args:
            m: The entry.
            take: Takes a step.
            seconds: How long to wait for witnesses.

        Raises:
            SealError: It was not sealed; or this is a signal handler that cannot wait.
            UnknownError: It is sealed, and nobody knows whether enough witnesses have it.
        """
        if self._parts.turn.is_ours:
            raise SealError(
                "a signal handler cannot write a critical line in the middle of another one",
                hint="write it without critical=True, or let the program's own thread do it",
            )
        sealed: list[tuple[int, int, int]] = []

        def seal() -> None:
            before = self._steps.sealer.chain, self._steps.last_entry
            self._steps.seal(m)
            at = self._steps.last_entry
            if at is not None and (self._steps.sealer.chain, at) != before:
                sealed.append((at[0], at[1], at[2] + 1))

        take(seal)
        if not sealed:
            raise SealError("the line was dropped, since the log takes none now", hint=self._parts.outlet.trouble)
        self._wait(sealed[0], seconds)

    def wait(self) -> None:
        """Return when every line of this thread is witnessed: as long as it takes where lines wait for room, too.

        Raises:
            UnknownError: Nobody knows whether enough witnesses have them.
        """
        with self._parts.turn.lock:
            at = self._steps.sealer.position
        self._wait(at, None if self._settings.on_full == "block" else PATIENCE)

    def _wait(self, at: tuple[int, int, int], seconds: float | None) -> None:
        self._hurry()
        self._parts.witnesses.wait(at, seconds, lambda: self._parts.phase.reason)

"""How far the life of a writer has gone.

>>> phase = Phase("payments")
>>> phase.check()
>>> phase.stop("the disk failed")
True
>>> phase.begin_closing(), phase.stop("late"), phase.reason
(True, False, 'the disk failed')
"""

from tallystick.errors import SealError

__all__ = ["Phase"]


class Phase:
    """OPEN, STOPPED for a reason, CLOSING, CLOSED; or FORKED, in a child.

    State: the phase, and why no line is sealed any more.
    Invariant: it only goes on, never back; a reason once given stays. Changed under the turn only, but for a fork.
    """

    def __init__(self, name: str) -> None:
        """Begin; `name` is that of the log."""
        self._name = name
        self.is_open = True
        self.is_closing = self.is_closed = False
        self.reason: str | None = None

    def check(self) -> None:
        """Raise SealError unless lines can be sealed."""
        if self.is_open:
            return
        if self.reason is not None:
            raise SealError(self.reason)
        raise SealError(f"log {self._name} is closed", hint="open it again")

    def stop(self, why: str) -> bool:
        """Seal nothing more, for this reason; return whether that is news."""
        if self.reason is not None or self.is_closing:
            return False
        self.is_open, self.reason = False, why
        return True

    def begin_closing(self) -> bool:
        """Seal nothing more but the last lines; return False if somebody else closes the log, or did."""
        if self.is_closing:
            return False
        self.is_open, self.is_closing = False, True
        return True

    def closed(self) -> None:
        """Note that the chain is closed, or that closing it has failed: in both cases nothing follows."""
        self.is_closed = True

    def fork(self, why: str) -> None:
        """Be dead from now on: this is the copy of a forked child."""
        self.reason = why
        self.is_open, self.is_closing, self.is_closed = False, True, True

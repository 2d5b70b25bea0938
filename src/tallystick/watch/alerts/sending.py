"""The delivery of events to one receiver, in a thread of its own: what is next, and how long to rest.

Events of an entry come in their order, and the next one waits until the one before it was taken. Entries do not wait
for each other: the next to be sent is the oldest of those that failed the fewest times. Where the receiver is away, all
rest; an event that has not been tried yet may try once. Rests grow up to five minutes, with chance in them, so that
many services do not come back all at once. No event is given up.

>>> pace = Pace()
>>> 0.5 <= pace.rest(1) <= 1, 150 <= pace.rest(99) <= 300
(True, True)
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tallystick.watch.alerts.form import reduced
from tallystick.watch.alerts.outbox import Outbox, Waiting
from tallystick.watch.alerts.receiver import AwayError, DeliveryError, Receiver, RefusedError

__all__ = ["Delivery", "Pace", "Sending"]

_BLAMED = 3  # failures that may be about the event, after which its texts are left out


_QUIET = 60.0  # seconds in which trouble with one receiver is said once


@dataclass(frozen=True, slots=True)
class Pace:
    """How long to rest after a failure.

    Args:
        first: Seconds after the first, at most.
        longest: Seconds after any, at most.
    """

    first: float = 1.0
    longest: float = 300.0

    def rest(self, failures: int) -> float:
        """Return how many seconds to rest after so many failures."""
        most = min(self.longest, self.first * 2.0 ** min(failures - 1, 32))
        return random.uniform(most / 2, most)


@dataclass(frozen=True, slots=True)
class Delivery:
    """How one receiver does, for metrics.

    Args:
        receiver: What it is called, without any secret.
        queued: Events that wait.
        oldest: When the event came that waits the longest, seconds since 1970; None if there is none.
        delivered: Events delivered by this process.
        failed: Attempts of this process that failed.
        dropped: Events that this process dropped without delivery.
    """

    receiver: str
    queued: int
    oldest: float | None
    delivered: int
    failed: int
    dropped: int


@dataclass(slots=True)
class _Trouble:
    """What happened to the event of an entry that is next.

    Args:
        delivered: Events that the receiver had taken when the trouble began.
        failures: Attempts that failed.
        blamed: Of these, attempts whose failure may be about the event.
        refused: Did the receiver say that it does not take this one?
        until: Time of the monotonic clock before which it is not tried again.
    """

    delivered: int = 0
    failures: int = 0
    blamed: int = 0
    refused: bool = False
    until: float = 0.0


class Sending:
    """The delivery to one receiver.

    Args:
        receiver: The receiver.
        outbox: What waits for it.
        pace: How long to rest.
        say: Is given trouble and its end, in words.
    """

    def __init__(self, receiver: Receiver, outbox: Outbox, pace: Pace, say: Callable[[str], None]) -> None:
        self._receiver, self._outbox, self._pace, self._say = receiver, outbox, pace, say
        self._changed = threading.Condition()  # guards all that follows, and the outbox
        self._busy: Waiting | None = None
        self._troubles: dict[str, _Trouble] = {}  # of entries
        self._failures = self._delivered = self._failed = 0
        self._rest_until = self._first_after = self._asked_until = self._quiet_until = 0.0
        self._is_away = self._ends = False
        self._cut = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"alerts to {receiver.name}", daemon=True)

    def put(self, plain: dict[str, Any]) -> bool:
        """Take an event; return whether it is stored."""
        with self._changed:
            stored = self._outbox.put(plain, self._busy)
            self._changed.notify_all()
            return stored

    def state(self) -> Delivery:
        """Return how the receiver does."""
        with self._changed:
            box = self._outbox
            return Delivery(
                self._receiver.name, len(box), box.oldest, self._delivered, self._failed, box.dropped_in_all
            )

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def end(self) -> None:
        """Begin no further delivery."""
        with self._changed:
            self._ends = True
            self._changed.notify_all()

    def join(self, until: float) -> None:
        """Wait for the one that is on its way; it is cut off at a time of the monotonic clock."""
        if self._thread.ident is not None:
            self._thread.join(max(0.0, until - time.monotonic()))
            self._cut.set()
            self._thread.join(1)
        if not self._thread.is_alive():
            with self._changed:
                self._outbox.close()

    def _run(self) -> None:
        while not self._ends:
            try:
                found = self._wait()
                if found is not None:
                    self._deliver(*found)
            except Exception as problem:  # a fault of ours must not end all alerts
                self._say(f"{self._receiver.name}: {type(problem).__name__} in the delivery of alerts; it goes on")
                self._cut.wait(self._pace.first)

    def _deliver(self, one: Waiting, plain: dict[str, Any]) -> None:
        error: DeliveryError | None = None
        try:
            self._receiver.deliver(plain, self._cut)
        except DeliveryError as problem:
            error = problem
        except Exception as problem:
            error = AwayError(type(problem).__name__, is_about_event=True)
        with self._changed:
            self._busy = None
            if error is None:
                self._note_delivery(one, plain["dropped"])
            else:
                self._note_failure(one, error)

    def _wait(self) -> tuple[Waiting, dict[str, Any]] | None:
        """Wait for an event that may be sent now, and return it; None once there are to be no more."""
        with self._changed:
            while not self._ends:
                now = time.monotonic()
                heads = [(self._ready(one), one) for one in self._outbox.heads()]
                ready = [one for at, one in heads if at <= now]
                if not ready:
                    self._changed.wait(min((at for at, _ in heads), default=now + 3600) - now)
                    continue
                one = min(ready, key=lambda one: (self._trouble(one).failures, one.stem))
                plain = self._outbox.read(one)
                if plain is None:
                    self._troubles.pop(one.entry, None)
                    continue
                self._busy = one
                sent = reduced(plain) if self._is_blamed(self._trouble(one)) else plain
                return one, sent | {"dropped": self._outbox.dropped}
            return None

    def _is_blamed(self, trouble: _Trouble) -> bool:
        """Return whether the content of an event may be why the receiver does not take it.

        It is if the receiver says so or takes others. If nobody knows, each fourth attempt tries it.
        """
        if trouble.blamed < _BLAMED:
            return False
        return trouble.refused or self._delivered > trouble.delivered or trouble.failures % 4 == 0

    def _trouble(self, one: Waiting) -> _Trouble:
        return self._troubles.get(one.entry) or _Trouble()

    def _ready(self, one: Waiting) -> float:
        """Return the time from which an event may be sent."""
        trouble = self._trouble(one)
        rest = self._rest_until if trouble.failures else self._first_after
        return max(trouble.until, rest, self._asked_until)

    def _note_failure(self, one: Waiting, error: DeliveryError) -> None:
        now, trouble = time.monotonic(), self._troubles.setdefault(one.entry, _Trouble(self._delivered))
        self._failed += 1
        trouble.failures += 1
        trouble.blamed += error.is_about_event
        trouble.refused |= isinstance(error, RefusedError)
        if isinstance(error, AwayError):
            self._failures += 1
            self._rest_until = now + self._pace.rest(self._failures)
            self._first_after = now + self._pace.first
            self._asked_until = now + (error.after or 0.0)
        else:
            trouble.until = now + self._pace.rest(trouble.failures)
            self._first_after = self._rest_until = now + self._pace.first / 5
        if not self._is_away and not self._ends and now >= self._quiet_until:
            self._is_away, self._quiet_until = True, now + _QUIET
            self._say(f"{self._receiver.name} does not take an alert: {error}; it is tried until it is taken")

    def _note_delivery(self, one: Waiting, dropped: int) -> None:
        self._outbox.done(one, dropped)
        self._troubles.pop(one.entry, None)
        self._delivered += 1
        self._failures = 0
        self._rest_until = self._first_after = self._asked_until = 0.0
        if self._is_away and not self._troubles:
            self._is_away = False
            self._say(f"{self._receiver.name} takes alerts again")

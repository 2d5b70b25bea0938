"""One thread for each witness: it shows texts as they come, and again after an outage.

>>> print(_words(404))
it does not know this log
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from tallystick import _core
from tallystick.errors import explain
from tallystick.writer.witnesses.backlog import At, Backlog, Text
from tallystick.writer.witnesses.wire import Address, Answer, Item, UnreachableError

__all__ = ["Messenger", "Way"]

_SHORTEST, _LONGEST = 0.1, 10.0  # seconds between two tries to reach a witness
_LONG = 60.0  # seconds at most for which a witness that is busy, or that says fork, is left alone

_WORDS = {
    400: "it calls what it was shown malformed",
    403: "it finds that a text does not hold: does it have the newest public file of this log?",
    404: "it does not know this log",
    409: "it asks for a proof that this writer does not have",
    413: "it finds a text too long",
    422: "FORK: it has a text that contradicts this log; does somebody else write it, or was its key store restored?",
    429: "it is asked too much",
    503: "it cannot store anything now, or has stopped",
}
_FOREIGN = "it has a text of this chain that this writer did not make; see that nobody else writes this log"


class Way(Protocol):
    """A way to a witness."""

    def show(self, items: Sequence[Item]) -> Answer:
        """Show some texts; raises UnreachableError."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...

    def forget(self) -> None:
        """In a forked child: let go of its copy."""
        ...


class Messenger:
    """Shows one witness the texts of one log.

    State: the backlog, since when its oldest text waits, what is wrong.
    Invariant: no writer waits for this thread but one that asked to; `reached` only grows, and counts what the witness
    has signed for, where its key is known.
    """

    def __init__(
        self, address: Address, log: bytes, way: Way, progress: threading.Condition, changed: Callable[[], None]
    ) -> None:
        """Make it; the thread starts with the first text.

        Args:
            address: Where the witness is.
            log: P of the log.
            way: The way to it.
            progress: Guards what others see of this, and is notified of each change.
            changed: Called without it when the witness has answered, or has not.
        """
        self.address = address
        self._log, self._way, self._progress, self._changed = log, way, progress, changed
        self._backlog = Backlog()
        self._wait, self._not_before, self._is_over = 0.0, 0.0, False
        self._thread: threading.Thread | None = None
        self.trouble: str | None = None
        """What is wrong."""
        self.since: float | None = None
        """Since when the oldest text waits, by the monotonic clock in seconds; None where none does."""
        self.reached: At = (0, 0, 0)
        """Up to where the witness has the log of this writer."""

    def add(self, texts: Sequence[Text]) -> None:
        """Have further texts shown, in their order."""
        with self._progress:
            self._backlog.add(texts)
            if self.since is None:
                self.since = time.monotonic()
            self._progress.notify_all()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"tallystick to {self.address.url}", daemon=True)
            self._thread.start()

    def take_lost(self) -> int:
        """Return how many texts were given up since the last call."""
        with self._progress:
            lost, self._backlog.lost = self._backlog.lost, 0
        return lost

    def end(self) -> None:
        """Show nothing more, once the request under way is over."""
        with self._progress:
            self._is_over = True
            self._progress.notify_all()

    def die_in_child(self) -> None:
        """In a forked child: there is no such thread."""
        self._is_over = True
        self._way.forget()

    def _run(self) -> None:
        while (items := self._next()) is not None:
            try:
                answer = self._way.show(items)
            except UnreachableError as error:
                self._take(None, explain(error))
            else:
                self._take(answer, self._checked(answer))
        self._way.close()

    def _next(self) -> list[Item] | None:
        """Wait for what is to be shown next; None if that is nothing any more."""
        with self._progress:
            while not self._is_over:
                left = self._not_before - time.monotonic()
                if left <= 0 and not self._backlog.is_empty:
                    return self._backlog.take()
                self._progress.wait(left if left > 0 else None)
        return None

    def _checked(self, answer: Answer) -> str | None:
        """Return what is wrong with an answer; nothing counts that the witness has not signed, if its key is known."""
        if answer.status not in (200, 409):
            return _words(answer.status)
        if answer.text is None:
            return "it answers without a text" if answer.status == 200 else None
        key = self.address.key
        if key is None or _core.check_receipt(answer.receipt, key, self._log, answer.text) is not None:
            return None
        return f"its receipt is not signed with the key of {key.name}"

    def _take(self, answer: Answer | None, trouble: str | None) -> None:
        """Note what came of a request."""
        with self._progress:
            before, backlog = self.trouble, self._backlog
            wait = self._wait = min(_LONGEST, max(_SHORTEST, 2 * self._wait))
            if answer is not None and trouble is None:
                take = backlog.accepted if answer.status == 200 else backlog.refused
                trouble = None if take(answer.text, answer.receipt) else _FOREIGN
                # What it asks for is shown at once; if nothing comes of that, it gives way as others do.
                wait = 0.0
                if answer.status == 200 and trouble is None:
                    self._wait, self.reached = 0.0, max(self.reached, backlog.reached)
            elif answer is not None and answer.status == 422:
                backlog.contradicted()
                wait = _LONG
            else:
                backlog.unanswered()
                wait = wait if answer is None or answer.after is None else min(_LONG, answer.after)
            self._not_before = time.monotonic() + wait
            self.trouble = trouble if trouble is not None or answer is None or answer.status == 200 else before
            if backlog.is_empty and self.trouble is None:
                self.since = None
            elif trouble is None and answer is not None and answer.status == 200:
                self.since = time.monotonic()
            self._progress.notify_all()
        self._changed()


def _words(status: int) -> str:
    return _WORDS.get(status, f"it answers {status}")

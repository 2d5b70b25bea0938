"""The part of a writer that shows its log to witnesses (spec section 11).

Texts are gathered with each head of the key store, under the turn, and shown once that head is stored: so a witness is
never ahead of it, and an honest power loss never looks like a log that was cut.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from tallystick import _core
from tallystick.errors import UnknownError
from tallystick.writer.status import when
from tallystick.writer.witnesses.backlog import At, Text
from tallystick.writer.witnesses.messenger import Messenger
from tallystick.writer.witnesses.policy import Policy
from tallystick.writer.witnesses.wire import Wire

__all__ = ["Witnesses"]

_SILENT = 60.0  # seconds without a line after which there is a sign of life
_OUT = 5.0  # seconds for which a text may wait before that is called an outage
_AGAIN = 60.0  # seconds after which the log says so again
_LOOK = 0.25  # seconds after which a thread that waits looks whether it still should
_LONGEST = 200  # characters of what is wrong, in notes


class _Outage:
    """What was said of one witness: since when it receives nothing, if the log has said so."""

    def __init__(self, messenger: Messenger) -> None:
        self.messenger = messenger
        self.began: float | None = None
        self.not_before = 0.0


class Witnesses:
    """Gathers what witnesses are shown, hands it to a thread for each, and waits where a line must be witnessed.

    State: texts that no stored head counts yet, a messenger for each witness, the outages that the log has reported.
    Invariant: no text leaves before a head that counts it is stored; nobody waits here while holding the turn.
    """

    def __init__(
        self, policy: Policy, log: bytes, changed: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin.

        Args:
            policy: The witnesses.
            log: P of the log, 32 bytes.
            changed: Called by threads of ours when a witness has more, or something is wrong.
            clock: The monotonic clock, in seconds.
        """
        self.policy, self._clock = policy, clock
        self._progress = threading.Condition()
        self._messengers = [
            Messenger(each, log, Wire(each, log), self._progress, lambda: self._tell_all()) for each in policy.addresses
        ]
        self._outages = [_Outage(each) for each in self._messengers]
        self._changed = [changed]
        self._made: deque[tuple[int, list[Text]]] = deque()
        self._shown: At = (0, 0, 0)
        self._gathered: float | None = None
        self._gave_up = False

    def __bool__(self) -> bool:
        """Are there any?"""
        return bool(self._messengers)

    def begin(self, sealer: Any) -> None:
        """Have a chain keep what witnesses are shown; before its first line."""
        if self._messengers:
            sealer.show()

    def gather(self, sealer: _core.Sealer, number: int) -> None:
        """Gather what a head counts, which has this number; called under the turn."""
        if not self._messengers:
            return
        texts = [Text(text, tree) for text, tree in sealer.take_spoken()]
        if (head := sealer.signed_head()) is not None:
            texts.append(Text(head, sealer.tree()))
        self._gathered = None if sealer.closed else self._clock()
        if texts:
            with self._progress:
                self._made.append((number, texts))

    def release(self, number: int) -> None:
        """Show what was gathered up to a head that is stored now."""
        with self._progress:
            texts = list[Text]()
            while self._made and self._made[0][0] <= number:
                texts += self._made.popleft()[1]
            if texts:
                self._shown = texts[-1].said.until
                for each in self._messengers:
                    each.add(texts)

    # Lines that must be witnessed

    def when_more(self, call: Callable[[], None]) -> None:
        """Have something called, by a thread of ours, whenever a witness has more of the log."""
        self._changed.append(call)

    def have(self, at: At) -> bool:
        """Have witnesses enough, each known by its key, the log up to a position of the next line?"""
        keyed = (each for each in self._messengers if each.address.key is not None)
        return sum(each.reached >= at for each in keyed) >= self.policy.quorum

    def wait(self, at: At, seconds: float | None, stopped: Callable[[], str | None]) -> None:
        """Return when witnesses enough have the log up to a position of the next line.

        Args:
            at: The position; one of a chain without a line stands for what was shown last.
            seconds: How long to wait, None for as long as it takes.
            stopped: Returns why nothing more will come, if so.

        Raises:
            UnknownError: They have not, as far as is known.
        """
        until = None if seconds is None else self._clock() + seconds
        at = self._shown if at[1:] == (0, 0) else at
        with self._progress:
            while not self.have(at):
                left = _LOOK if until is None else min(_LOOK, until - self._clock())
                why = stopped() or ("the log was asked not to wait any longer" if self._gave_up else None)
                if why or left <= 0:
                    raise self._unknown(at, why or f"that took more than {seconds:g} s")
                self._progress.wait(left)

    def give_up(self) -> None:
        """Let nobody wait any more; signal handlers may call this."""
        self._gave_up = True

    def _unknown(self, at: At, why: str) -> UnknownError:
        wrong = [f"{each.address.url}: {each.trouble}" for each in self._messengers if each.trouble]
        return UnknownError(
            f"nobody knows whether {self.policy.quorum} witnesses have the log up to {'.'.join(map(str, at))}: "
            f"{'; '.join([why, *wrong])}",
            hint="the line is sealed and will be shown to them: look before you write it again",
        )

    # What the background thread sees to

    def is_silent(self) -> bool:
        """Is a sign of life due? Says so once."""
        if self._gathered is None or self._clock() < self._gathered + _SILENT:
            return False
        self._gathered = self._clock()
        return True

    def due_in(self) -> float | None:
        """Return the seconds until something has to be said here even if no line comes, or None."""
        now, due = self._clock(), list[float]()
        if self._gathered is not None:
            due.append(self._gathered + _SILENT)
        for each in self._outages:
            since = each.messenger.since
            if each.began is not None and since is None:
                due.append(now)
            elif each.began is None and since is not None:
                due.append(max(since + _OUT, each.not_before))
        return max(0.0, min(due) - now) if due else None

    def news(self) -> list[str]:
        """Return what the log has to say of witnesses that receive nothing, or do so again; called under the turn."""
        said, now = list[str](), self._clock()
        for each in self._outages:
            since, url = each.messenger.since, each.messenger.address.url
            if each.began is not None and (since is None or since > each.began):
                spell = f"from {_ago(now - each.began)} to {_ago(0)}"
                said.append(f"witness {url} received nothing {spell}, and does again{_gaps(each.messenger)}")
                each.began = None
            elif each.began is None and since is not None and now >= max(since + _OUT, each.not_before):
                each.began, each.not_before = since, now + _AGAIN
                why = each.messenger.trouble or "it has not answered yet"
                said.append(f"witness {url} has received nothing since {_ago(now - since)}: {why}")
        return said

    def trouble(self) -> str | None:
        """Return what is wrong now, where the log has said so."""
        for each in self._outages:
            if each.began is not None:
                return f"witness {each.messenger.address.url}: {each.messenger.trouble or 'it has not answered yet'}"
        return None

    def note(self) -> list[dict[str, Any]]:
        """Return what a status says of each: how far it has the log, and what is wrong."""
        found = []
        for each in self._messengers[:8]:
            at = ".".join(map(str, each.reached)) if each.reached[0] else None
            found.append({"url": each.address.url[:100], "has": at, "trouble": (each.trouble or "")[:_LONGEST] or None})
        return found

    # The end

    def drain(self, seconds: float) -> list[str]:
        """Wait until witnesses have everything, but not for one that was away before; return which lack the end."""
        until = self._clock() + seconds
        with self._progress:
            while any(each.since is not None and not each.trouble for each in self._messengers):
                if (left := until - self._clock()) <= 0 or self._gave_up:
                    break
                self._progress.wait(min(left, _LOOK))
            lacking = [each for each in self._messengers if each.since is not None]
        for each in self._messengers:
            each.end()
        return [f"witness {one.address.url} has not received the end of the chain" for one in lacking]

    def die_in_child(self) -> None:
        """In a forked child: the threads are not there, and connections are the parent's."""
        for each in self._messengers:
            each.die_in_child()

    def _tell_all(self) -> None:
        for call in self._changed:
            call()


def _ago(seconds: float) -> str:
    return when(time.time() - seconds)


def _gaps(messenger: Messenger) -> str:
    return "; too much waited for it, so its receipts say that there is a gap" if messenger.take_lost() else ""

"""What becomes of texts that a witness is shown, and what it says (spec section 11).

Compare, replace and receipt are one transaction of the desk; receipts are signed once it is durable.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tallystick import _core
from tallystick.witness.desk import Job
from tallystick.witness.errors import StoppedError
from tallystick.witness.known import KnownLogs
from tallystick.witness.store import Ahead, Held, KnownLog, Store

__all__ = ["Answer", "Brought", "Showing", "restore"]

Brought = tuple[bytes, list[bytes], list[bytes]]
"""A text, its consistency proof, and receipts of this witness that the writer has."""

MOST_KEPT = 4096
"""Texts that are kept of one log. Each gap leaves one, and each answer holds all of them."""

_STATUS = {
    "fork": 422,
    "open first": 409,
    "proof": 409,
    "no text": 400,
    "invalid": 403,
    "no chain root": 403,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered over HTTP.

    Args:
        status: Status.
        body: The body.
        accepted: How many texts were accepted.
        kept: How many texts are kept of the log, which all were looked at.
    """

    status: int
    body: bytes
    accepted: int = 0
    kept: int = 0


class Showing:
    """What is done about one request, as jobs for the desk.

    Args:
        signer: The witness's key.
        known: The logs that it knows.
        alert: Takes a line about what somebody must look at.
    """

    def __init__(self, signer: _core.NoteSigner, known: KnownLogs, alert: Callable[[str], None]) -> None:
        self._signer, self._known, self._alert = signer, known, alert
        self.accepted = self.forks = 0

    def show(self, root: bytes, brought: Sequence[Brought]) -> Job[Answer]:
        """Show texts of the log of P."""

        def job(store: Store, now: int) -> Callable[[], Answer]:
            self.check(store)
            found = self._known.get(store, root) or self._opened(store, root, brought[0])
            if isinstance(found, int):
                status = found
                return lambda: Answer(status, b"")
            row, log = found
            held = store.held(row.number)
            if ahead := self._ahead(row, log, held, brought, now):
                for one in ahead:
                    store.put_ahead(one, _core.parse_shown(one.held.text).hash)
                why = f"it signed for a text of the log {log.name} ({log.log_id}) that it does not remember"
                store.stop(why)
                return lambda: self._stopped(why)
            return self._shown(store, now, found, held, brought)

        return job

    def ask(self, root: bytes, nonce: bytes) -> Job[Answer]:
        """Ask for the log of P."""

        def job(store: Store, now: int) -> Callable[[], Answer]:
            self.check(store)
            found = self._known.get(store, root)
            if found is None:
                return lambda: Answer(404, b"")
            texts = [(one.time, one.gap, one.text) for one in store.held(found[0].number)]
            note = functools.partial(_core.make_answer, self._signer, nonce, root, now, texts)
            return lambda: Answer(200, note().encode(), kept=len(texts))

        return job

    def contradictions(self, root: bytes) -> Job[Answer]:
        """Give the pairs of texts of the log of P that cannot both be true."""

        def job(store: Store, now: int) -> Callable[[], Answer]:
            row = store.log(root)
            if row is None:
                return lambda: Answer(404, b"")
            body = b"".join(text + b"\n" for pair in store.forks(row.number) for text in pair)
            return lambda: Answer(200, body)

        return job

    def check(self, store: Store) -> None:
        """Go on only if something may be signed.

        Raises:
            StoppedError: Nothing may be.
        """
        if why := store.stopped():
            raise StoppedError(f"the witness has stopped: {why}", hint="its operator must act")

    def _stopped(self, why: str) -> Answer:
        self._alert(f"STOPPED: {why}; was its store restored from a backup? See `tallystick witness serve --help`")
        raise StoppedError(f"the witness has stopped: {why}")

    def _opened(self, store: Store, root: bytes, first: Brought) -> tuple[KnownLog, _core.WitnessedLog] | int:
        """Take a log that nobody named, if its first text is accepted and there is room; else return the status."""
        if self._known.most == 0:
            return 404
        if store.open_logs() >= self._known.most:
            return 429
        text, proof, _ = first
        log = _core.WitnessedLog.named(root, _core.parse_shown(text).name)
        decision, _ = log.show([], [(text, proof)])[0]
        if decision in _STATUS:
            return _STATUS[decision]
        return store.add(root, log.name, log.public_key + "\n", is_open=True), log

    def _ahead(
        self, row: KnownLog, log: _core.WitnessedLog, held: Sequence[Held], brought: Sequence[Brought], now: int
    ) -> list[Ahead]:
        """Return the texts for which this witness signed, and which it does not remember."""
        found = []
        for text, _, receipts in brought:
            for receipt in receipts:
                said = _core.check_receipt(receipt, self._signer.key, row.root, text)
                if said is None:
                    continue
                time, gap = said
                decision = log.show([one.text for one in held], [(text, [])])[0][0]
                if decision not in ("same", "older", "invalid", "no chain root") or time > now:
                    found.append(Ahead(row.number, Held(time, gap, text)))
        return found

    def _shown(
        self,
        store: Store,
        now: int,
        found: tuple[KnownLog, _core.WitnessedLog],
        held: list[Held],
        brought: Sequence[Brought],
    ) -> Callable[[], Answer]:
        row, log = found
        outcomes = log.show([one.text for one in held], [(text, proof) for text, proof, _ in brought])
        before, status, shown, older = len(held), 200, held[-1] if held else None, 0
        unchanged, public, accepted = before, row.public, 0
        for (decision, against), (text, _, _) in zip(outcomes, brought, strict=False):
            older += decision == "older"
            if decision in _STATUS:
                status = _STATUS[decision]
                shown = self._refused(store, now, row, log, decision, against, text, held)
                break
            if decision not in ("newer", "gap", "sign of life"):
                continue
            if decision == "gap" and len(held) >= MOST_KEPT:
                status = 503
                break
            accepted += 1
            if decision != "gap" and held:
                held.pop()
            unchanged = min(unchanged, len(held))
            held.append(Held(now, decision == "gap", text))
            shown = held[-1]
            public = _learned(public, text)
        if accepted:
            store.hold(row.number, held, unchanged)
        if public != row.public:
            store.learn(row.number, public)
        if older:
            store.count_older(row.number, older)

        def finish() -> Answer:
            self._known.kept(row.root)
            self.accepted += accepted
            receipt = self._receipt(row.root, shown) if shown is not None else b""
            return Answer(status, receipt, accepted, before)

        return finish

    def _refused(
        self,
        store: Store,
        now: int,
        row: KnownLog,
        log: _core.WitnessedLog,
        decision: str,
        against: bytes | None,
        text: bytes,
        held: Sequence[Held],
    ) -> Held | None:
        """Return the text that is answered with; keep evidence of a fork."""
        if decision != "fork":
            return held[-1] if held else None
        known = next(one for one in held if one.text == against)
        if store.fork(row.number, now, known.text, text):
            self.forks += 1
            at = ".".join(map(str, _core.parse_shown(text).until))
            self._alert(
                f"FORK: the log {log.name} ({log.log_id}) has two histories: a text that reaches {at} was shown, which "
                "cannot be true together with what was accepted; both are kept"
            )
        return known

    def _receipt(self, root: bytes, one: Held) -> bytes:
        note = _core.make_receipt(self._signer, root, one.text, one.time, one.gap)
        return one.text + b"\n" + note.encode()


def _learned(public: str, text: bytes) -> str:
    """Return a public file with an `open` of its generation, which proves the chain root of the next one."""
    parsed = _core.parse_shown(text)
    if parsed.verb != "open" or (parsed.chain - 1) // 256 != public.count("\n") - 1:
        return public
    return f"{public}{text.decode()}\n"


def restore(store: Store) -> int:
    """Take back what receipts have shown, after an operator put an older store back; return how many texts these are.

    Each of them is one more that no other contains, with its own time; the time of the witness is no earlier.
    """
    taken = store.take_ahead()
    for one in taken:
        held = store.held(one.log)
        if any(each.text == one.held.text for each in held):
            continue
        held = sorted([*held, Held(one.held.time, True, one.held.text)], key=lambda each: each.time)
        store.hold(one.log, held, 0)
        store.advance(one.held.time)
    store.stop(None)
    return len(taken)

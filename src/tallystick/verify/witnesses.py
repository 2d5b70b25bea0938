"""What witnesses say of logs: from their answers and from files of receipts to values that are judged later (spec
sections 7 and 11).

A witness counts by its public key, however many texts or URLs name it. Whatever it says is about signed texts of the
log, which prove themselves by the log's public key; so a text that comes without a receipt is a bare head.

>>> Witness.parse("https://w.example/=w.example+00000000+AAAA")
Traceback (most recent call last):
tallystick.errors.FormatError: no key of a witness: it is NAME+ID+KEY, as `tallystick witness key` prints it
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tallystick import _core, securefile
from tallystick.errors import FormatError, ReportError, TallystickError, explain, reason
from tallystick.verify.positions import At

__all__ = ["FRESH", "Ask", "Hear", "Heard", "Shown", "Witness", "Witnesses", "Word", "asking", "read_witnesses"]

FRESH = 600.0
"""Seconds within which a witness must have heard of a log, unless the caller says otherwise."""

_MOST_BYTES = 2**26  # of one file of receipts, or of one answer
_AHEAD = 300_000  # ms: a receipt from further ahead of this clock counts for nothing

Ask = Callable[[str, bytes, bytes], bytes]
"""Asks the witness at a URL for the log of P, with 32 random bytes: gives its answer, or raises `TallystickError`."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a witness was heard to say of a log.

    Args:
        answers: Its answers, each with the 32 random bytes that it must hold, the newest last; all texts in them count.
        trouble: Why it gives no word now, although it was asked; None if the newest answer is its word.
        later: How long ago the newest answer came, ms.
    """

    answers: Sequence[tuple[bytes, bytes]] = ()
    trouble: str | None = None
    later: int = 0


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness whose word is asked for.

    Args:
        url: Where it is asked; None for one of which only receipts count.
        key: Its public key.
    """

    url: str | None
    key: _core.NoteKey

    @classmethod
    def parse(cls, text: str) -> "Witness":
        """Read `URL=KEY` or `KEY`; raises `FormatError` for anything else."""
        url, _, key = text.rpartition("=")
        return cls(url or None, _core.NoteKey(key))


Hear = Callable[[Witness, bytes], Heard]
"""Gives what a witness was heard to say of the log of P."""


def asking(ask: Ask | None) -> Hear:
    """Return what asks a witness at its URL, now."""

    def hear(witness: Witness, root: bytes) -> Heard:
        if ask is None or witness.url is None:
            return Heard(trouble="it cannot be asked here")
        import secrets  # only here: few verifications ask anybody

        nonce = secrets.token_bytes(32)
        try:
            return Heard([(nonce, ask(witness.url, root, nonce))])
        except TallystickError as error:
            return Heard(trouble=explain(error))

    return hear


@dataclass(frozen=True, slots=True)
class Shown:
    """A signed text that the lines are held against.

    Args:
        log: Number of its log in this run.
        text: The text.
        parsed: What it says.
        source: Where it came from: a file, or a witness's name.
        witness: Name of the witness that received it; None for a bare head.
        time: When it did, by its own clock, ms since 1970.
    """

    log: int
    text: bytes
    parsed: _core.ShownText
    source: str
    witness: str | None = None
    time: int | None = None

    def counts(self, keys: _core.Keys) -> bool:
        """Was it received, and does it hold, as far as the keys know the chain roots by now?"""
        return self.witness is not None and _core.shown_holds(keys, self.log, self.text) is True

    @property
    def until(self) -> At:
        """Up to where it says that lines were written."""
        return self.parsed.until


@dataclass(frozen=True, slots=True)
class Word:
    """The word of one witness on one log.

    Args:
        witness: The witness.
        log: Number of the log.
        newest: The newest text that it received; None if it has none, or gave no word.
        now: What time it was, ms since 1970: by its own clock in an answer, by the verifier's for receipts in files.
        trouble: Why it gave no word.
    """

    witness: Witness
    log: int
    newest: Shown | None = None
    now: int = 0
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class Witnesses:
    """All that witnesses say, and what is asked of it.

    Args:
        shown: Signed texts, with receipts and without.
        words: The word of each witness on each log.
        fresh: Seconds within which it must have heard of the log.
        quorum: How many of them must vouch for the end of a log; None for all.
    """

    shown: tuple[Shown, ...] = ()
    words: tuple[Word, ...] = ()
    fresh: float = FRESH
    quorum: int | None = None


def read_witnesses(
    logs: _core.Keys,
    named: Iterable[str],
    files: Iterable[str | os.PathLike[str]],
    hear: Hear,
    now: int,
    *,
    fresh: float = FRESH,
    quorum: int | None = None,
) -> Witnesses:
    """Ask witnesses, and read files of receipts.

    Args:
        logs: The logs.
        named: Witnesses, `URL=KEY` or `KEY`.
        files: Files of receipts.
        hear: Gives what a witness that has a URL says.
        now: The verifier's clock, ms since 1970.
        fresh: Seconds within which a witness must have heard of a log.
        quorum: How many witnesses must vouch for the end of a log; None for all.

    Raises:
        FormatError: A witness's key or a file is invalid, or a text is of a log whose key is not at hand.
        ReportError: A file cannot be read, or the quorum is more than there are witnesses.
    """
    witnesses = _distinct(Witness.parse(text) for text in named)
    if fresh <= 0:
        raise ReportError("a witness must have heard of the log within some time, which must be more than none")
    if quorum is not None and not 1 <= quorum <= len(witnesses):
        raise ReportError(f"{quorum} witnesses must vouch for the end, but {len(witnesses)} are named")
    held = [one for path in files for one in _from_file(logs, os.fspath(path), witnesses)]
    shown, words = [one for one, _ in held], list[Word]()
    for number in range(len(logs.logs())):
        for witness in witnesses:
            if witness.url is None:
                words.append(_by_receipts(witness, number, held, now))
                continue
            word, texts = _heard(logs, witness, number, hear)
            words.append(word)
            shown += texts
    return Witnesses(tuple(shown), tuple(words), fresh, quorum)


def _distinct(witnesses: Iterable[Witness]) -> list[Witness]:
    """Give each public key once, one that is asked before one that is not: only keys count."""
    found: dict[bytes, Witness] = {}
    for one in witnesses:
        known = found.get(one.key.public)
        if known is not None and known.key != one.key:
            raise FormatError(f"the witnesses {known.key.name} and {one.key.name} have one key: they are one witness")
        if known is None or known.url is None:
            found[one.key.public] = one
    return list(found.values())


Received = tuple[Shown, _core.NoteKey | None]


def _from_file(logs: _core.Keys, path: str, witnesses: Sequence[Witness]) -> list[Received]:
    """Give the texts of a file: once for each receipt of a witness that is named, or once as a bare head."""
    try:
        entries = _core.read_receipts(_read(path))
    except FormatError as error:
        raise FormatError(str(error), hint="get receipts from the witness", path=path) from None
    roots, found = _core.public_roots(logs), list[Received]()
    for text, notes in entries:
        parsed = _core.parse_shown(text)
        number = next((n for n, (_, log_id, *_) in enumerate(logs.logs()) if log_id == parsed.log_id), None)
        if number is None:
            raise FormatError(f"a text is of log id {parsed.log_id}, whose key was not given", path=path)
        if _core.shown_holds(logs, number, text) is False:
            raise FormatError(f"a text of log id {parsed.log_id} does not hold: it was forged or damaged", path=path)
        received = [
            (Shown(number, text, parsed, path, one.key.name, said[0]), one.key)
            for note in notes
            for one in witnesses
            if (said := _core.check_receipt(note, one.key, roots[number], text)) is not None
        ]
        found += received or [(Shown(number, text, parsed, path), None)]
    return found


def _read(path: str) -> bytes:
    try:
        fd = securefile.opened(path, os.O_RDONLY)
    except OSError as error:
        raise ReportError(f"{path}: {reason(error)}", hint="check the name of the file of receipts") from error
    try:
        with os.fdopen(fd, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ReportError(f"{path}: {reason(error)}", hint="name a file of receipts") from error
    if len(data) > _MOST_BYTES:
        raise ReportError(f"{path} has more than {_MOST_BYTES} bytes, too many for a file of receipts")
    return data


def _by_receipts(witness: Witness, number: int, held: Sequence[Received], now: int) -> Word:
    """Give the word of a witness that is not asked: the newest of its receipts, by the verifier's clock."""
    mine = [one for one, key in held if key == witness.key and one.log == number]
    if not mine:
        return Word(witness, number, trouble="no receipt of it was given")
    newest = max(mine, key=_age)
    if (newest.time or 0) > now + _AHEAD:
        return Word(witness, number, trouble="its newest receipt is from the future by this machine's clock")
    return Word(witness, number, newest, max(now, newest.time or 0))


def _age(one: Shown) -> tuple[At, int]:
    return one.until, one.time or 0


def _heard(logs: _core.Keys, witness: Witness, number: int, hear: Hear) -> tuple[Word, list[Shown]]:
    """Hear a witness. One that gives no answer that holds says nothing, and proves nothing."""
    root = _core.public_roots(logs)[number]
    heard, texts = hear(witness, root), list[Shown]()
    word = Word(witness, number, trouble=heard.trouble)
    for nonce, answer in heard.answers:
        try:
            now, shown = _answered(logs, witness, number, nonce, answer)
        except TallystickError as error:
            word = Word(witness, number, trouble=explain(error))
            continue
        texts += [one for one in shown if one not in texts]
        if heard.trouble is None:
            word = Word(witness, number, shown[-1] if shown else None, now + heard.later)
    return word, texts


def _answered(
    logs: _core.Keys, witness: Witness, number: int, nonce: bytes, answer: bytes
) -> tuple[int, Sequence[Shown]]:
    """Return the time of an answer by the witness's clock, and the texts in it."""
    if len(answer) > _MOST_BYTES:
        raise FormatError(f"the answer of the witness has more than {_MOST_BYTES} bytes")
    now, texts = _core.read_answer(answer, witness.key, nonce, _core.public_roots(logs)[number])
    shown = [
        Shown(number, text, _core.parse_shown(text), witness.key.name, witness.key.name, time)
        for time, _, text in texts
    ]
    if any(_core.shown_holds(logs, number, one.text) is False for one in shown):
        raise FormatError("the answer of the witness holds a text that is not of this log")
    return now, shown

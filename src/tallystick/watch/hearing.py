"""What witnesses say, for looks that must not wait for them: they are asked in threads, and what they said is kept.

A witness's newest answer is its word, as long as it is not older than `fresh`; its time goes on meanwhile, so that the
age of what it heard of the log is true at each look. Answers are kept in the service's directory, too: signed texts
that a witness showed once must be met for good, whatever the witness says later. An answer takes the place of an
older one only if it reaches as far, and after a look that it did not make `failed`; so both sides of a fork stay.

>>> import tempfile
>>> from tallystick.errors import TallystickError
>>> from pathlib import Path
>>> def ask(url, log, nonce): raise TallystickError("it is away")
>>> key = _core.NoteSigner.generate("w.example").key
>>> with tempfile.TemporaryDirectory() as place:
...     hearing = Hearing(Path(place) / "answers", ask, fresh=600.0)
...     hearing.hear(Witness("https://w.example/", key), bytes(32)).trouble
'it is away'
"""

import hashlib
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tallystick import _core, securefile
from tallystick.errors import FormatError, ReportError, explain
from tallystick.verify.witnesses import Ask, Heard, Witness

__all__ = ["Hearing"]

_EVERY = 15.0  # seconds after which a witness is asked again, if `fresh` is not much shorter
_FIRST = 20.0  # seconds for which the first look waits for an answer
_NONCE = 32  # bytes
_MOST = 16  # answers of one witness on one log that are kept
_BYTES = 2**26  # of one of them
_KEPT = 60.0  # seconds after which answers are kept again that took the place of others
_NAME = re.compile(r"[0-9a-f]{32}-[0-9]{1,4}")


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer that holds by its signature.

    Args:
        nonce: The random bytes that it holds.
        data: All of it.
        texts: The signed texts in it.
    """

    nonce: bytes
    data: bytes
    texts: tuple[bytes, ...]

    @classmethod
    def read(cls, nonce: bytes, data: bytes, key: _core.NoteKey, root: bytes) -> "_Answer":
        """Read an answer; raises `FormatError` for one that does not hold."""
        if len(data) > _BYTES:
            raise FormatError(f"the answer of the witness has more than {_BYTES} bytes")
        return cls(nonce, data, tuple(text for _, _, text in _core.read_answer(data, key, nonce, root)[1]))

    def reaches(self, other: "_Answer") -> bool:
        """Does it say that the log is at least as long as another answer says?"""
        ends = [max((_core.parse_shown(text).until for text in one.texts), default=(0, 0, 0)) for one in (self, other)]
        return ends[0] >= ends[1]


@dataclass(slots=True)
class _Talk:
    """What is known of one witness's word on one log.

    Args:
        name: What its answers are called in the directory.
        answers: Its answers, the newest last.
        kept: Those that are in the directory.
        at: When the newest was asked for by this process; None if it was not.
        trouble: Why no later one came.
        due: When it is asked next.
        keep: When answers are kept again, if nothing is wrong with them.
        thread: What asks it.
    """

    name: str
    answers: list[_Answer]
    kept: list[_Answer]
    at: float | None = None
    trouble: str | None = None
    due: float = 0.0
    keep: float = 0.0
    thread: threading.Thread | None = None


class Hearing:
    """Asks witnesses, and keeps what they say.

    Args:
        directory: Where answers are kept.
        ask: Asks a witness by its URL.
        fresh: Seconds within which a witness must have heard of the log.
        clock: Tells seconds that only go forward.

    Attributes:
        every: Seconds after which a witness is asked again.
    """

    def __init__(self, directory: Path, ask: Ask, fresh: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._directory, self._ask, self._fresh, self._clock = directory, ask, fresh, clock
        self.every = min(_EVERY, fresh / 4)
        self._talks: dict[tuple[bytes, bytes], _Talk] = {}
        self._lock = threading.Lock()  # of what talks hold; nobody waits while holding it

    def hear(self, witness: Witness, root: bytes) -> Heard:
        """Return what a witness was heard to say of the log of P; the first time, wait for it.

        Raises:
            ReportError: What is kept cannot be read.
        """
        talk = self._talks.get((witness.key.public, root))
        if talk is None:
            talk = self._talks[witness.key.public, root] = self._recalled(witness, root)
        self._begin(talk, witness, root)
        if talk.at is None and talk.trouble is None and talk.thread is not None:
            talk.thread.join(_FIRST)
        with self._lock:
            answers, at, trouble = [(one.nonce, one.data) for one in talk.answers], talk.at, talk.trouble
        age = self._clock() - at if at is not None else None
        if age is not None and age <= self._fresh:
            return Heard(answers, later=int(age * 1000))
        return Heard(answers, trouble or "it gave no answer yet")

    def settle(self, *, passed: bool) -> None:
        """Keep what was heard, after a look at it.

        Args:
            passed: The log met all of it: an answer in whose place a newer one came is not needed any more.

        Raises:
            ReportError: It cannot be written.
        """
        now = self._clock()
        for talk in self._talks.values():
            with self._lock:
                if passed and talk.answers:
                    newest = talk.answers[-1]
                    talk.answers = [one for one in talk.answers if one is newest or not newest.reaches(one)]
                answers = list(talk.answers)
            if answers != talk.kept and (now >= talk.keep or not passed):
                self._keep(talk.name, answers)
                talk.kept, talk.keep = answers, now + _KEPT

    def _begin(self, talk: _Talk, witness: Witness, root: bytes) -> None:
        if self._clock() < talk.due or (talk.thread is not None and talk.thread.is_alive()):
            return
        talk.due = self._clock() + self.every
        talk.thread = threading.Thread(
            target=self._talk, args=(talk, witness, root), name="tallystick witness", daemon=True
        )
        talk.thread.start()

    def _talk(self, talk: _Talk, witness: Witness, root: bytes) -> None:
        nonce, at = secrets.token_bytes(_NONCE), self._clock()
        try:
            answer = _Answer.read(nonce, self._ask(witness.url or "", root, nonce), witness.key, root)
        except Exception as error:  # whatever a witness sends, it is one that gives no word
            with self._lock:
                talk.trouble = explain(error)
            return
        with self._lock:
            talk.answers = [*talk.answers, answer]
            if len(talk.answers) > _MOST:  # the first stays: it is evidence of what was taken back
                del talk.answers[1]
            talk.at, talk.trouble = at, None

    def _recalled(self, witness: Witness, root: bytes) -> _Talk:
        name = hashlib.sha256(witness.key.public + root).hexdigest()[:32]
        answers: list[_Answer] = []
        with self._opened() as fd:
            for one in _of(name, fd):
                data = bytes(securefile.read_file(one, fd, bytearray, limit=_BYTES + _NONCE))
                with suppress(FormatError):  # one that was damaged says nothing
                    answers.append(_Answer.read(data[:_NONCE], data[_NONCE:], witness.key, root))
        return _Talk(name, answers, list(answers))

    def _keep(self, name: str, answers: list[_Answer]) -> None:
        with self._opened() as fd:
            for number, one in enumerate(answers):
                securefile.exchange_file(f"{name}-{number}", one.nonce + one.data, fd)
            os.fsync(fd)
            for there in _of(name, fd)[len(answers) :]:
                os.unlink(there, dir_fd=fd)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        path = os.fspath(self._directory)
        with securefile.reporting(ReportError, path):
            securefile.make_directories(path)
            fd = securefile.open_directory(path)
            try:
                yield fd
            finally:
                os.close(fd)


def _of(name: str, directory: int) -> list[str]:
    """Return the names of the answers of one talk that are kept, in order."""
    found = [one for one in securefile.names(directory) if _NAME.fullmatch(one) and one.startswith(name)]
    return sorted(found, key=lambda one: int(one.rpartition("-")[2]))

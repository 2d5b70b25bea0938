"""Following a log that is being written: its lines when they come, through rotation, compression and restarts.

What comes is judged in rounds. A round takes the new whole lines of all files, and before them the last ones of the
file that the log stood in, so that a line that a killed writer broke off is seen for what it is. With the verification
key each line stands on its own, so a line is given as soon as it is there; with the public file alone lines wait for
the checkpoint that covers them.

Two looks at several files are no moment: while a log is rotated, its newer file may be read before the rest of the
older one. So where positions are absent, or what does not hold is the last that there is, the round is put off; only
after `GRACE` seconds it is taken as it stands, and what is wrong is reported.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tallystick import _core
from tallystick.errors import ReportError
from tallystick.verify.columns import Column
from tallystick.verify.inputs import Chunk, Input
from tallystick.verify.looking import Inputs
from tallystick.verify.paths import Identity
from tallystick.verify.positions import At, after, dotted
from tallystick.verify.report import Verdict
from tallystick.verify.run import Verified
from tallystick.verify.texts import Texts

__all__ = ["GRACE", "Following", "Trouble"]


GRACE = 3.0
"""Seconds for which absent lines may still come."""

_ONCE = 8 * 2**20  # bytes of a file that a round takes
_LONGEST = 2**24 + 2**20  # bytes of a line
_CONTEXT = 2**16  # bytes
_MARK = 64  # bytes before the place up to which a file was read
_GONE = 5.0  # seconds for which a file that was removed is still read
_UNDETERMINED = {_core.EventKind.REDACTED, _core.EventKind.OLDER_OPEN_LACKING}


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is wrong with what came: what it means for the verdict, and what it is in a few words."""

    verdict: Verdict
    text: str


class _Live:
    """A file that grows: up to where it was read, and lines of it that were not given yet."""

    def __init__(self, path: str, envelope: "_core.Envelope | None") -> None:
        self.path, self._envelope = path, envelope
        self.text = self.context = b""
        self._mark, self._size, self._left = b"", -1, False
        self._begin()
        self.changed = time.monotonic()

    def _begin(self) -> None:
        self._offset = 0
        unwraps = self._envelope is not None and self._envelope.unwraps
        self._unwrapper = _core.Unwrapper(self._envelope) if self._envelope and unwraps else None

    def skip(self, one: Input, size: int) -> None:
        """Take what was given already as read, up to its last whole line, with its end as context."""
        back = _CONTEXT
        while (start := max(0, size - back)) and b"\n" not in one.excerpt(start, back)[: size - start]:
            back *= 2
        self._offset = start + (one.excerpt(start, back)[: size - start].find(b"\n") + 1 if start else 0)
        while self._offset < size and self._read(one, size):
            self.context = self._end_of(self.context + self.text)
            self.text = b""

    def start_at(self, offset: int) -> None:
        """Begin with the line at an offset."""
        self._offset = offset

    def fill(self, one: Input) -> bool:
        """Read what is new, unless much is waiting; is more there?"""
        self.path, size = one.path, self._size
        if one.size == size and not self._left:
            return False
        self._size = one.size
        if one.size < self._offset or one.excerpt(self._offset - len(self._mark), len(self._mark)) != self._mark:
            self._begin()  # it was truncated, and may have grown since
            self._mark = b""
        while len(self.text) < _ONCE and self._read(one, one.size):
            self.changed = time.monotonic()
        self._left = self._offset < one.size and len(self.text) >= _ONCE
        return self._left

    def _read(self, one: Input, size: int) -> bool:
        data = one.excerpt(self._offset, min(_ONCE, size - self._offset))
        end = data.rfind(b"\n") + 1
        if not end and len(data) == _ONCE:
            data = one.excerpt(self._offset, min(_LONGEST, size - self._offset))
            end = data.rfind(b"\n") + 1 or (len(data) if len(data) == _LONGEST else 0)
        if not end:
            return False
        data = data[:end]
        self._offset += end
        self._mark = data[-_MARK:]
        text = self._unwrapper.feed(data, end, False).text() if self._unwrapper else data
        self.text += text if text.endswith(b"\n") or not text else text + b"\n"
        return True

    def given(self, end: int, *, newest: bool) -> None:
        """Note that the lines up to an end were given; the newest ones stay as context."""
        self.context = self._end_of(self.context + self.text[:end]) if newest else b""
        self.text = self.text[end:]

    def covered(self, at: At) -> int:
        """Return where the lines end that come up to a checkpoint, by what they claim."""
        last = self.text[self.text.rfind(b"\n", 0, -1) + 1 :]
        claimed = _core.claimed_position(last.removesuffix(b"\n"))
        if claimed is not None and claimed[1] <= at:
            return len(self.text)
        end = len(self.text)
        while (start := self.text.rfind(b"tallystick/v1 checkpoint ", 0, end)) >= 0:
            line = self.text[start : self.text.find(b"\n", start) + 1]
            claimed = _core.claimed_position(line.removesuffix(b"\n"))
            if claimed is not None and claimed[1] <= at:
                return start + len(line)
            end = start
        return 0

    @staticmethod
    def _end_of(text: bytes) -> bytes:
        return text[text.find(b"\n", len(text) - _CONTEXT - 1) + 1 :] if len(text) > _CONTEXT else text


class Following:
    """Follows the files of one log.

    Args:
        paths: Files, directories and patterns.
        texts: What was there at first, whose pieces were all given.
        envelope: What a carrier wrapped the lines in.
    """

    def __init__(
        self,
        paths: Sequence[str],
        texts: Texts,
        envelope: "_core.Envelope | None",
        column: Column | None = None,
    ) -> None:
        verified = texts.verified
        self._keys, self._merger, self._envelope = verified.logs, texts.merger, envelope
        self._files = Inputs(paths, envelope, column=column)
        self._files.look()  # while those that were read at first are open: none of them can be lost
        self._known = {one.identity: one.size for one in verified.inputs if one.is_plain}
        self._copies = {(one.identity, one.path): one.size for one in verified.inputs if not one.is_plain}
        self._live: dict[Identity, _Live] = {}
        self._with_v = self._keys.logs()[0][2]
        self._newest: Identity | None = None
        self._starts: dict[Identity, int] = {}  # where to go on in files that were given in part
        reached = self._reached(verified.facts)
        self._next = _after(verified.facts, reached)
        if self._with_v:
            places = [(chain.last, chain.last_place.file) for _, chain in verified.facts.chains(0, True)]
            self._newest = verified.inputs[max(places)[1]].identity if places else None
        else:
            self._starts = _starts(verified, reached)
        self._put_off: float | None = None
        self._said: dict[str, None] = {}
        self._wrong: list[Trouble] = []

    def close(self) -> None:
        """Close all files."""
        self._files.close()

    def troubles(self) -> list[Trouble]:
        """Return what the rounds since the last call found wrong, each once."""
        found, self._wrong = self._wrong, []
        return found

    def round(self) -> Iterator[bytes]:
        """Look for what is new, and give the lines of it that hold: whole lines, each ended by LF."""
        self._files.look()
        try:
            inputs, _ = self._files.ready()
        except ReportError:  # no file is there now
            inputs = []
        batch: dict[Identity, _Live] = {}
        waiting = self._put_off is not None
        for one in inputs:
            if one.is_plain:
                live = self._live_of(one)
                had = len(live.text)
                more = live.fill(one)
                waiting = waiting or len(live.text) > had
                if live.text:
                    batch[one.identity] = live
                if more:
                    break  # what stands in other files comes after it
            elif self._copies.get((one.identity, one.path)) != one.size:
                self._copies[one.identity, one.path] = one.size
                for chunk in one.chunks():
                    yield from self._copied(chunk)
        if batch and waiting:
            yield from self._judged(batch)
        for identity in self._files.gone():
            if identity not in self._live or time.monotonic() - self._live[identity].changed > _GONE:
                self._files.forget(identity)
                self._live.pop(identity, None)

    def _live_of(self, one: Input) -> _Live:
        if one.identity not in self._live:
            live = self._live[one.identity] = _Live(one.path, self._envelope)
            size = min(one.size, self._known.pop(one.identity, 0))
            if one.identity in self._starts:
                live.start_at(min(size, self._starts[one.identity]))
            else:
                live.skip(one, size)
            if one.identity != self._newest:
                live.context = b""
        return self._live[one.identity]

    def _copied(self, chunk: Chunk) -> Iterator[bytes]:
        """Give what only a copy holds, such as a file that was compressed before it was seen."""
        text = chunk.lines.text() if chunk.lines is not None else chunk.data[: chunk.end]
        yield from self._taken(self._facts([text]), [text])

    def _judged(self, batch: dict[Identity, _Live]) -> Iterator[bytes]:
        """Judge what came and give it, or put that off."""
        lives = list(batch.values())
        if self._newest in self._live and self._newest not in batch:
            lives.insert(0, self._live[self._newest])
        facts = self._facts([live.context + live.text for live in lives])
        reached = self._reached(facts)
        ends = [self._end(live, reached) for live in lives]
        if not any(ends):
            return  # no checkpoint came yet
        troubles, unsettled = self._judge(facts, lives, ends)
        now = time.monotonic()
        if unsettled:
            self._put_off = self._put_off or now
            if now - self._put_off < GRACE:
                return
        self._put_off = None
        yield from self._taken(facts, [live.text[:end] for live, end in zip(lives, ends, strict=True)])
        for trouble in troubles:
            self._say(trouble)
        found = [(chain.last, chain.last_place.file) for _, chain in facts.chains(0, self._with_v)]
        newest = lives[max(found)[1]] if found else None
        for live, end in zip(lives, ends, strict=True):
            live.given(end, newest=live is newest)
        for identity, live in self._live.items():
            self._newest = identity if live is newest else self._newest
        self._next = max(filter(None, (self._next, _after(facts, reached))), default=None)

    def _reached(self, facts: _core.Facts) -> At | None:
        """Return the newest line that can be given: with the public key alone the newest checkpoint."""
        chains = facts.chains(0, self._with_v)
        if self._with_v:
            return max((chain.last for _, chain in chains), default=None)
        ends = [(number, epoch, end[0]) for number, chain in chains for epoch, _, end in chain.epochs if end]
        return max(ends, default=None)

    def _end(self, live: _Live, reached: At | None) -> int:
        """Return up to where the lines of a file can be given or are bad."""
        if self._with_v:
            return len(live.text)
        end = live.covered(reached) if reached is not None and live.text else 0
        return end or (len(live.text) if len(live.text) >= _ONCE else 0)

    def _facts(self, texts: Sequence[bytes]) -> _core.Facts:
        verification = _core.Verification(self._keys)
        while (mode := verification.next_pass()) is not None:
            for number, text in enumerate(texts):
                verification.merge(
                    _core.scan(
                        self._keys, mode, text, len(text), file=number, chunk=0, offset=0, envelope=self._prefix()
                    )
                )
        expected = _core.Expected(whole=list(range(len(texts))))
        return verification.finish(expected, set())

    def _prefix(self) -> "_core.Envelope | None":
        return None if self._envelope and self._envelope.unwraps else self._envelope

    def _taken(self, facts: _core.Facts, texts: Sequence[bytes]) -> Iterator[bytes]:
        mode = _core.Mode.texts(facts.holding(self._keys), False)
        for text in texts:
            self._merger.add(
                _core.take_texts(self._keys, mode, text, len(text), file=0, chunk=0, offset=0, envelope=self._prefix())
            )
        while piece := self._merger.take(None, _ONCE):
            yield piece

    def _judge(self, facts: _core.Facts, lives: Sequence[_Live], ends: Sequence[int]) -> tuple[list[Trouble], bool]:
        """Return what is wrong, and whether it may be right in a moment."""
        troubles, unsettled, torn = [], False, facts.torn()
        chains = facts.chains(0, self._with_v)
        places = sorted((chain.last, chain.last_place.file, chain.last_place.offset) for _, chain in chains)
        last = {file: offset for _, file, offset in places}
        for number, event in enumerate(facts.events()):
            live, place = lives[event.place.file], event.place
            if number in torn or not 0 <= place.offset - len(live.context) < ends[place.file]:
                continue
            verdict = Verdict.INCOMPLETE if event.kind in _UNDETERMINED else Verdict.FAILED
            at = f" {dotted(event.first)}" if event.first else ""
            count = f" ({event.count} lines)" if event.count > 1 else ""
            troubles.append(Trouble(verdict, f"{event.kind}{at}{count} in {live.path}"))
            unsettled = unsettled or place.offset > last.get(place.file, -1)
        for number, chain in chains:
            for what, (first, *_) in chain.clashes:
                troubles.append(Trouble(Verdict.FAILED, f"bad statement {dotted(first)}: {what}"))
            troubles += [Trouble(Verdict.FAILED, f"altered epoch {number}.{epoch}") for epoch, *_ in chain.altered]
        missing = self._missing(facts, self._reached(facts))
        return troubles + [Trouble(Verdict.FAILED, f"missing {each}") for each in missing], unsettled or bool(missing)

    def _missing(self, facts: _core.Facts, until: At | None) -> list[str]:
        """Return what is absent after what was given before, as far as what came tells."""
        chains, missing = dict(facts.chains(0, self._with_v)), []
        reached = self._next or (min(chains, default=1), 0, 0)
        ends: dict[int, At] = {}
        for number, chain in sorted(chains.items()):
            if number <= reached[0] or chain.open is None or chain.open.prev is None:
                continue
            prev, _, proof = chain.open.prev
            if proof or not self._with_v:
                ends[prev[0]] = max(prev, ends.get(prev[0], prev))
                if prev[0] not in chains and prev > reached:
                    missing.append(f"{dotted(reached)} to {dotted(prev)}")
        for number in sorted(chains):
            if number >= reached[0]:
                start = reached if number == reached[0] else (number, 0, 0)
                for gap in facts.gaps(0, start, ends.get(number)):
                    if not self._with_v and (until is None or gap.start > until):
                        continue  # it may still come
                    missing.append(
                        dotted(gap.start) + (f" to {dotted(gap.to)}" if gap.to not in (None, gap.start) else "")
                    )
        return missing

    def _say(self, trouble: Trouble) -> None:
        if trouble.text not in self._said:
            self._said[trouble.text] = None
            if len(self._said) > 1000:
                self._said.pop(next(iter(self._said)))
            self._wrong.append(trouble)


def _after(facts: _core.Facts, at: At | None) -> At | None:
    """Return the position after a line that is here."""
    if at is None:
        return None
    statement = facts.statement_at(0, at)
    return (at[0], at[1] + 1, 0) if statement is not None and statement.ending == "continues" else after(at)


def _starts(verified: Verified, reached: At | None) -> dict[Identity, int]:
    """Return where to go on in files with lines that no checkpoint covers yet: the newest one, and what comes after it.

    Args:
        verified: What was verified with the public key alone.
        reached: The position of the newest checkpoint.
    """
    lowest: dict[int, At] = {}
    for file, _, at in verified.facts.lowest(0):
        lowest[file] = min(at, lowest.get(file, at))
    starts = {verified.inputs[file].identity: 0 for file, at in lowest.items() if reached is None or at > reached}
    statement = verified.facts.statement_at(0, reached) if reached is not None else None
    if statement is not None:
        starts[verified.inputs[statement.place.file].identity] = statement.place.offset
    return starts

"""Following a log that is being written: its lines when they come, through rotation, compression and restarts.

What comes is judged in rounds. A round takes the new whole lines of all files, and before them the last ones of the
file that the log stood in, so that a line that a killed writer broke off is seen for what it is. With the verification
key each line stands on its own, so a line is given as soon as it is there; with the public file alone lines wait for
the checkpoint that covers them.

Two looks at several files are no moment: while a log is rotated, its newer file may be read before the rest of the
older one. So where positions are absent, or what does not hold is the last that there is, the round is put off; only
after `GRACE` seconds it is taken as it stands, and what is wrong is reported.

Where much waits in several files, since the reader was slow, the one with the lowest positions comes first. A file that
was compressed before it was seen is not judged, but what it holds is not missing. Lines that wait for their checkpoint
go on waiting when their file is removed.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tallystick import _core
from tallystick.errors import ReportError
from tallystick.verify.columns import Column
from tallystick.verify.inputs import Input
from tallystick.verify.live import MOST_HELD, ONCE, Live, covered, first_claimed, unwrapped
from tallystick.verify.looking import Inputs
from tallystick.verify.paths import Identity
from tallystick.verify.positions import At, after, dotted
from tallystick.verify.report import Verdict
from tallystick.verify.run import Verified
from tallystick.verify.stretches import Stretches
from tallystick.verify.texts import Texts

__all__ = ["GRACE", "Following", "Trouble"]


GRACE = 3.0
"""Seconds for which absent lines may still come."""

_GONE = 5.0  # seconds for which a file that was removed or renamed away is still read, if nothing comes
_UNDETERMINED = {_core.EventKind.REDACTED, _core.EventKind.OLDER_OPEN_LACKING}


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is wrong with what came: what it means for the verdict, and what it is in a few words.

    An equal text is the same trouble seen again, unless it is `new`.
    """

    verdict: Verdict
    text: str
    new: bool = False


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
        # Another file may get the number of one that is gone by now.
        here = self._files.identities()
        inputs = [one for one in verified.inputs if one.identity in here]
        self._known = {one.identity: one.size for one in inputs if one.is_plain}
        self._copies = {(one.identity, one.path): one.size for one in inputs if not one.is_plain}
        self._live: dict[Identity, Live] = {}
        self._over: list[Live] = []  # lines of what is gone, or of copies, that wait for their checkpoint
        self._gone: dict[Identity, float] = {}  # since when they have none of the names that are meant
        self._given = Stretches()  # what copies gave
        _, self._log_id, self._with_v, *_ = self._keys.logs()[0]
        self._newest: Live | None = None
        self._newest_known: Identity | None = None
        self._starts: dict[Identity, int] = {}  # where to go on in files that were given in part
        reached = self._reached(verified.facts)
        self._next = _after(verified.facts, reached)
        if self._with_v:
            places = [(chain.last, chain.last_place.file) for _, chain in verified.facts.chains(0, True)]
            self._newest_known = verified.inputs[max(places)[1]].identity if places else None
        else:
            self._starts = {identity: at for identity, at in _starts(verified, reached).items() if identity in here}
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
        batch, waiting, is_all = list(self._over), self._put_off is not None, True
        for one, live in self._in_order(inputs):
            if live is None:
                if batch and waiting:
                    yield from self._judged(batch)
                    batch, waiting = [each for each in batch if each.text], self._put_off is not None
                self._copies[one.identity, one.path] = one.size
                yield from self._copied(one)
                continue
            had = len(live.text)
            more = live.fill(one)
            waiting = waiting or len(live.text) > had
            if live.text:
                batch.append(live)
            if more:
                is_all = False
                break  # what stands in other files comes after it
        if batch and waiting:
            yield from self._judged(batch)
        self._over = [live for live in self._over if live.text]
        if is_all:
            self._let_go()

    def _in_order(self, inputs: Sequence[Input]) -> list[tuple[Input, Live | None]]:
        """Return what is new, that with the lowest positions first: of copies without a file that grows."""
        new: list[tuple[Input, Live | None]] = []
        for one in inputs:
            if one.is_plain:
                live = self._live_of(one)
                new += [(one, live)] if live.is_new(one) else []
            elif self._copies.get((one.identity, one.path)) != one.size:
                new.append((one, None))
        if len(new) > 1:  # else nothing need be read for it
            new.sort(key=lambda each: _first(each[0], each[1], self._log_id, self._envelope))
        return new

    def _let_go(self) -> None:
        """Let go of what was removed or renamed away, once nothing has come there for a while."""
        now, gone = time.monotonic(), self._files.gone()
        self._gone = {identity: self._gone.get(identity, now) for identity in gone}
        for identity in gone:
            live = self._live.get(identity)
            if live is not None and now - max(live.changed, self._gone[identity]) <= _GONE:
                continue
            self._files.forget(identity)
            self._copies = {key: size for key, size in self._copies.items() if key[0] != identity}
            if (live := self._live.pop(identity, None)) is not None and live.text:
                live.is_over = True
                self._over.append(live)

    def _live_of(self, one: Input) -> Live:
        if one.identity not in self._live:
            live = self._live[one.identity] = Live(one.path, self._envelope)
            size = min(one.size, self._known.pop(one.identity, 0))
            if one.identity in self._starts:
                live.start_at(min(size, self._starts.pop(one.identity)))
            else:
                live.skip(one, size)
            if one.identity == self._newest_known:
                self._newest, self._newest_known = live, None
            else:
                live.context = b""
        return self._live[one.identity]

    def _copied(self, one: Input) -> Iterator[bytes]:
        """Give what only a copy holds, such as a file that was compressed before it was seen."""
        rest = b""
        for chunk in one.chunks():
            text = rest + (chunk.lines.text() if chunk.lines is not None else chunk.data[: chunk.end])
            facts = self._facts([text])
            reached, end = self._reached(facts), len(text)
            if not self._with_v and len(text) < MOST_HELD:
                end = covered(text, reached) if reached is not None else 0
            _note(self._given, facts, reached, with_v=self._with_v)
            yield from self._taken(facts, [text[:end]])
            rest = text[end:]
        if rest:
            self._over.append(Live(one.path, None, rest if rest.endswith(b"\n") else rest + b"\n", is_over=True))

    def _judged(self, batch: Sequence[Live]) -> Iterator[bytes]:
        """Judge what came and give it, or put that off."""
        lives = list(batch)
        if self._newest is not None and self._newest not in lives:
            lives.insert(0, self._newest)
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
        if found and (self._next is None or max(found)[0] >= self._next):  # else these are copies of older lines
            self._newest = lives[max(found)[1]]
        for live, end in zip(lives, ends, strict=True):
            live.given(end, newest=live is self._newest)
        self._next = max(filter(None, (self._next, _after(facts, reached))), default=None)
        if self._next is not None:
            self._given.forget(self._next)

    def _reached(self, facts: _core.Facts) -> At | None:
        """Return the newest line that can be given: with the public key alone the newest checkpoint."""
        chains = facts.chains(0, self._with_v)
        if self._with_v:
            return max((chain.last for _, chain in chains), default=None)
        ends = [(number, epoch, end[0]) for number, chain in chains for epoch, _, end in chain.epochs if end]
        return max(ends, default=None)

    def _end(self, live: Live, reached: At | None) -> int:
        """Return up to where the lines of a file can be given or are bad."""
        if self._with_v:
            return len(live.text)
        if reached is not None and live.text and (end := covered(live.text, reached, is_over=live.is_over)):
            return end
        if not live.wait():
            return 0
        self._say(Trouble(Verdict.INCOMPLETE, f"uncovered: no checkpoint comes in {live.path}"))
        return len(live.text)

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
        while piece := self._merger.take(None, ONCE):
            yield piece

    def _judge(self, facts: _core.Facts, lives: Sequence[Live], ends: Sequence[int]) -> tuple[list[Trouble], bool]:
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
            troubles.append(Trouble(verdict, f"{event.kind}{at}{count} in {live.path}", new=not at))
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
        reached = self._given.through(self._next or (min(chains, default=1), 0, 0))
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
                    if self._given.fills(gap.start, gap.to):
                        continue
                    missing.append(
                        dotted(gap.start) + (f" to {dotted(gap.to)}" if gap.to not in (None, gap.start) else "")
                    )
        return missing

    def _say(self, trouble: Trouble) -> None:
        if trouble.new or trouble.text not in self._said:
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


def _first(one: Input, live: Live | None, log_id: str, envelope: _core.Envelope | None) -> At:
    """Return the position that the first line of an input claims that was not given yet."""
    if live is not None:
        return live.first(one, log_id)
    return first_claimed(unwrapped(one.beginning[: one.beginning.rfind(b"\n") + 1], envelope), log_id)


def _note(given: Stretches, facts: _core.Facts, reached: At | None, *, with_v: bool) -> None:
    """Note what a copy gives, up to the newest line that can be given."""
    for number, chain in facts.chains(0, with_v):
        at = chain.first
        for gap in facts.gaps(0, at, None):
            given.add(at, gap.start)
            at = after(gap.to) if gap.to is not None else (number, gap.start[1] + 1, 0)
        last = min(chain.last, reached) if reached is not None else at
        given.add(at, _after(facts, last) or at)
        if chain.open is not None and chain.open.prev is not None:
            prev, _, proof = chain.open.prev
            if proof or not with_v:
                given.follow(prev, number)


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

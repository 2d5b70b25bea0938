"""What is said of one log as a whole: its head, its beginning and end, and how its chains hold together.

What can be said of one epoch or chain alone comes from the core as facts; here stand the relations between
chains, the anchors of both ends, and the words (spec section 7).
"""

from collections.abc import Iterator

from tallystick import _core
from tallystick.verify.contents import chain_findings
from tallystick.verify.openings import Openings, Range
from tallystick.verify.report import BEING_WRITTEN, Finding, LogReport, Weight
from tallystick.verify.seen import log_report
from tallystick.verify.source import At, Demand, Source, behind, dotted

__all__ = ["LogJudge"]


class LogJudge:
    """What is said of one log."""

    def __init__(self, source: Source, number: int, demand: Demand) -> None:
        """Collect the facts of the log with a number."""
        self.source, self.number, self.demand = source, number, demand
        self.name, self.log_id, self.with_v, self.narrowed, self.covers_from, self.covers_to = source.keys.logs()[
            number
        ]
        self.label = source.labels[number]
        self.chains = dict(source.summary.chains(number, self.with_v))
        self.numbers = sorted(self.chains)
        # Where lines are absent before this position, or in chains behind the last one, nothing is said of it.
        self.floor: At = (demand.start or 0, 0, 0)
        if self.chains:
            self.floor = min(self.first, self.floor) if demand.start else self.first
        self.ceiling = demand.last or 2**32
        self.judged = [chain for chain in self.numbers if self.floor[0] <= chain <= self.ceiling]
        self.head = self._read_head()
        pinned = [(*_core.parse_pin(pin.text), pin) for pin in demand.pins]
        mine = [(at, digest, pin) for log_id, at, digest, pin in pinned if log_id == self.log_id]
        self.pins_outside = sum(not self.covers_from <= at[0] <= self.covers_to for at, _, _ in mine)
        self._reached_once = [(at, pin) for at, _, pin in mine if self.covers_from <= at[0] <= self.covers_to]
        # What a head counts is asked for from the first look at torn lines on.
        self.head_holds = self._head_holds()
        self.start_anchor = self.end_anchor = "nothing"
        self._has_ended = False
        opened = ((c, self.chains[c].open) for c in self.numbers)
        self.openings = Openings(((c, o) for c, o in opened if o is not None), with_v=self.with_v)
        self.is_late = bool(self.chains) and demand.start is None and self._begins_late()
        if demand.start is None and not self.is_late:  # a bad line may stand before the first one that is here
            self.floor = (*self.floor[:1], 0, 0)
        self._pinned = [
            (at, digest, pin)
            for at, digest, pin in mine
            if self.covers_from <= at[0] <= self.covers_to and self._is_judged(behind(at))
        ]
        self.pins = [(at, digest) for at, digest, _ in self._pinned]
        # Chains of which head, pins or openings say that lines were counted, or that the caller names.
        newest = self.judged[-1] if self.judged else 2**32
        named = {chain for chain in self.openings.named if chain > 0}
        named |= {mark[0] for mark in self._marks() if mark[0] < newest}
        named |= {chain for chain in (demand.start, demand.last) if chain}
        self._demanded_chains = sorted(chain for chain in named if self.floor[0] <= chain <= self.ceiling)

    def _is_judged(self, mark: At) -> bool:
        """Does what a head or a pin counts lie among what is judged as a set?"""
        return (not self.chains or mark > self.floor) and mark[0] <= self.ceiling

    def _marks(self) -> list[At]:
        """Give the positions up to which a head or pins count lines, as far as they are judged."""
        return [mark for mark in self._all_marks() if self._is_judged(mark)]

    def _all_marks(self) -> list[At]:
        held = self.head is not None and self.head_holds and self.head[0][0] > 0
        heads = [self.head[0]] if held and self.head else []
        return [behind(at) for at, _ in self._reached_once] + heads

    def _read_head(self) -> tuple[At, bytes] | None:
        text = self.demand.heads.texts.get(self.log_id)
        if text is None:
            return None
        _, at, digest = _core.parse_head(text)
        return at, digest

    def _head_holds(self) -> bool | None:
        if self.head is None or not self.with_v:
            return None
        return self.source.keys.head_holds(self.number, self.demand.heads.texts[self.log_id])

    def finding(
        self,
        kind: str,
        weight: Weight,
        detail: str,
        at: At | str | None = None,
        to: At | str | None = None,
        place: _core.Place | None = None,
        count: int = 1,
        cause: str | None = None,
    ) -> Finding:
        """Return a finding about this log; a text in the place of a position is taken as it is."""
        if self.demand.subset and kind in ("missing", "truncated"):
            weight = Weight.NOTE  # told, not judged
        elif kind in ("missing", "truncated") and weight is Weight.FAILED and (unread := self._holders(at)):
            weight = Weight.INCOMPLETE
            names = ", ".join(unread[:3]) + (" and others" if len(unread) > 3 else "")
            cause = f"it may stand in what could not be read: {names}"
        found = Finding(
            kind,
            weight,
            detail,
            cause=cause,
            log=self.label,
            position=_text(at),
            to=_text(to) if to != at else None,
            count=count,
        )
        return self.source.at(found, place)

    def _holders(self, at: At | str | None) -> list[str]:
        """Name what could not be read and may hold the lines that are absent from some position on, or whole chains."""
        first = (int(at.partition(".")[0]), 0, 0) if isinstance(at, str) else at
        return [one.path for one in self.demand.unread if one.may_hold(self.number, first)]

    def findings(self) -> Iterator[Finding]:
        """Give what is said of the log as a whole, and of each chain."""
        yield from self._bad_head()
        yield from self._narrowed()
        if self.demand.subset:
            detail = "lines were filtered out, as the caller says: gaps are told, not judged"
            yield self.finding("subset", Weight.INCOMPLETE, detail, count=0)
        if not self.chains:
            if self.label in self.demand.expect:
                detail = "no line of the log is here, but it is expected"
                yield self.finding("missing", Weight.FAILED, detail, count=0)
            if self.demanded_end and not self.source.only_foreign(self.number):
                detail = f"no line of the log is here, but {self._who_demands()}"
                yield self._cut(detail, (1, 0, 0))
            return
        yield from self._beginning()
        yield from self._absent_chains()
        yield from self._gaps()
        yield from self._prevs()
        yield from self._ends()
        yield from self._no_head()
        yield from chain_findings(self)

    def _narrowed(self) -> Iterator[Finding]:
        if not self.narrowed:
            return
        first, last = self.covers_from, self.covers_to
        lines = self.source.summary.counts(self.number).narrowed
        outside = [f"{lines} lines"] if lines != 1 else ["1 line"]
        if self.pins_outside:
            outside.append(f"{self.pins_outside} pin{'' if self.pins_outside == 1 else 's'}")
        if self.head and not first <= self.head[0][0] <= last:
            outside.append("the head")
        what = f"chain {first}" if first == last else f"chains {first} to {last}"
        detail = f"the key covers {what} only; outside it lie {' and '.join(outside)}, which were not judged"
        weight = Weight.NOTE if "narrowed" in self.demand.allow else Weight.INCOMPLETE
        yield self.finding("narrowed", weight, detail, count=lines)

    # -- the head

    def _bad_head(self) -> Iterator[Finding]:
        if self.log_id in self.demand.heads.bad:
            yield self.finding("bad head", Weight.FAILED, self.demand.heads.bad[self.log_id])
        if self.head is None or not self.with_v:
            return
        if self.head_holds is None and self.narrowed:
            return
        if not self.head_holds:
            detail = "the head's mac does not hold: it was forged, or it belongs to another log"
            yield self.finding("bad head", Weight.FAILED, detail, self.head[0])

    def _no_head(self) -> Iterator[Finding]:
        """A head that should be there: as grave as an open end, if it is what the end hangs on."""
        if why := self.demand.heads.absent.get(self.log_id):
            needless = self._has_ended or "open end" in self.demand.allow
            yield self.finding("no head", Weight.NOTE if needless else Weight.INCOMPLETE, why, count=0)

    @property
    def counted(self) -> At | None:
        """The position that an authentic head counts up to, once a line was written."""
        held = self.head is not None and self.head_holds and self.head[0][0] > 0
        return self.head[0] if held and self.head and self._is_judged(self.head[0]) else None

    @property
    def demanded_end(self) -> At | None:
        """The position up to which head or pins say that lines were written."""
        return max(self._marks(), default=None)

    def _who_demands(self) -> str:
        end = self.demanded_end
        assert end is not None
        who = "the head counts" if end == self.counted else "a pin vouches for"
        return f"{who} everything before {dotted(end)}"

    # -- the beginning

    @property
    def first(self) -> At:
        """The first position present."""
        return self.chains[self.numbers[0]].first

    def _beginning(self) -> Iterator[Finding]:
        first, facts = self.numbers[0], self.chains[self.numbers[0]]
        if self.demand.start is not None:
            self.start_anchor = f"named by the caller: chain {self.demand.start}"
            return
        if not self.is_late:
            self.start_anchor = "the log's first chain" if not self.narrowed else f"the key's first chain, {first}"
            return
        detail = (
            f"the log begins at {dotted(facts.first)} here; if what came before was deleted by right, "
            f"name the start with --from {first}, else look for the older files"
        )
        yield self.finding("late start", Weight.INCOMPLETE, detail, facts.first, place=facts.first_place, count=0)

    def _begins_late(self) -> bool:
        """Is something absent before the first line that is here, as far as nothing says that it never was?"""
        first = self.numbers[0]
        # An opening may say by right that nothing was counted before it.
        named = {chain for chain in self.openings.named if chain > 0} | {mark[0] for mark in self._all_marks()}
        nothing = self.with_v and not self.openings.part(self.covers_from, first - 1, sorted(named))[0]
        if first > self.covers_from and not nothing:
            return True
        return any(gap.start < self.first for gap in self._chain_gaps(first))

    def _is_late(self, gap: _core.Gap) -> bool:
        """Does a gap lie before everything that is present, where nobody named the start?"""
        return gap.start < self.floor

    def _chain_gaps(self, chain: int, end: At | None = None) -> list[_core.Gap]:
        return self.source.summary.gaps(self.number, (chain, 0, 0), end)

    # -- what is absent

    def _absent_chains(self) -> Iterator[Finding]:
        # Where nobody named the start, what is absent before the first chain is a late start.
        here = self.judged + self._demanded_chains
        for low, high in _between(self.judged, min(here, default=1), max(here, default=0)):
            missing, passed = self.openings.part(low, high, self._demanded_chains)
            for first, last in missing:
                yield self._missing_chains(first, last, Weight.FAILED)
            for first, last in passed if not self.with_v else []:
                yield self._missing_chains(first, last, Weight.INCOMPLETE)

    def _missing_chains(self, low: int, high: int, weight: Weight) -> Finding:
        what = f"chain {low}" if low == high else f"chains {low} to {high}"
        if weight is Weight.FAILED:
            detail = f"{what} of the log {'is' if low == high else 'are'} not here; look for a file that was removed"
        else:
            detail = (
                f"{what} {'is' if low == high else 'are'} not here; a later opening says that nothing of it was "
                "counted, which only the verification key can check"
            )
        return self.finding("missing", weight, detail, f"{low}.*", f"{high}.*", count=0)

    def _gaps(self) -> Iterator[Finding]:
        """Positions that are absent in chains that are here."""
        demanded: dict[int, At] = {}
        for at in [*self.openings.named.values(), *self._marks()]:
            demanded[at[0]] = max(at, demanded.get(at[0], at))
        newest = self.judged[-1] if self.judged else 0
        for chain in self.judged:
            facts = self.chains[chain]
            gaps = [gap for gap in self._chain_gaps(chain, demanded.get(chain)) if not self._is_late(gap)]
            for gap, through in _joined(gaps):
                if chain == newest and gap.start > facts.last:
                    # Else only a bad line claims more than is here.
                    end = self.demanded_end
                    if end and end[0] == newest and end > gap.start:
                        yield self._truncated(gap.start)
                    break
                yield self._missing(gap, through)
        if newest and self.demanded_end and self.demanded_end[0] > newest:
            yield self._truncated(self.chains[newest].last)

    def _truncated(self, start: At) -> Finding:
        last = self.chains[self.judged[-1]]
        detail = (
            f"the log ends at {dotted(last.last)} here, but {self._who_demands()}; "
            "look for a newer file, or name the last chain with --to if newer ones are elsewhere by right; "
            "else its end was cut off"
        )
        return self._cut(detail, start, last.last_place)

    def _cut(self, detail: str, start: At, place: _core.Place | None = None) -> Finding:
        """Tell what is cut off: up to the last position that head or pins speak of, if they name it."""
        end = self.demanded_end
        assert end is not None
        # Before index 0 stands a checkpoint whose index nobody names.
        if not end[2]:
            return self.finding("truncated", Weight.FAILED, detail, start, f"{end[0]}.{end[1] - 1}.*", place, count=0)
        to = (*end[:2], end[2] - 1)
        count = to[2] - start[2] + 1 if to[:2] == start[:2] else 0
        return self.finding("truncated", Weight.FAILED, detail, start, to, place, count)

    def _missing(self, gap: _core.Gap, through: At) -> Finding:
        place = gap.before or gap.after
        if gap.to is None:
            detail = "the checkpoint of this epoch is not here, and any lines before it"
            if through != gap.start:
                detail = "the checkpoints of these epochs are not here, and any lines before them"
            rest = f"{through[0]}.{through[1]}.*"
            return self.finding("missing", Weight.FAILED, detail, gap.start, rest, place, count=0)
        count = gap.to[2] - gap.start[2] + 1 if gap.to[:2] == gap.start[:2] else 0
        where = "behind" if gap.before else "before"
        what = "a line that stood" if count == 1 else f"{count or 'some'} lines that stood"
        detail = f"{what} right {where} this one {'is' if count == 1 else 'are'} not here"
        edge = (gap.before and self.source.is_last(gap.before)) or (gap.after and self.source.is_first(gap.after))
        cause = "the gap lies at the edge of a file: rotation by copytruncate loses lines there" if edge else None
        return self.finding("missing", Weight.FAILED, detail, gap.start, gap.to, place, count, cause)

    # -- prevs

    def _prevs(self) -> Iterator[Finding]:
        for chain, opening in self.openings.all:
            assert opening.prev is not None
            if chain < self.floor[0]:
                continue
            at, digest, proof = opening.prev
            if proof is False or at[0] >= chain:
                detail = "the proof of the head that this opening names does not hold"
                yield self.finding("bad statement", Weight.FAILED, detail, opening.at, place=opening.place)
                continue
            if at[0] == 0 or at[0] not in self.chains or at <= self.floor:
                continue
            if self._other_statement(at, digest):
                detail = f"the opening names another statement before {dotted(at)} than the one that is here"
                yield self.finding("bad statement", Weight.FAILED, detail, opening.at, place=opening.place)
        for at, digest in self.pins:
            found = self.source.summary.statement_at(self.number, at)
            if (found is None or found.hash != digest) and self._is_present(at):
                detail = "something else stands here than the statement that was pinned"
                yield self.finding("bad statement", Weight.FAILED, detail, at, place=found.place if found else None)
        counted = self.counted
        here = counted is not None and counted[0] in self.chains
        if here and counted and self.head and self._other_statement(counted, self.head[1]):
            detail = f"the head names another statement before {dotted(counted)} than the one that is here"
            yield self.finding("bad head", Weight.FAILED, detail, counted)

    def _is_present(self, at: At) -> bool:
        """Does a line stand at a position?"""
        if at[0] not in self.chains or at < self.floor or at > self.chains[at[0]].last:
            return False
        return not any(gap.start <= at <= (gap.to or (*gap.start[:2], 65_535)) for gap in self._chain_gaps(at[0]))

    def _other_statement(self, at: At, digest: bytes) -> bool:
        """Is the newest statement before a position another one, for certain?"""
        found = self.source.summary.statement_before(self.number, at)
        return found is not None and found.hash != digest

    # -- ends

    def reaches(self, end: At) -> bool:
        """Was everything before a position written, as far as the last line of its chain tells?"""
        last = self.chains[end[0]].last
        statement = self.source.summary.statement_at(self.number, last)
        if statement is not None and statement.ending == "continues" and end == (last[0], last[1] + 1, 0):
            return True
        return behind(last) >= end

    def may_be_named(self, at: At, digest: bytes) -> bool:
        """Could an opening that is written now name this head, as far as the lines that are here tell?"""
        if at[0] == 0 or not self.chains or at < self.first:
            return True
        return at[0] in self.chains and self.reaches(at) and not self._other_statement(at, digest)

    def _ends(self) -> Iterator[Finding]:
        newest = self._newest
        for chain, later in zip(self.numbers, [*self.numbers[1:], 0], strict=True):
            facts = self.chains[chain]
            ending = facts.ending.ending if facts.ending else None
            if ending == "ended":
                yield from self._ended(chain, later)
                continue
            if chain not in self.judged:
                continue
            anchored = self._is_anchored(chain)
            ends = [self.openings.named.get(chain), self.counted if self.counted and self.counted[0] == chain else None]
            named = max((end for end in ends if end is not None), default=None)
            passed = self.openings.passes_over(chain)
            if chain == self.judged[-1] and self.is_cut():
                continue  # told as truncated, or filled by lines that are told as bad
            if not anchored and (chain == newest or (ending is None and not passed and named is None)):
                yield from self._open_end(chain)
            elif (passed or ending is None) and (named is None or self.reaches(named)):
                yield self._unclean_end(chain)

    @property
    def _newest(self) -> int | None:
        """The newest chain, whose end needs an anchor; none where the caller names the last one that is here."""
        if self.demand.last is not None:
            self.end_anchor = f"named by the caller: chain {self.demand.last}"
            return None
        return self.judged[-1] if self.judged else None

    def _ended(self, chain: int, later: int) -> Iterator[Finding]:
        if not later:
            self._has_ended = True
            self.end_anchor = "the log has ended"
            if not self.with_v:
                self.end_anchor += ", as the key of its running epoch signed: that epoch may once have been longer"
            return
        facts = self.chains[later]
        detail = f"a chain stands here although chain {chain} ended the log"
        yield self.finding("bad statement", Weight.FAILED, detail, facts.first, place=facts.first_place)

    def _is_anchored(self, chain: int) -> bool:
        """Does the head vouch for the end of a chain? Notes it, if it is the newest."""
        if self.counted is None or self.counted[0] != chain:
            return False
        if chain == self._newest:
            self.end_anchor = f"the head, which counts everything before {dotted(self.counted)}"
        return True

    def is_cut(self) -> bool:
        """Does the newest chain end before head or pins say?"""
        end, newest = self.demanded_end, self.judged[-1] if self.judged else 0
        if end is None or end[0] < newest:
            return False
        return end[0] > newest or not self.reaches(end)

    def is_cut_behind(self, at: At) -> bool:
        """Is something absent behind a line that head or pins count?"""
        return self.is_cut() and at < (self.demanded_end or at)

    def may_be_torn(self, at: At, *, at_end: bool) -> bool:
        """Is this the last line of a chain whose end is unclean, so that one broken line may stand behind it?

        Args:
            at: The line.
            at_end: Nothing follows in its file; else the opening that follows vouches for the end.
        """
        facts = self.chains.get(at[0])
        if facts is None or facts.ending is not None or facts.last != at:
            return False
        if not at_end:
            return True
        if at[0] == self.numbers[-1]:
            return not self.is_cut_behind(at)
        # The next chain went to another file.
        named = self.openings.named.get(at[0])
        return self.openings.passes_over(at[0]) or (named is not None and self.reaches(named))

    def _open_end(self, chain: int) -> Iterator[Finding]:
        facts = self.chains[chain]
        if "open end" in self.demand.allow:
            return
        if chain != self._newest:
            detail = f"nothing says where chain {chain} ended"
        elif not self.with_v:
            detail = "nothing anchors the end: with the public key alone that takes the end of the log itself"
        elif self.counted:
            detail = (
                f"the head counts chain {self.counted[0]}, which is older: it was rolled back, or is not the newest"
            )
        else:
            detail = "nothing anchors the end, so lines may have been cut off: give the key store or the head"
        if chain == self._newest:
            detail += self._reached()
        yield self.finding("open end", Weight.INCOMPLETE, detail, facts.last, place=facts.last_place, count=0)

    def _reached(self) -> str:
        """Say what the newest pin says of the end: no more than that it lies no earlier."""
        if not self._reached_once:
            return ""
        at, pin = max(self._reached_once, key=lambda pinned: pinned[0])
        when = f"when it was seen on {pin.seen}" if pin.seen else "when it was pinned"
        return f"; the log reached at least {dotted(at)} {when}"

    def _unclean_end(self, chain: int) -> Finding:
        facts = self.chains[chain]
        detail = "the writer did not close this chain (crash, kill, or still running): up to 1 s of lines may be lost"
        if chain == self.numbers[-1] and self.log_id in self.demand.heads.written:
            detail = f"this chain {BEING_WRITTEN}: it is not closed yet, and up to 1 s of lines may not be here"
        weight = Weight.NOTE
        if not self.with_v:
            weight = Weight.INCOMPLETE
            detail += "; only the verification key can check what a later opening says of it"
        return self.finding("unclean end", weight, detail, facts.last, place=facts.last_place, count=0)

    # -- what was seen

    def report(self) -> LogReport:
        """Return what was seen of the log."""
        return log_report(self)

    def pin(self) -> str | None:
        """Return the newest statement that is here, as the text of a pin (spec section 6)."""
        for chain in reversed(self.numbers):
            facts = self.chains[chain]
            newest = self.source.summary.statement_before(self.number, behind(facts.last)) or facts.open
            if newest is not None:
                return newest.pin(self.log_id)
        return None


def _text(at: At | str | None) -> str | None:
    return dotted(at) if isinstance(at, tuple) else at


def _between(chains: list[int], first: int, last: int) -> Iterator[Range]:
    """Give the stretches of chains from a first to a last one that are not among some, in order."""
    for chain in [*(chain for chain in chains if first <= chain <= last), last + 1]:
        if chain > first:
            yield first, chain - 1
        first = chain + 1


def _joined(gaps: list[_core.Gap]) -> Iterator[tuple[_core.Gap, At]]:
    """Give gaps, but only the first of whole epochs that are absent one after the other, and where the last begins."""
    joined: list[tuple[_core.Gap, At]] = []
    for gap in gaps:
        if joined and joined[-1][0].to is None and gap.to is None and gap.start == (*_epoch_behind(joined[-1][1]), 0):
            joined[-1] = joined[-1][0], gap.start
        else:
            joined.append((gap, gap.start))
    yield from joined


def _epoch_behind(at: At) -> tuple[int, int]:
    return at[0], at[1] + 1

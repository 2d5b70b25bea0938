"""Torn lines: what a writer left half-written when it was killed (spec section 7).

There is at most one at an unclean end, and where a chain's `open` broke off, the beginning of that. A torn line says
nothing: the position that a seal inside it claims is not taken for present.
"""

from collections.abc import Sequence

from tallystick import _core
from tallystick.verify.copies import MOST, ends_within_copy
from tallystick.verify.judge.view import LogView
from tallystick.verify.positions import At
from tallystick.verify.source import Source

__all__ = ["torn_lines"]

_MOST = 8  # lines in a row; as many crashes one after the other within the first line
Known = tuple[int, At]


def torn_lines(source: Source, judges: Sequence[LogView]) -> set[int]:
    """Find the torn lines, and take back what they claim.

    Args:
        source: What was read.
        judges: What is known of each log.

    Returns:
        Numbers of their events. Where they stand would say less: a carrier's record may hold several lines.
    """
    ends: dict[tuple[int, Known | None, Known | None], list[tuple[int, _core.Event]]] = {}
    for number, event in enumerate(source.summary.events()):
        if event.kind in ("unsealed", "foreign", "altered") and event.texts and event.why != "anew":
            ends.setdefault((event.place.file, *_neighbours(source, event)), []).append((number, event))
    torn: set[int] = set()
    tried = 0
    for (file, before, after), numbered in ends.items():
        at_end = after is None and not source.ends_in_lf(file)
        tried += at_end
        if at_end and tried <= MOST and ends_within_copy(source, judges, numbered[-1][1]):
            torn |= _taken_back(source, numbered[-1:])
            numbered = numbered[:-1]
        events = [event for _, event in numbered]
        if sum(event.count for event in events) > _MOST or any(e.kind == "altered" and e.count > 1 for e in events):
            continue
        texts = [text for event in events for text in event.texts]
        if _are_torn(judges, before, after, texts, source.ends_in_lf(file)):
            torn |= _taken_back(source, numbered)
    return torn


def _taken_back(source: Source, numbered: Sequence[tuple[int, _core.Event]]) -> set[int]:
    """Take back what torn lines claim; return the numbers of their events."""
    for _, event in numbered:
        if event.kind == "altered" and event.log is not None and event.first is not None:
            source.summary.unclaim(event.log, event.first)
    return {number for number, _ in numbered}


def _neighbours(source: Source, event: _core.Event) -> tuple[Known | None, Known | None]:
    """Give the known lines around a bad one, which may stand in other chunks of its file."""
    before, after = event.before, event.after
    for chunk in source.chunks_of(event.place.file):
        if event.before is None and chunk.chunk < event.place.chunk and chunk.last:
            before = chunk.last
        if after is None and chunk.chunk > event.place.chunk:
            after = chunk.first
    return before, after


def _are_torn(
    judges: Sequence[LogView], before: Known | None, after: Known | None, texts: list[bytes], ends_in_lf: bool
) -> bool:
    """Are these the lines that broken writers left between two known lines, or at the end of a file?"""
    if before is None and after is None:
        # A file with nothing but the beginning of an opening: a writer was killed right there.
        return any(_begin_opens(judge, texts, 0, None) for judge in judges) and not ends_in_lf
    log = after[0] if after is not None else before[0] if before is not None else 0
    judge = judges[log]
    if before is not None and before[0] != log:
        return False
    opening = None
    if after is not None:
        facts = judge.facts.chains.get(after[1][0])
        opening = facts.open if facts is not None else None
        if opening is None or opening.at != after[1] or not judge.facts.openings.vouches(opening):
            return False
        # What a head counted was written whole: a broken line in its place was broken later.
        counted = opening.prev[0] if opening.prev else None
        if counted and counted[0] in judge.facts.chains and not judge.facts.reaches(counted):
            return False
    chain = before[1][0] if before is not None else 0
    if opening is not None and chain >= opening.at[0]:
        return False
    if before is None:
        return _begin_opens(judge, texts, 0, opening)
    if _may_be_torn(judge, before[1], at_end=opening is None):
        # The first is the last line of the chain before, whatever it holds.
        return _begin_opens(judge, texts[1:], chain, opening)
    # The chain before is closed: only the beginnings of other chains may be broken.
    closed = judge.facts.chains.get(chain)  # None: its lines are statements that cannot be proved
    ending = closed.ending if closed is not None and closed.last == before[1] else None
    whole = ending is not None and ending.ending != "ended" and not (after is None and _is_cut_after(judge, before[1]))
    return whole and (after is not None or not ends_in_lf) and _begin_opens(judge, texts, chain, opening)


def _is_cut_after(judge: LogView, at: At) -> bool:
    """Is something absent after a line that head or pins count?"""
    return judge.is_cut() and at < (judge.demanded_end or at)


def _may_be_torn(judge: LogView, at: At, *, at_end: bool) -> bool:
    """Is this the last line of a chain whose end is unclean, so that one broken line may stand after it?

    Args:
        judge: What is known of the log.
        at: The line.
        at_end: Nothing follows in its file; else the opening that follows vouches for the end.
    """
    facts = judge.facts.chains.get(at[0])
    if facts is None or facts.ending is not None or facts.last != at:
        return False
    if not at_end:
        return True
    if at[0] == judge.facts.numbers[-1]:
        return not _is_cut_after(judge, at)
    # The next chain went to another file.
    named = judge.facts.openings.named.get(at[0])
    return judge.facts.openings.passes_over(at[0]) or (named is not None and judge.facts.reaches(named))


def _may_be_named(judge: LogView, at: At, digest: bytes) -> bool:
    """Could an opening that is written now name this head, as far as the lines that are here tell?"""
    log = judge.facts
    if at[0] == 0 or not log.chains or at < log.first:
        return True
    return at[0] in log.chains and log.reaches(at) and not log.has_other_statement(at, digest)


def _begin_opens(judge: LogView, texts: Sequence[bytes], chain: int, opening: _core.Statement | None) -> bool:
    """Is each line the beginning of an opening that the writer could have written there, and are they in order?

    Args:
        judge: What is known of the log.
        texts: The lines.
        chain: The chain before them; 0 if there is none.
        opening: The opening after them, if there is one.
    """
    most = opening.at[0] - 1 if opening is not None else 2**32 - 1
    for text in texts:
        found = judge.facts.source.keys.broken_opening(judge.facts.number, text)
        if found is None:
            return False
        digits, whole, prev = found
        if prev is not None and not _may_be_named(judge, *prev):
            return False
        blocks = [(whole, whole)] if whole is not None else _numbers(digits)
        lowest = [_lowest(judge, max(chain + 1, low), min(most, high)) for low, high in blocks]
        chain = min((one for one in lowest if one is not None), default=0)
        if not chain:
            return False
    return True


def _numbers(digits: bytes) -> list[tuple[int, int]]:
    """Give the ranges of numbers that begin with some digits.

    >>> _numbers(b"17")[:2]
    [(17, 17), (170, 179)]
    """
    if not digits:
        return [(1, 2**32 - 1)]
    scales = [10**more for more in range(11 - len(digits))]
    return [(int(digits) * scale, (int(digits) + 1) * scale - 1) for scale in scales]


def _lowest(judge: LogView, low: int, high: int) -> int | None:
    """Give the lowest chain of a range that was passed over, or is still to come, and of which no line is here."""
    newest = judge.facts.numbers[-1] if judge.facts.numbers else 0
    for first, last in [*judge.facts.openings.passed(low, min(high, newest)), (max(low, newest + 1), high)]:
        for chain in range(first, last + 1):
            if chain not in judge.facts.chains:
                return chain
    return None

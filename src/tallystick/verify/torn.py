"""Torn lines: what a writer left half-written when it was killed (spec section 7).

There is at most one at an unclean end, and where a chain's `open` broke off, the beginning of that. A torn line says
nothing: the position that a seal inside it claims is not taken for present.
"""

import re
from collections.abc import Iterator, Sequence

from tallystick import _core
from tallystick.verify.chains import LogJudge
from tallystick.verify.source import At, Source

__all__ = ["torn_lines"]

_MOST = 8  # lines in a row; as many crashes one after the other within the first line
Known = tuple[int, At]


def torn_lines(source: Source, judges: Sequence[LogJudge]) -> set[int]:
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
    for (file, before, after), numbered in ends.items():
        events = [event for _, event in numbered]
        if sum(event.count for event in events) > _MOST or any(e.kind == "altered" and e.count > 1 for e in events):
            continue
        texts = [text for event in events for text in event.texts]
        if _are_torn(judges, before, after, texts, source.ends_in_lf(file)):
            for number, event in numbered:
                torn.add(number)
                if event.kind == "altered" and event.log is not None and event.first is not None:
                    source.summary.unclaim(event.log, event.first)
    return torn


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
    judges: Sequence[LogJudge], before: Known | None, after: Known | None, texts: list[bytes], ends_in_lf: bool
) -> bool:
    """Are these the lines that broken writers left between two known lines, or at the end of a file?"""
    if before is None and after is None:
        # A file with nothing but the beginning of an opening: a writer was killed right there.
        return any(_begin_opens(judge, texts, *_gap(judge, 0, None)) for judge in judges) and not ends_in_lf
    log = after[0] if after is not None else before[0] if before is not None else 0
    judge = judges[log]
    if before is not None and before[0] != log:
        return False
    opening = None
    if after is not None:
        facts = judge.chains.get(after[1][0])
        opening = facts.open if facts is not None else None
        if opening is None or opening.at != after[1] or not judge.openings.vouches(opening):
            return False
        # What a head counted was written whole: a broken line in its place was broken later.
        counted = opening.prev[0] if opening.prev else None
        if counted and counted[0] in judge.chains and not judge.reaches(counted):
            return False
    chain = before[1][0] if before is not None else 0
    if opening is not None and chain >= opening.at[0]:
        return False
    if before is not None and not judge.may_be_torn(before[1], at_end=opening is None):
        # The chain before is closed: only the beginnings of other chains may be broken.
        closed = judge.chains.get(chain)  # None: its lines are statements that cannot be proved
        ending = closed.ending if closed is not None and closed.last == before[1] else None
        whole = (
            ending is not None and ending.ending != "ended" and not (after is None and judge.is_cut_behind(before[1]))
        )
        return (
            whole and (after is not None or not ends_in_lf) and _begin_opens(judge, texts, *_gap(judge, chain, opening))
        )
    if before is None:
        return _begin_opens(judge, texts, *_gap(judge, 0, opening))
    # The first is the last line of the chain before, whatever it holds.
    return _begin_opens(judge, texts[1:], *_gap(judge, chain, opening))


def _gap(judge: LogJudge, chain: int, opening: _core.Statement | None) -> tuple[int, int]:
    """Give the chains of which an opening may have broken off behind a chain: first and last."""
    if opening is not None and opening.prev is not None:
        return max(chain, opening.prev[0][0]) + 1, opening.at[0] - 1
    return max(chain, judge.numbers[-1] if judge.numbers else 0) + 1, 2**32 - 1


def _begin_opens(judge: LogJudge, texts: Sequence[bytes], low: int, high: int) -> bool:
    """Could each line be the beginning of an opening, of chains in a range and in order?"""
    for text in texts:
        chain = next(_chain_of(judge, text, low, high), None)
        if chain is None:
            return False
        low = chain + 1
    return True


def _chain_of(judge: LogJudge, text: bytes, low: int, high: int) -> Iterator[int]:
    """Give the lowest chain in a range whose opening could begin like this."""
    text = text.rstrip(b"\0 \t\r")  # after a power loss a block may end in zeros
    opening = f"tallystick/v1 open {judge.name} {judge.log_id} ".encode()
    for start in (b"", b'{"tallystick":"'):
        whole = start + opening
        if low > high or not (whole.startswith(text) or text.startswith(whole)):
            continue
        number = re.match(rb"([1-9][0-9]{0,9})?( ?)", text[len(whole) :])
        if number is None or not number[1]:
            if len(text) <= len(whole):
                yield low
        elif number[2] or len(text) > len(whole) + len(number[1]):
            if low <= int(number[1]) <= high:
                yield int(number[1])
        else:
            yield low  # the number itself may have broken off

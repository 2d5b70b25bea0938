"""Ends of a log and of its chains, and the head that vouches for them (spec section 7)."""

from collections.abc import Iterator

from tallystick.verify.catalogue import Kind, Weight
from tallystick.verify.judge.view import LogView
from tallystick.verify.judge.witnesses import is_witnessed, said_by_witnesses, unwitnessed
from tallystick.verify.positions import dotted
from tallystick.verify.report import BEING_WRITTEN, Finding

__all__ = ["bad_head_findings", "end_anchor", "end_findings"]


def end_anchor(log: LogView) -> str:
    """Return what anchors the end of a log."""
    said, own = said_by_witnesses(log), _own_anchor(log)
    if said is None or log.expected.last is not None or not log.facts.chains:
        return own
    return said if own == "nothing" else f"{own}; {said}"


def _own_anchor(log: LogView) -> str:
    if log.facts.has_ended():
        public = ", as the key of its running epoch signed: that epoch may once have been longer"
        return "the log has ended" + ("" if log.facts.with_v else public)
    if not log.facts.chains:
        return "nothing"
    if log.expected.last is not None:
        return f"named by the caller: chain {log.expected.last}"
    counted = log.counted
    if counted is not None and counted[0] == log.newest:
        return f"the head, which counts everything before {dotted(counted)}"
    return "nothing"


def bad_head_findings(log: LogView) -> Iterator[Finding]:
    """Give the findings about a head that does not hold."""
    bad, anchors = log.expected.heads.bad, log.anchors
    if log.facts.log_id in bad:
        yield log.finding(Kind.BAD_HEAD, Weight.FAILED, bad[log.facts.log_id])
    if anchors.head is None or not log.facts.with_v:
        return
    if anchors.head_holds is None and log.facts.narrowed:
        return
    if not anchors.head_holds:
        detail = "the head's mac does not hold: it was forged, or it belongs to another log"
        yield log.finding(Kind.BAD_HEAD, Weight.FAILED, detail, anchors.head.at)


def end_findings(log: LogView) -> Iterator[Finding]:
    """Give the findings about the ends of the chains that are here, and about a head that should be there."""
    numbers = log.facts.numbers
    for chain, later in zip(numbers, [*numbers[1:], 0], strict=True):
        if log.facts.ending(chain) == "ended":
            if later:
                yield _after_the_end(log, chain, later)
            elif chain == log.newest and unwitnessed(log) and Kind.OPEN_END not in log.expected.allow:
                yield _open_end(log, chain)
        elif log.judges(chain) and not (chain == log.judged[-1] and log.is_cut()):
            # A cut end is reported as truncated, or filled by lines that are reported as bad.
            yield from _end(log, chain)
    if why := log.expected.heads.absent.get(log.facts.log_id):
        # As grave as an open end, if it is what the end hangs on.
        needless = log.facts.has_ended() or Kind.OPEN_END in log.expected.allow
        yield log.finding(Kind.NO_HEAD, Weight.NOTE if needless else Weight.INCOMPLETE, why, count=0)


def _after_the_end(log: LogView, chain: int, later: int) -> Finding:
    facts = log.facts.chains[later]
    detail = f"a chain stands here although chain {chain} ended the log"
    return log.finding(Kind.BAD_STATEMENT, Weight.FAILED, detail, facts.first, place=facts.first_place)


def _end(log: LogView, chain: int) -> Iterator[Finding]:
    """Give the finding about the end of one chain, which is not cut."""
    ending, openings, counted = log.facts.ending(chain), log.facts.openings, log.counted
    counted_here = counted is not None and counted[0] == chain
    ends = [openings.named.get(chain), counted if counted_here else None]
    named = max((end for end in ends if end is not None), default=None)
    passed = openings.passes_over(chain)
    # A witness that was asked for is not replaced by a head.
    unsaid = chain == log.newest and unwitnessed(log) is not None
    anchored = not unsaid and (counted_here or (chain == log.newest and is_witnessed(log)))
    if not anchored and (unsaid or chain == log.newest or (ending is None and not passed and named is None)):
        if Kind.OPEN_END not in log.expected.allow:
            yield _open_end(log, chain)
    elif (passed or ending is None) and (named is None or log.facts.reaches(named)):
        yield _unclean_end(log, chain)


def _open_end(log: LogView, chain: int) -> Finding:
    facts = log.facts.chains[chain]
    if chain == log.newest and (why := unwitnessed(log)):
        detail = f"the witnesses do not vouch for the end: {why}"
    elif chain != log.newest:
        detail = f"nothing says where chain {chain} ended"
    elif not log.facts.with_v:
        detail = "nothing anchors the end: with the public key alone that takes the end of the log itself"
    elif log.counted:
        detail = f"the head counts chain {log.counted[0]}, which is older: it was rolled back, or is not the newest"
    else:
        detail = "nothing anchors the end, so lines may have been cut off: give the key store or the head"
    if chain == log.newest:
        detail += _reached(log)
    return log.finding(Kind.OPEN_END, Weight.INCOMPLETE, detail, facts.last, place=facts.last_place, count=0)


def _reached(log: LogView) -> str:
    """Say what the newest pin says of the end: no more than that it lies no earlier."""
    if not log.anchors.pins:
        return ""
    newest = max(log.anchors.pins, key=lambda pin: pin.at)
    when = f"when it was seen on {newest.seen}" if newest.seen else "when it was pinned"
    return f"; the log reached at least {dotted(newest.at)} {when}"


def _unclean_end(log: LogView, chain: int) -> Finding:
    facts = log.facts.chains[chain]
    detail = "the writer did not close this chain (crash, kill, or still running): up to 1 s of lines may be lost"
    if chain == log.facts.numbers[-1] and log.facts.log_id in log.expected.heads.written:
        detail = f"this chain {BEING_WRITTEN}: it is not closed yet, and up to 1 s of lines may not be here"
    weight = Weight.NOTE
    if not log.facts.with_v and not (chain == log.newest and is_witnessed(log)):
        weight = Weight.INCOMPLETE
        detail += "; only the verification key can check what a later opening says of it"
    return log.finding(Kind.UNCLEAN_END, weight, detail, facts.last, place=facts.last_place, count=0)

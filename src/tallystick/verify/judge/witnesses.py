"""Signed texts that lines are held against, and what witnesses say of the end (spec sections 7 and 11)."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from tallystick import _core
from tallystick.verify.catalogue import Kind, Weight
from tallystick.verify.findings import when
from tallystick.verify.judge.facts import LogFacts
from tallystick.verify.judge.view import LogView
from tallystick.verify.positions import dotted
from tallystick.verify.report import Finding, WitnessReport
from tallystick.verify.witnesses import Shown, Word

__all__ = ["is_witnessed", "said_by_witnesses", "unwitnessed", "witness_findings", "witness_reports"]

_MOST_TEXTS = 1000  # of one witness that a report holds


def witness_findings(log: LogView) -> Iterator[Finding]:
    """Give the findings about signed texts, and about witnesses that say nothing."""
    shown = [(one, standing) for one, standing in log.shown if _is_judged(log, one)]
    for one, standing in shown:
        if (found := _found(log, one, standing)) is not None:
            yield found
    yield from _conflicts(log, [one for one, standing in shown if standing not in ("lacking", "false")])
    for word in _words(log):
        if word.trouble is not None:
            weight = Weight.INCOMPLETE if unwitnessed(log) else Weight.NOTE
            detail = f"the witness {word.witness.key.name} says nothing: {word.trouble}"
            yield log.finding(Kind.NO_WITNESS, weight, detail, count=0)


def _is_judged(log: LogView, one: Shown) -> bool:
    chain = one.parsed.chain
    return log.facts.covers_chain(chain) and chain <= log.ceiling and (not log.facts.chains or one.until > log.floor)


def _found(log: LogView, one: Shown, standing: _core.Standing) -> Finding | None:
    at, what = one.until, _what(one)
    if standing == _core.Standing.CONTRADICTS:
        detail = f"{what}, which is authentic and cannot be true together with the log that is here"
        return log.finding(Kind.FORK, Weight.FAILED, detail, at)
    if standing == _core.Standing.ALTERED:
        detail = f"{what}: one or more of the lines that it covers were changed"
        first, last = (*at[:2], 0), (*at[:2], max(one.parsed.n - 1, 0))
        return log.finding(Kind.ALTERED, Weight.FAILED, detail, first, last, count=one.parsed.n)
    if standing == _core.Standing.UNMET:
        if one.witness is not None and not _reaches(log.facts, one):
            return None  # what was received and is not here is reported as truncated or missing
        detail = f"{what}, which cannot be checked: lines that it covers are not here as they were written"
        return log.finding(Kind.UNMET_HEAD, Weight.INCOMPLETE, detail, at, count=0)
    if standing in (_core.Standing.LACKING, _core.Standing.FALSE):
        lacking = standing == _core.Standing.LACKING
        why = "the `open` of an older generation is lacking" if lacking else "it does not hold"
        return log.finding(Kind.UNMET_HEAD, Weight.INCOMPLETE, f"{what}, which cannot be checked: {why}", at, count=0)
    return None


def _what(one: Shown) -> str:
    if one.witness is None or one.time is None:
        return f"{one.source} has a signed {one.parsed.verb} before {dotted(one.until)}"
    return (
        f"the witness {one.witness} received a signed {one.parsed.verb} before {dotted(one.until)} at {when(one.time)}"
    )


def _reaches(facts: LogFacts, one: Shown) -> bool:
    return one.parsed.chain in facts.chains and facts.reaches(one.until)


def _conflicts(log: LogView, shown: Sequence[Shown]) -> Iterator[Finding]:
    """Give the findings about signed texts that cannot both be true, whatever the lines are."""
    ranks = {_core.Verb.OPEN: 0, _core.Verb.HEAD: 1, _core.Verb.CHECKPOINT: 2}
    said = {one.text: one for one in reversed(shown)}
    order = sorted(
        said.values(), key=lambda one: (*one.until[:1], one.parsed.epoch, one.parsed.n, ranks[one.parsed.verb])
    )
    for one, other in pairwise(order):
        if _core.accept_text([one.text], other.text, [])[0] == _core.Decision.FORK:
            detail = f"{_what(one)}, and {_what(other)}: both are authentic, and only one of them can be true"
            yield log.finding(Kind.FORK, Weight.FAILED, detail, one.until)


# -- the end


def _words(log: LogView) -> list[Word]:
    return [word for word in log.expected.witnesses.words if word.log == log.facts.number]


def unwitnessed(log: LogView) -> str | None:
    """Say why the witnesses that were asked for do not vouch for the end; None if they do, or if none was."""
    words = _words(log)
    troubles = [f"the witness {word.witness.key.name} {why}" for word in words if (why := _trouble(log, word))]
    needed = len(words) if log.expected.witnesses.quorum is None else log.expected.witnesses.quorum
    return "; ".join(troubles) if words and len(words) - len(troubles) < needed else None


def is_witnessed(log: LogView) -> bool:
    """Do the witnesses that were asked for vouch for the end?"""
    return bool(_words(log)) and unwitnessed(log) is None


def _trouble(log: LogView, word: Word) -> str | None:
    """Say why a witness does not vouch for the end. Whether the log meets what it received is judged elsewhere."""
    if word.trouble is not None:
        return "says nothing"
    newest = word.newest
    if newest is None or newest.time is None:
        return "has heard nothing of this log"
    if newest.parsed.ending == "ended":
        return None
    fresh = log.expected.witnesses.fresh * 1000
    if word.now - newest.time > fresh:
        return f"has heard nothing of this log since {when(newest.time)}"
    if newest.time - newest.parsed.time > fresh:
        return f"received at {when(newest.time)} what the log said at {when(newest.parsed.time)}: it was held back"
    return None


def witness_reports(log: LogView) -> tuple[WitnessReport, ...]:
    """Return what each witness said that was asked for."""
    shown = [one for one in log.expected.witnesses.shown if one.log == log.facts.number]
    return tuple(
        WitnessReport(
            word.witness.key.name,
            str(word.witness.key),
            word.witness.url,
            word.trouble or _trouble(log, word),
            dotted(word.newest.until) if word.newest is not None else None,
            word.newest.time if word.newest is not None else None,
            tuple(one.text.decode("ascii") for one in shown if one.witness == word.witness.key.name)[-_MOST_TEXTS:],
        )
        for word in _words(log)
    )


def said_by_witnesses(log: LogView) -> str | None:
    """Say up to where the witnesses received the log, and when; None if none vouches for the end."""
    if not is_witnessed(log):
        return None
    newest = [word.newest for word in _words(log) if word.newest is not None]
    names = sorted({one.witness for one in newest if one.witness is not None})
    last = max(newest, key=lambda one: (one.until, one.time or 0))
    who = f"the witness {names[0]}" if len(names) == 1 else f"the witnesses {', '.join(names)}"
    return f"{who}, by whom everything before {dotted(last.until)} was received at {when(last.time or 0)}"

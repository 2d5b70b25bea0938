"""A verification from beginning to end: keys, exceptions, pins, heads and files, facts, judgement, report.

The order matters where a log is being written: pins and heads are read before the files, so that lines which come
meanwhile stand after them and are not missing.
"""

import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache

from tallystick import _core
from tallystick.errors import ReportError, explain
from tallystick.verify.adopted import read_adopted
from tallystick.verify.anchors import Anchors, resolve
from tallystick.verify.catalogue import Kind, Weight
from tallystick.verify.columns import Column
from tallystick.verify.disk import on_disk
from tallystick.verify.ends import finished
from tallystick.verify.engine import scan_all
from tallystick.verify.excepting import Excepting
from tallystick.verify.excerpts import with_excerpts
from tallystick.verify.expectations import Expectations, Retention
from tallystick.verify.findings import folded, gravest_first
from tallystick.verify.ground import Ground
from tallystick.verify.heads import DEFAULT_STORE, STORES, Heads, read_heads
from tallystick.verify.inputs import Input
from tallystick.verify.judge import judge
from tallystick.verify.judge.case import Case
from tallystick.verify.judge.facts import LogFacts
from tallystick.verify.judge.retention import days
from tallystick.verify.judge.view import LogView
from tallystick.verify.kin import read_kin
from tallystick.verify.looking import Inputs, Unread
from tallystick.verify.memory import Memory
from tallystick.verify.moment import Moment, read_moment
from tallystick.verify.partials import contradictions, write_partial
from tallystick.verify.pins import Pin, remember
from tallystick.verify.report import ExceptionUse, Finding, LogReport, Remembered, Report, Verdict
from tallystick.verify.request import Request, StrPath
from tallystick.verify.source import Source
from tallystick.verify.sums import Sums
from tallystick.verify.unseen import unseen
from tallystick.verify.witnesses import Witnesses, asking, read_witnesses

__all__ = ["Verified", "carried_out", "carry_out", "keep_pins", "looked"]


@dataclass(frozen=True, slots=True)
class Verified:
    """What was verified, with all that is needed to read it once more; its files are open."""

    report: Report
    facts: _core.Facts
    logs: _core.Keys
    inputs: list[Input]
    envelope: _core.Envelope | None
    heads: Heads


def carry_out(asked: Request) -> Report:
    """Verify as asked; `verify` says what it raises."""
    with carried_out(asked) as verified:
        return verified.report


@contextmanager
def carried_out(asked: Request, sums: Sums | None = None) -> Iterator[Verified]:
    """Verify as asked; the files stay open in the block. `sums` takes the sum of each chunk."""
    began = time.perf_counter()
    ground = Ground.of(asked)
    with looked(ground, sums, began=began) as verified:
        report = verified.report
        if asked.pins_directory is not None and report.verdict is Verdict.OK:
            report = keep_pins(report, asked.pins_directory, verified.heads)
        if ground.memory is not None:
            report = _with_memory_written(report, ground.memory)
        if asked.partial is not None:
            _write_partial(asked.partial, ground, report)
        yield replace(verified, report=report)


@contextmanager
def looked(ground: Ground, sums: Sums | None = None, *, began: float | None = None) -> Iterator[Verified]:
    """Look once; the files stay open in the block. Nothing is written.

    Args:
        ground: What it stands on.
        sums: Takes the sum of each chunk.
        began: When it began, if not now: what `time.perf_counter` said.
    """
    asked, logs, excepting = ground.asked, ground.logs, ground.excepting
    now, clock = time.time_ns() // 1_000_000, time.perf_counter() if began is None else began
    pins = _pins(ground)
    # Before the files are read: what comes meanwhile is then after it, and not missing.
    witnesses = read_witnesses(
        logs,
        asked.witnesses,
        asked.receipts,
        asked.hear or asking(asked.ask),
        now,
        fresh=asked.fresh,
        quorum=asked.quorum,
    )
    digests = asked.digests or asked.partial is not None
    paths = (os.fspath(path) for path in asked.paths)
    column = Column.named(asked.envelope, asked.field)
    files = Inputs(paths, ground.envelope, digests=digests, taken=asked.taken, known=ground.known, column=column)
    moment = _moment(ground, pins, files, sums, witnesses)
    try:
        expected = _expectations(asked, moment, pins, excepting, witnesses, now)
        anchors = resolve(logs, expected)
        facts = finished(moment, logs, expected, anchors)
        case = _case(facts, moment, logs, expected, anchors)
        judgement = judge(case)
        disagreeing = contradictions(ground.given) if ground.given is not None else ()
        single, uses = excepting.apply(itertools.chain(disagreeing, judgement.findings()), facts.excepted)
        findings = gravest_first(with_excerpts(list(folded(single, asked.max_findings)), moment.inputs))
        remembered = _remembered(ground)
        report = Report(
            Verdict.of(finding.weight for finding in findings),
            tuple(findings),
            tuple(_with_verdict(log, findings) for log in judgement.logs),
            uses,
            tuple(one.path for one in moment.inputs),
            lines=sum(chunk.counted for chunk in case.source.chunks),
            unsealed=case.source.facts.unsealed,
            size=sum(chunk.size for chunk in case.source.chunks),
            time=now,
            seconds=time.perf_counter() - clock,
            allowed=_allowed(asked, uses),
            on_disk=on_disk(moment.inputs) if asked.digests else (),
            keys=ground.keys,
            remembered=remembered,
        )
        yield Verified(report, facts, logs, moment.inputs, ground.envelope, moment.heads)
    finally:
        files.close()


# -- what was asked


def _pins(ground: Ground) -> tuple[Pin, ...]:
    log_ids = {log_id for _, log_id, *_ in ground.logs.logs()}
    given = tuple(Pin.parse(pin.encode()) for pin in ground.asked.pins)
    if unknown := {pin.log_id for pin in given} - log_ids:
        raise ReportError(f"a pin of log id {min(unknown)} was given, but no key of that log")
    return given + (ground.pins.pins(log_ids) if ground.pins is not None else ())


def _expectations(
    asked: Request, moment: Moment, pins: tuple[Pin, ...], excepting: Excepting, witnesses: Witnesses, now: int
) -> Expectations:
    return Expectations(
        moment.heads,
        pins,
        asked.start,
        asked.expect,
        asked.allow,
        asked.subset,
        asked.last,
        unread=unseen(moment.unread, moment.inputs, moment.chunks, right=asked.seen),
        duplicates=excepting.duplicates(),
        witnesses=witnesses,
        retention=Retention(asked.retention, now) if asked.retention is not None else None,
    )


# -- what was found


class _Counted:
    """Reports the progress of a scan: the bytes on the disk that were read, and those there are."""

    def __init__(self, inputs: Iterable[Input], progress: Callable[[int, int], None] | None) -> None:
        self._total, self._done, self._progress = sum(one.size for one in inputs), 0, progress

    def __call__(self, size: int) -> None:
        self._done += size
        if self._progress is not None:
            self._progress(self._done, self._total)


def _moment(ground: Ground, pins: tuple[Pin, ...], files: Inputs, sums: Sums | None, witnesses: Witnesses) -> Moment:
    """Read heads, files and lines. Heads come first: lines that come meanwhile are then after them, not missing."""
    asked, logs = ground.asked, ground.logs
    # The default key store must still have the head that it had when a pin was kept.
    had = (pin for pin in pins if pin.end == DEFAULT_STORE)
    expected = {pin.log_id: f"it had its head when a pin was kept, on {pin.seen}" for pin in had}

    had_heads = [pin.log_id for pin in pins if asked.seen and pin.end in STORES]
    shown = [(one.log, one.text) for one in witnesses.shown]

    def scan(inputs: list[Input], heads: Heads) -> _core.Verification:
        _expect_chains(asked, logs, heads, pins, witnesses)
        ground.scan_elsewhere(inputs, _Counted(inputs, asked.progress))
        return scan_all(
            logs,
            inputs,
            ground.envelope,
            jobs=asked.jobs,
            progress=_Counted(inputs, asked.progress),
            sums=sums,
            memory=ground.memory,
            shown=shown,
            beside=asked.beside(logs, ground.envelope) if asked.beside is not None else None,
        )

    def heads() -> Heads:
        return read_heads(logs, asked.store, asked.head, expected, had_heads)

    # A head in a file is read once, for that may be a pipe.
    again = asked.head is None
    return read_moment(files, logs, heads if again else cache(heads), scan, patient=again)


def _expect_chains(asked: Request, logs: _core.Keys, heads: Heads, pins: tuple[Pin, ...], witnesses: Witnesses) -> None:
    """Let the chains that the caller knows of be looked at, however high their numbers are."""
    named = [(one.log_id, one.at[0]) for one in heads.found.values()]
    named += [(pin.log_id, pin.at[0]) for pin in pins]
    for one in witnesses.shown:
        if _core.shown_holds(logs, one.log, one.text):
            logs.expect_chain(one.log, one.parsed.chain)
    for number, (_, log_id, *_) in enumerate(logs.logs()):
        for chain in [chain for owner, chain in named if owner == log_id] + [max(asked.start or 0, asked.last or 0)]:
            logs.expect_chain(number, chain)


def _unread(moment: Moment) -> list[Unread]:
    """Return what could not be read, or not to its end, and what was passed over."""
    return [*moment.unread, *(Unread(one.path, one.trouble) for one in moment.inputs if one.trouble)]


def _case(
    facts: _core.Facts, moment: Moment, logs: _core.Keys, expected: Expectations, anchors: Sequence[Anchors]
) -> Case:
    """Put together what is judged."""
    source = Source(facts, logs, moment.inputs, moment.chunks)
    views = [LogView.of(LogFacts.of(source, number), anchors[number], expected) for number in range(len(anchors))]
    adopted = read_adopted(facts, len(source.labels), moment.inputs)
    kin = read_kin(facts, [max(view.facts.numbers, default=0) for view in views], adopted)
    return Case(source, views, facts.duplicates(), facts.torn(), _unread(moment), expected, adopted, kin)


# -- what is reported


def _with_verdict(log: LogReport, findings: Iterable[Finding]) -> LogReport:
    """Return the report on a log with its verdict: a finding about no log may be about this one."""
    return replace(log, verdict=Verdict.of(one.weight for one in findings if one.log in (log.name, None)))


def _remembered(ground: Ground) -> Remembered | None:
    """Take what was found for what is remembered; return what an earlier run had read, of which an engine is none."""
    found = ground.memory.keep() if ground.memory is not None else None
    return found if ground.asked.engine is None or ground.asked.resume is not None else None


def _allowed(asked: Request, uses: tuple[ExceptionUse, ...]) -> tuple[str, ...]:
    """Say what the caller allowed: it stands in the first line of every report."""
    said = [f"allowed: {', '.join(sorted(asked.allow))}"] if asked.allow else []
    said += [f"from chain {asked.start}"] if asked.start is not None else []
    said += [f"to chain {asked.last}"] if asked.last is not None else []
    said += [f"older chains may be gone after {days(asked.retention)}"] if asked.retention is not None else []
    said += ["lines were left out"] if asked.subset else []
    used = sum(one.use == "used" for one in uses)
    said += [f"{used} exception{'' if used == 1 else 's'} used"] if used else []
    return tuple(said)


def keep_pins(report: Report, directory: StrPath, heads: Heads) -> Report:
    """Keep the pins of a report that is `ok`; that it cannot be done takes nothing from what was verified."""
    try:
        for log in report.logs:
            if log.pin is not None:
                end = heads.origin if log.log_id in heads.found else "no head"
                remember(directory, [log.pin.encode()], end=end, path=report.files[0])
    except ReportError as error:
        unkept = Finding(Kind.PIN_NOT_KEPT, Weight.NOTE, explain(error), count=0)
        return replace(report, findings=(*report.findings, unkept))
    return report


def _write_partial(path: StrPath, ground: Ground, report: Report) -> None:
    assert ground.given is not None
    write_partial(
        path,
        ground.given.records,
        logs=ground.logs,
        context=ground.context,
        weakened=ground.asked.weakened(),
        paths=[os.fspath(path) for path in ground.asked.paths],
        files=report.files,
        time=report.time,
    )


def _with_memory_written(report: Report, memory: Memory) -> Report:
    """Write what is remembered; that it cannot be done takes nothing from what was verified."""
    lost = tuple(Finding(Kind.MEMORY_LOST, Weight.NOTE, what, count=0) for what in memory.write())
    return replace(report, findings=(*report.findings, *lost))

"""Verification of sealed logs (spec section 7).

>>> import tempfile, tallystick
>>> with tempfile.TemporaryDirectory() as d:
...     place = {"store": f"file:{d}/store"}
...     _ = tallystick.create("app", **place, custody=f"master-key:{d}/master.key", key_file=f"{d}/app.key")
...     with tallystick.open("app", output=f"{d}/app.log", **place) as log:
...         log.write("user=7 action=login")
...     report = tallystick.verify([f"{d}/app.log"], keys=[f"{d}/app.key"], **place)
>>> report.verdict, report.logs[0].sealed, report.findings
(<Verdict.OK: 'ok'>, 3, ())
"""

import datetime
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from tallystick import _core
from tallystick.errors import ReportError
from tallystick.verify.digest import on_disk
from tallystick.verify.engine import scan_all
from tallystick.verify.exceptions import read_exceptions
from tallystick.verify.findings import judge
from tallystick.verify.heads import DEFAULT_STORE, Heads, read_heads
from tallystick.verify.inputs import Input, named_envelope
from tallystick.verify.keys import labels, read_keys
from tallystick.verify.looking import Inputs
from tallystick.verify.moment import read_moment
from tallystick.verify.pins import Pin, read_pins, remember
from tallystick.verify.report import (
    ChainReport,
    EpochReport,
    ExceptionUse,
    FileReport,
    Finding,
    KeyReport,
    LogReport,
    Report,
    Verdict,
    Weight,
)
from tallystick.verify.source import Demand

__all__ = [
    "ALLOWED",
    "ChainReport",
    "EpochReport",
    "ExceptionUse",
    "FileReport",
    "Finding",
    "KeyReport",
    "LogReport",
    "Report",
    "Verdict",
    "Weight",
    "verify",
]

ALLOWED = ("duplicate", "narrowed", "open end", "reordered")
"""Kinds of findings that a caller may allow."""

_NO_LOG = 2**32 - 1  # number of a log that is not verified here


def verify(
    paths: Iterable[str | os.PathLike[str]],
    *,
    keys: Iterable[str | os.PathLike[str]] = (),
    public: Iterable[str | os.PathLike[str]] = (),
    store: str | None = None,
    head: str | os.PathLike[str] | None = None,
    pins: Iterable[str] = (),
    pins_directory: str | os.PathLike[str] | None = None,
    start: int | None = None,
    last: int | None = None,
    expect: Iterable[str] = (),
    allow: Iterable[str] = (),
    subset: bool = False,
    envelope: str | None = None,
    field: str | None = None,
    added: Iterable[str] = (),
    exceptions: str | os.PathLike[str] | None = None,
    max_findings: int = 100,
    jobs: int | None = None,
    digests: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Verify sealed lines and say what happened to them.

    Args:
        paths: What holds them, in any order: files, plain or compressed (gzip, zstd, xz, bz2, lz4), archives
            (tar, zip), directories, patterns, `-` for standard input. They are only read.
        keys: Files with verification keys.
        public: Public files.
        store: URL of the key store that has the heads; `none` for none. Without `store` and `head`, the key store that
            TALLYSTICK_STORE names is asked, else the default one if it has the log.
        head: File with a head, as `tallystick head` prints it.
        pins: Pin texts, `tallypin …`: statements that were verified before, or that were got elsewhere.
        pins_directory: Directory with pins that must be met, in which a run with the verdict `ok` leaves the newest
            statements that it saw.
        start: Number of the chain that the log begins with here, if older ones were deleted by right.
        last: Number of the chain that the log ends with here, if newer ones are elsewhere.
        expect: Names of logs of which lines must be there; of one of several with the same name, NAME.LOGID.
        allow: Kinds of findings that are allowed: `duplicate`, `narrowed`, `open end`, `reordered`.
        subset: Lines were filtered out: gaps are told and not judged. Takes verification keys.
        envelope: What a carrier wrapped the lines in: `docker`, `cri`, `rfc3164`, `rfc5424`, `journal-export`,
            `journal-json`, `json` (with `field`) or `prefix:any`.
        field: Name of the JSON field that holds the lines; dots lead into objects, `[]` into each element of an array.
        added: Names of the members that a carrier added to JSON lines; they are taken out, and not covered.
        exceptions: Exceptions file: findings that are known, with reasons.
        max_findings: Findings of one kind, weight and log that are told one by one; the others are counted.
        jobs: Threads; the default is one for each processor.
        digests: Take the SHA-256 of each file while it is read, for the record.
        progress: Called with the bytes read so far and those there are, on the disk.

    Returns:
        The report. Look at its verdict. What could not be read is a finding in it.

    Raises:
        FormatError: A key, head, pin or exceptions file is none.
        KeyStoreError: The key store that was named cannot be read.
        ReportError: Nothing can be read, no key was given, or the demands contradict each other.
    """
    began, today = time.time_ns() // 1_000_000, datetime.datetime.now(datetime.UTC).date()
    clock = time.perf_counter()
    _check_demands(allow := frozenset(allow), start, last, max_findings)
    logs, given = read_keys(keys, public)
    with_v = {label: secret for label, (_, _, secret, *_) in zip(labels(logs), logs.logs(), strict=True)}
    _check_expected(expect := frozenset(expect), logs)
    if subset and not all(with_v.values()):
        raise ReportError(
            "a filtered log can only be verified with verification keys: the public key judges whole epochs"
        )
    wrapping = named_envelope(envelope, field)
    logs.add_members(list(added))
    excepting = read_exceptions(exceptions) if exceptions is not None else None
    if excepting is not None:
        numbers = {label: number for number, label in enumerate(with_v)}
        logs.except_lines(
            [
                (at and (numbers.get(log or "", _NO_LOG), at), digest)
                for log, at, digest in excepting.lines(with_v, today)
            ]
        )
    # Heads and pins are read before the log: lines that come meanwhile are then behind them, not missing.
    pinned = _pins(pins, pins_directory, {log_id for _, log_id, *_ in logs.logs()})
    expected = _expected_heads(pinned)

    def scan(inputs: list[Input], heads: Heads) -> _core.Summary:
        _expect_chains(logs, heads, pinned, max(start or 0, last or 0))
        total, done = sum(one.size for one in inputs), 0

        def told(size: int) -> None:
            nonlocal done
            done += size
            if progress is not None:
                progress(done, total)

        return scan_all(logs, inputs, wrapping, jobs=jobs, progress=told)

    files = Inputs((os.fspath(path) for path in paths), wrapping, digests=digests)
    moment = read_moment(files, logs, lambda: read_heads(logs, store, head, expected), scan, patient=head is None)
    heads, inputs, summary = moment.heads, moment.inputs, moment.summary
    uses: tuple[ExceptionUse, ...] = ()
    try:

        def excepted(findings: Iterable[Finding]) -> Iterable[Finding]:
            nonlocal uses
            if excepting is None:
                return findings
            kept, uses = excepting.apply(findings, with_v, today, summary.excepted)
            return kept

        doubled = excepting.doubled(with_v, today) if excepting is not None else {}
        demand = Demand(heads, pinned, start, expect, allow, subset, last, doubled=doubled)
        findings, reports = judge(summary, logs, inputs, moment.unread, demand, excepted, max_findings)
        read = on_disk(inputs)
    finally:
        files.close()
    chunks = summary.chunks()
    report = Report(
        Verdict.of(finding.weight for finding in findings),
        tuple(findings),
        tuple(reports),
        uses,
        tuple(one.path for one in inputs),
        lines=sum(chunk.counted for chunk in chunks),
        unsealed=summary.unsealed,
        size=sum(chunk.size for chunk in chunks),
        time=began,
        seconds=time.perf_counter() - clock,
        allowed=_allowed(demand, uses),
        on_disk=read,
        keys=given,
    )
    if pins_directory is not None and report.verdict is Verdict.OK:
        return _with_pins_kept(report, pins_directory, heads)
    return report


def _with_pins_kept(report: Report, directory: str | os.PathLike[str], heads: Heads) -> Report:
    """Keep the pins of a report; that it cannot be done takes nothing from what was verified."""
    try:
        for log in report.logs:
            if log.pin is not None:
                end = heads.origin if log.log_id in heads.texts else "no head"
                remember(directory, [log.pin.encode()], end=end, path=report.files[0])
    except ReportError as error:
        return replace(report, findings=(*report.findings, Finding("pin not kept", Weight.NOTE, str(error), count=0)))
    return report


def _allowed(demand: Demand, uses: tuple[ExceptionUse, ...]) -> tuple[str, ...]:
    """Say what the caller allowed: it stands in the first line of every report."""
    said = [f"allowed: {', '.join(sorted(demand.allow))}"] if demand.allow else []
    said += [f"from chain {demand.start}"] if demand.start is not None else []
    said += [f"to chain {demand.last}"] if demand.last is not None else []
    said += ["lines were left out"] if demand.subset else []
    used = sum(one.use == "used" for one in uses)
    said += [f"{used} exception{'' if used == 1 else 's'} used"] if used else []
    return tuple(said)


def _check_demands(allow: frozenset[str], start: int | None, last: int | None, max_findings: int) -> None:
    if unknown := allow - set(ALLOWED):
        raise ReportError(f"{sorted(unknown)[0]!r} cannot be allowed; only {', '.join(ALLOWED)} can")
    if start is not None and not 1 <= start < 2**32:
        raise ReportError(f"chains are numbered from 1 on; the log cannot begin with chain {start}")
    if last is not None and not (start or 1) <= last < 2**32:
        raise ReportError(f"the log cannot end with chain {last}; chains are numbered from {start or 1} on here")
    if max_findings < 1:
        raise ReportError("at least one finding of each kind must be told")


def _check_expected(expect: frozenset[str], logs: _core.Keys) -> None:
    known = labels(logs)
    for name in sorted(expect - set(known)):
        several = [label for label, (own, *_) in zip(known, logs.logs(), strict=True) if own == name]
        what = f"several logs have that name: say {' or '.join(several)}" if several else "no key of it was given"
        raise ReportError(f"the log {name} is expected, but {what}")


def _expected_heads(pinned: tuple[Pin, ...]) -> dict[str, str]:
    """Return the logs whose head the default key store had when a pin was kept, and what says so."""
    had = (pin for pin in pinned if pin.end == DEFAULT_STORE)
    return {_core.parse_pin(pin.text)[0]: f"it had its head when a pin was kept, on {pin.seen}" for pin in had}


def _expect_chains(logs: _core.Keys, heads: Heads, pinned: tuple[Pin, ...], said: int) -> None:
    """Let the chains that the caller knows of be looked at, however high their numbers are."""
    named = [_core.parse_head(text)[:2] for text in heads.texts.values()]
    named += [_core.parse_pin(pin.text)[:2] for pin in pinned]
    for number, (_, log_id, *_) in enumerate(logs.logs()):
        for chain in [at[0] for owner, at in named if owner == log_id] + [said]:
            logs.expect_chain(number, chain)


def _pins(pins: Iterable[str], directory: str | os.PathLike[str] | None, log_ids: set[str]) -> tuple[Pin, ...]:
    given = tuple(Pin(pin.encode()) for pin in pins)
    if unknown := {_core.parse_pin(pin.text)[0] for pin in given} - log_ids:
        raise ReportError(f"a pin of log id {min(unknown)} was given, but no key of that log")
    return given + (read_pins(directory, log_ids) if directory is not None else ())

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

import os
from collections.abc import Callable, Iterable

from tallystick.verify.catalogue import Kind, Weight, kinds_allowed
from tallystick.verify.job import Engine
from tallystick.verify.report import (
    ChainReport,
    EpochReport,
    ExceptionUse,
    FileReport,
    Finding,
    KeyReport,
    LogReport,
    Remembered,
    Report,
    Verdict,
    WitnessReport,
)
from tallystick.verify.request import Request
from tallystick.verify.run import carry_out
from tallystick.verify.witnesses import FRESH, Ask

__all__ = [
    "ALLOWED",
    "ChainReport",
    "Engine",
    "EpochReport",
    "ExceptionUse",
    "FileReport",
    "Finding",
    "KeyReport",
    "Kind",
    "LogReport",
    "Remembered",
    "Report",
    "Verdict",
    "Weight",
    "WitnessReport",
    "merge",
    "verify",
]

ALLOWED = kinds_allowed()
"""Kinds of findings that a caller may allow."""


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
    resume: str | os.PathLike[str] | None = None,
    rescan: float = 86400.0,
    witnesses: Iterable[str] = (),
    receipts: Iterable[str | os.PathLike[str]] = (),
    fresh: float = FRESH,
    quorum: int | None = None,
    ask: Ask | None = None,
    partial: str | os.PathLike[str] | None = None,
    retention: float | None = None,
    engine: Engine | None = None,
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
        pins: Pin texts, `tallypin …`: statements that were verified before, or obtained elsewhere.
        pins_directory: Directory with pins that must be met, in which a run with the verdict `ok` leaves the newest
            statements that it saw.
        start: Number of the chain that the log begins with here, if older ones were deleted by policy.
        last: Number of the chain that the log ends with here, if newer ones are elsewhere.
        expect: Names of logs of which lines must be there; of one of several with the same name, NAME.LOGID.
        allow: Kinds of findings that are allowed: `duplicate`, `narrowed`, `open end`, `reordered`.
        subset: Lines were filtered out: gaps are reported and not judged. Takes verification keys.
        envelope: What a carrier wrapped the lines in: `docker`, `cri`, `rfc3164`, `rfc5424`, `journal-export`,
            `journal-json`, `json` (with `field`), `prefix:any` or `parquet` (with `field`).
        field: Name of the JSON field that holds the lines; dots lead into objects, `[]` into each element of an array.
            With `parquet` the column, which need not be named where it is the only one of text.
        added: Names of the members that a carrier added to JSON lines; they are taken out, and not covered.
        exceptions: Exceptions file: findings that are known, with reasons.
        max_findings: Findings of one kind, weight and log that are listed one by one; the others are counted.
        jobs: Threads; the default is one for each processor.
        digests: Take the SHA-256 of each file while it is read, for the record.
        progress: Called with the bytes read so far and those there are, on the disk.
        resume: Directory in which what was verified is remembered, so that the next run reads only what is new.
        rescan: Seconds within which each remembered byte is read again, a share at each run.
        witnesses: Witnesses that must vouch for the end: `URL=KEY` for one that is asked, `KEY` for one of which only
            receipts count. A key is written as `tallystick witness key` prints it.
        receipts: Files of receipts and signed heads, which the log must meet.
        fresh: Seconds within which a witness must have heard of the log.
        quorum: How many of the witnesses must vouch for the end; all, unless it is said.
        ask: Asks the witness at a URL for the log of a public key, with 32 random bytes; gives the answer's bytes.
        partial: File that what was found is written to, for `merge`.
        retention: Seconds for which chains are kept at least: older ones may be gone, where the log says so and a
            witness or a dated pin shows that the first one here is that old.
        engine: Scans objects elsewhere, as `tallystick.cluster.dask` has it done.

    Returns:
        The report. Look at its verdict. What could not be read is a finding in it.

    Raises:
        FormatError: A key, head, pin or exceptions file is invalid.
        KeyStoreError: The key store that was named cannot be read.
        ReportError: Nothing can be read, no key was given, or the demands contradict each other.
    """
    asked = Request.of(
        paths,
        keys=keys, public=public, store=store, head=head, pins=pins, pins_directory=pins_directory, start=start,
        last=last, expect=expect, allow=allow, subset=subset, envelope=envelope, field=field, added=added,
        exceptions=exceptions, max_findings=max_findings, jobs=jobs, digests=digests, progress=progress,
        resume=resume, rescan=rescan, witnesses=witnesses, receipts=receipts, fresh=fresh, quorum=quorum, ask=ask,
        partial=partial, retention=retention, engine=engine,
    )  # fmt: skip
    return carry_out(asked)


def merge(
    partials: Iterable[str | os.PathLike[str]],
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
    witnesses: Iterable[str] = (),
    receipts: Iterable[str | os.PathLike[str]] = (),
    fresh: float = FRESH,
    quorum: int | None = None,
    ask: Ask | None = None,
    retention: float | None = None,
) -> Report:
    """Verify what partial results are about, and read only what changed since they were made.

    All other arguments are as for `verify`. What a scan depends on must be as it was when the partial results were
    made: `keys`, `public`, `envelope`, `field`, `added` and `exceptions`.

    Args:
        partials: Files that `verify(partial=…)` wrote, in any order, with any share of the inputs in each.

    Returns:
        The report of a run over all inputs that they name, as these are now.

    Raises:
        FormatError: A partial result is damaged, or was made with other keys or options; or as for `verify`.
        KeyStoreError: As for `verify`.
        ReportError: A partial result cannot be read; or as for `verify`.
    """
    asked = Request.of(
        (), partials=partials,
        keys=keys, public=public, store=store, head=head, pins=pins, pins_directory=pins_directory, start=start,
        last=last, expect=expect, allow=allow, subset=subset, envelope=envelope, field=field, added=added,
        exceptions=exceptions, max_findings=max_findings, jobs=jobs, digests=digests, progress=progress,
        witnesses=witnesses, receipts=receipts, fresh=fresh, quorum=quorum, ask=ask, retention=retention,
    )  # fmt: skip
    return carry_out(asked)

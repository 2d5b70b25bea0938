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
import time
from collections.abc import Callable, Iterable

from tallystick import _core, keystore
from tallystick.errors import FormatError, KeyStoreError, ReportError, reason
from tallystick.opening import now
from tallystick.verify.engine import scan_all
from tallystick.verify.findings import judge
from tallystick.verify.inputs import open_inputs
from tallystick.verify.report import (
    ChainReport,
    EpochReport,
    ExceptionUse,
    Finding,
    LogReport,
    Report,
    Verdict,
    Weight,
)
from tallystick.verify.source import Demand

__all__ = [
    "ChainReport",
    "EpochReport",
    "ExceptionUse",
    "Finding",
    "LogReport",
    "Report",
    "Verdict",
    "Weight",
    "verify",
]

ALLOWED = ("duplicate", "open end", "reordered")
"""Kinds of findings that a caller may allow."""


def verify(
    paths: Iterable[str | os.PathLike[str]],
    *,
    keys: Iterable[str | os.PathLike[str]] = (),
    public: Iterable[str | os.PathLike[str]] = (),
    store: str | None = None,
    head: str | os.PathLike[str] | None = None,
    pins: Iterable[str] = (),
    start: int | None = None,
    allow: Iterable[str] = (),
    jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Verify sealed lines and say what happened to them.

    Args:
        paths: Files that hold them, in any order. They are only read.
        keys: Files with verification keys.
        public: Public files.
        store: URL of the key store that has the heads. Without `store` and `head`, the default key store is
            asked if it has the log.
        head: File with a head, as `tallystick head` prints it.
        pins: Pin texts, `tallypin …`: statements that were verified before, or that were got elsewhere.
        start: Number of the chain that the log begins with here, if older ones were deleted by right.
        allow: Kinds of findings that are allowed: `duplicate`, `open end`, `reordered`.
        jobs: Threads; the default is one for each processor.
        progress: Called with the bytes scanned so far and those there are.

    Returns:
        The report. Look at its verdict.

    Raises:
        FormatError: A key or head is none.
        KeyStoreError: The key store that was named cannot be read.
        ReportError: A file cannot be read, or no key was given.
    """
    began = time.perf_counter()
    allowed = frozenset(allow)
    if unknown := allowed - set(ALLOWED):
        raise ReportError(f"{sorted(unknown)[0]!r} cannot be allowed; only {', '.join(ALLOWED)} can")
    if start is not None and not 1 <= start < 2**32:
        raise ReportError(f"chains are numbered from 1 on; the log cannot begin with chain {start}")
    pinned = tuple(pin.encode() for pin in pins)
    logs = _read_keys(keys, public)
    if unknown_pins := {_core.parse_pin(pin)[0] for pin in pinned} - {log_id for _, log_id, *_ in logs.logs()}:
        raise ReportError(f"a pin of log id {min(unknown_pins)} was given, but no key of that log")
    # The head is read before the log: lines that come meanwhile are then behind it, not missing.
    heads, bad_heads = _heads(logs, store, head)
    inputs = open_inputs(os.fspath(path) for path in paths)
    try:
        total, done = sum(one.size for one in inputs), 0

        def told(size: int) -> None:
            nonlocal done
            done += size
            if progress is not None:
                progress(done, total)

        summary = scan_all(logs, inputs, jobs=jobs, progress=told)
        findings, reports = judge(summary, logs, inputs, Demand(heads, bad_heads, pinned, start, allowed))
    finally:
        for one in inputs:
            one.close()
    chunks = summary.chunks()
    return Report(
        Verdict.of(finding.weight for finding in findings),
        tuple(findings),
        tuple(reports),
        (),
        tuple(one.path for one in inputs),
        lines=sum(chunk.counted for chunk in chunks),
        unsealed=sum(finding.count for finding in findings if finding.kind == "unsealed"),
        size=sum(chunk.size for chunk in chunks),
        time=now(),
        seconds=time.perf_counter() - began,
    )


def _read_keys(keys: Iterable[str | os.PathLike[str]], public: Iterable[str | os.PathLike[str]]) -> _core.Keys:
    logs = _core.Keys()
    for path in keys:
        _with_file(os.fspath(path), logs.add_key)
    for path in public:
        _with_file(os.fspath(path), logs.add_public)
    if not logs.logs():
        raise ReportError("no key was given; give the verification key with --key or the public file with --public")
    return logs


def _with_file(path: str, read: Callable[[int], int]) -> None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise ReportError(f"{path}: {reason(error)}; check the name of the key") from error
    try:
        read(fd)
    except FormatError as error:
        raise FormatError(str(error), path=path) from None
    except OSError as error:
        raise ReportError(f"{path}: {reason(error)}; name a key file") from error
    finally:
        os.close(fd)


def _heads(
    logs: _core.Keys, store: str | None, head: str | os.PathLike[str] | None
) -> tuple[dict[str, bytes], dict[str, str]]:
    """Return head texts by log id, and what is wrong with the heads of those that should have one."""
    heads: dict[str, bytes] = {}
    bad: dict[str, str] = {}
    if head is not None:
        if store is not None:
            raise ReportError("a head comes from a file or from a key store; give one of --head and --store")
        text = _read_head(os.fspath(head))
        known = {log_id for _, log_id, with_v, *_ in logs.logs() if with_v}
        owner = _owner(text)
        if owner in known:
            return {owner: text}, {}
        what = f"is of log id {owner}, whose verification key was not given" if owner else "is none"
        return {}, {log_id: f"the head in {os.fspath(head)} {what}" for log_id in known}
    for name, log_id, with_v, *_ in logs.logs():
        if not with_v:
            continue
        try:
            stored = keystore.connect(store).load(name)
            state = _core.read_state(stored.state)
        except (KeyStoreError, FormatError):
            if store is not None:
                raise
            continue  # the default store need not have it
        if state.log_id != log_id:
            if store is not None:
                raise KeyStoreError(f"the log {name} in {store} is another one than that of the key, {log_id}")
        elif stored.head is None:
            bad[log_id] = "the key store should have a head of this log and has none: somebody removed it"
        elif _owner(stored.head) != log_id:
            bad[log_id] = "the head in the key store is none of this log: somebody changed it"
        else:
            heads[log_id] = stored.head
    return heads, bad


def _owner(head: bytes) -> str | None:
    """Return the log id in a head text, None if it is none."""
    try:
        return _core.parse_head(head)[0]
    except FormatError:
        return None


def _read_head(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(4096)
    except OSError as error:
        raise ReportError(f"{path}: {reason(error)}; check the name of the head") from error

"""Audit logs of Acra, a suite that protects databases: verified, and judged by what their scheme can prove.

The arithmetic stands in rust/core/src/acra.rs. Where the scheme proves nothing, the report says so instead of ok.

>>> import pathlib, tempfile
>>> with tempfile.TemporaryDirectory() as d:
...     _ = pathlib.Path(d, "key").write_text("00" * 32)
...     _ = pathlib.Path(d, "audit.log").write_text("a line without integrity\\n")
...     report = verify([f"{d}/audit.log"], key=f"{d}/key")
>>> report.verdict, [finding.kind.value for finding in report.findings]
(<Verdict.FAILED: 'failed'>, ['nothing verified', 'unsealed'])
"""

import itertools
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from tallystick import _core
from tallystick.errors import FormatError, ReportError
from tallystick.verify.catalogue import Kind, Weight
from tallystick.verify.disk import on_disk
from tallystick.verify.excerpts import with_excerpts
from tallystick.verify.findings import folded, unread_findings
from tallystick.verify.inputs import Chunk, Input
from tallystick.verify.looking import Unread, open_inputs
from tallystick.verify.report import Finding, KeyReport, Report, Verdict

__all__ = ["FORMS", "verify"]

FORMS = ("auto", "plaintext", "json", "cef")

_ROTATED = re.compile(r"\.(\d{1,4})(?:\.[a-z0-9]{1,4})?$")  # as logrotate numbers files: the oldest has the highest
_BLOCK = 2**21  # bytes for each thread: chains in them are judged side by side, and memory of such blocks is used again
_MOST = 2**25  # bytes of a block
_FAILED, _INCOMPLETE, _NOTE = Weight.FAILED, Weight.INCOMPLETE, Weight.NOTE

_EVENTS: dict[str, tuple[Kind, Weight, str]] = {
    "altered": (Kind.ALTERED, _FAILED, "its integrity does not match: it was changed, or a line before it was removed"),
    "field": (Kind.ALTERED, _FAILED, "its integrity was changed; the line itself is as it was written"),
    "inserted": (Kind.ALTERED, _FAILED, "it does not belong here: without it the lines after it fit"),
    "reordered": (Kind.REORDERED, _FAILED, "it was written after a line that follows it here"),
    "unsealed": (Kind.UNSEALED, _FAILED, "it has no integrity, so nothing covers it"),
    "stripped": (Kind.UNSEALED, _FAILED, "its integrity was taken away; the line itself is as it was written"),
    "marker added": (Kind.ALTERED, _FAILED, "`chain=new` was put into it: it fits in the chain that goes on here"),
    "marker gone": (Kind.ALTERED, _FAILED, "it begins a chain, but `chain=new` was taken out of it"),
    "rewritten": (
        Kind.ALTERED,
        _FAILED,
        "what its integrity covers fits, but these are not the bytes that Acra writes",
    ),
    "unjudged": (
        Kind.UNCOVERED,
        _INCOMPLETE,
        "after a line that does not match nothing is known up to the end of the chain",
    ),
    "late start": (Kind.LATE_START, _INCOMPLETE, "no chain begins before these lines, so nothing is known of them"),
}

_LIMITS = (
    "chains are not linked to each other: whole ones can be removed, moved or repeated without a trace in the others",
    "what says that a line begins a chain is not covered, and a line without integrity belongs to no chain",
    "every chain starts from the same key: a reader of it, such as the service, can write any line again",
)


@dataclass(frozen=True, slots=True)
class _Chain:
    """A chain that was seen, as the core describes it."""

    file: int
    line: int
    offset: int
    lines: int
    ended: bool
    beginning: bytes
    identity: bytes
    times: tuple[int, int] | None
    fine: bool


def verify(
    paths: Iterable[str | os.PathLike[str]],
    *,
    key: str | os.PathLike[str],
    form: str = "auto",
    accept_scheme_limits: bool = False,
    max_findings: int = 100,
    jobs: int | None = None,
    digests: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Verify audit logs of Acra.

    Args:
        paths: Files, plain or compressed, directories, patterns, or `-`; files of one log, which are put in the order
            of the times that their first lines claim.
        key: File with the key of the audit log: 32 bytes as they are, in hexadecimal or in base64.
        form: `plaintext`, `json` or `cef`; `auto` looks at each line.
        accept_scheme_limits: What the scheme cannot prove for any log is a note, and no reason for `incomplete`.
        max_findings: Findings of one kind and weight that are reported one by one; the others are counted.
        jobs: Threads; the default is one for each processor.
        digests: Take the SHA-256 of each file while it is read, for the record.
        progress: Called with the bytes read so far and those there are, on the disk.

    Returns:
        The report. Look at its verdict. It has no logs: nothing here has a log id.

    Raises:
        FormatError: The key file holds no key.
        ReportError: Nothing can be read.
    """
    if form not in FORMS:
        raise ReportError(f"{form!r} is not a form of an audit log", hint=f"give one of {', '.join(FORMS)}")
    began, clock = time.time_ns() // 1_000_000, time.perf_counter()
    secret, threads = _read_key(os.fspath(key)), jobs or os.cpu_count() or 1
    block = min(_BLOCK * threads, _MOST)
    inputs, unread = open_inputs((os.fspath(path) for path in paths), chunk=block, digests=digests)
    try:
        judge, size = _core.AcraJudge(secret, form), 0
        for one in _in_order(inputs):
            size += _feed(judge, one, threads, sum(each.size for each in inputs), size, progress)
        judged = judge.finish()
        unread = [*unread, *(Unread(one.path, one.trouble) for one in inputs if one.trouble)]
        found = unread_findings(unread)
        single = _single(judged, inputs, accept_scheme_limits=accept_scheme_limits)
        findings = with_excerpts(list(folded(itertools.chain(found, single), max_findings)), inputs)
        read = on_disk(inputs)
    finally:
        for one in inputs:
            one.close()
    findings.sort(key=_gravity)
    return Report(
        Verdict.of(each.weight for each in findings),
        tuple(findings),
        (),
        (),
        tuple(one.path for one in inputs),
        lines=judged.lines,
        unsealed=judged.unsealed,
        size=size,
        time=began,
        seconds=time.perf_counter() - clock,
        on_disk=read,
        keys=(KeyReport(os.fspath(key), "key of Acra"),),
    )


def _gravity(finding: Finding) -> tuple[int, bool, bool]:
    order = [_FAILED, _INCOMPLETE, _NOTE]
    return order.index(finding.weight), finding.kind is not Kind.NOTHING_VERIFIED, finding.path is None


def _read_key(path: str) -> _core.AcraKey:
    with open(path, "rb", buffering=0) as file:
        try:
            return _core.AcraKey.read(file.fileno())
        except FormatError as error:
            raise error.found_in(path) from None


def _feed(
    judge: _core.AcraJudge,
    one: Input,
    threads: int,
    total: int,
    before: int,
    progress: Callable[[int, int], None] | None,
) -> int:
    """Judge a file; return how many bytes it holds, uncompressed."""
    line = size = 0
    for chunk in _chunks(one, threads):
        line += judge.feed(chunk.data, chunk.end, one.number, line, chunk.offset, threads)
        size = chunk.offset + chunk.end
        if progress is not None:
            progress(min(before + size, total), total)
    return size


def _chunks(one: Input, threads: int) -> Iterator[Chunk]:
    """Give the chunks of a file; what is compressed is unpacked while the chunk before it is judged."""
    if threads == 1 or one.is_plain:
        yield from one.chunks()
        return
    from concurrent.futures import ThreadPoolExecutor  # only here: others start faster without it

    chunks = one.chunks()
    with ThreadPoolExecutor(1, thread_name_prefix="tallystick acra") as pool:
        pending = pool.submit(next, chunks, None)
        while (chunk := pending.result()) is not None:
            pending = pool.submit(next, chunks, None)
            yield chunk


def _first_line(one: Input) -> bytes:
    found = next(iter(one.chunks()), None)
    return b"" if found is None else found.data[: found.end].lstrip(b"\r\n").split(b"\n", 1)[0]


def _in_order(inputs: Sequence[Input]) -> list[Input]:
    """Return files in the order in which they were written, as far as their first lines and their numbers say."""
    if len(inputs) == 1:
        return list(inputs)
    times = {one.number: _core.acra_time(_first_line(one)) for one in inputs}

    def age(one: Input) -> tuple[bool, int, int, str]:
        at, rotated = times[one.number], _ROTATED.search(one.path)
        return (at is None, at or 0, -int(rotated[1]) if rotated else 0, one.path)

    return sorted(inputs, key=age)


def _single(judged: _core.AcraFound, inputs: Sequence[Input], *, accept_scheme_limits: bool) -> Iterator[Finding]:
    number, worst = 0, _INCOMPLETE
    while (event := judged.event(number)) is not None:
        what, file, line, offset, count = event
        kind, weight, detail = _EVENTS[what]
        worst = _FAILED if weight is _FAILED else worst
        yield Finding(kind, weight, detail, path=inputs[file].path, line=line + 1, offset=offset, count=count)
        number += 1
    if not judged.good:
        # With another key all chains look as if their first lines were altered, and that may be what was done.
        yield Finding(Kind.NOTHING_VERIFIED, worst, _nothing(judged), count=judged.lines)
        return
    beyond_proof = _NOTE if accept_scheme_limits else _INCOMPLETE
    for chain in _chains(judged):
        if not chain.ended:
            detail = "this chain has no end that holds: lines may have been cut off there"
            yield _at(chain, inputs, Kind.OPEN_END, _INCOMPLETE, detail)
    yield from _repeated(_chains(judged), inputs, beyond_proof)
    yield from _backwards(_chains(judged), inputs)
    for limit in _LIMITS:
        yield Finding(Kind.SCHEME_LIMIT, beyond_proof, limit, count=0)


def _nothing(judged: _core.AcraFound) -> str:
    if not judged.lines:
        return "there is no line"
    if judged.unsealed == judged.lines:
        return "no line has an integrity: this is another log, or has another form, or they were taken away"
    return "no line fits: give the key of this log; if it is that, every chain here was altered from its first line on"


def _chains(judged: _core.AcraFound) -> Iterator[_Chain]:
    number = 0
    while (chain := judged.chain(number)) is not None:
        yield _Chain(*chain)
        number += 1


def _repeated(chains: Iterable[_Chain], inputs: Sequence[Input], beyond_proof: Weight) -> Iterator[Finding]:
    """Report chains that are there twice; that one without fine times was not copied, no log can prove."""
    seen: dict[bytes, _Chain] = {}
    for chain in chains:
        first = seen.setdefault(chain.beginning, chain)
        if first is chain:
            continue
        where = f"{inputs[first.file].path} line {first.line + 1}"
        if chain.identity == first.identity:
            what = f"this chain is the one of {where} once more, byte for byte"
        else:
            what = f"this chain begins as the one of {where} does, byte for byte"
        weight, detail = beyond_proof, f"{what}; within a second that may be, or it is a copy"
        if chain.fine:
            weight, detail = _FAILED, f"{what}, with its times in ms: it is a copy"
        yield _at(chain, inputs, Kind.DUPLICATE, weight, detail)


def _backwards(chains: Iterable[_Chain], inputs: Sequence[Input]) -> Iterator[Finding]:
    latest: int | None = None
    for chain in chains:
        if chain.times is None:
            continue
        begin = chain.times[0] if chain.fine else chain.times[0] + 999  # at the latest
        if latest is not None and begin < latest:
            back = (latest - chain.times[0]) / 1000
            detail = f"this chain begins {back:g} s before the one before it ends: moved, or a clock was set back"
            yield _at(chain, inputs, Kind.REORDERED, _FAILED, detail)
        latest = max(latest or 0, chain.times[1])


def _at(chain: _Chain, inputs: Sequence[Input], kind: Kind, weight: Weight, detail: str) -> Finding:
    path = inputs[chain.file].path
    return Finding(kind, weight, detail, path=path, line=chain.line + 1, offset=chain.offset, count=chain.lines)

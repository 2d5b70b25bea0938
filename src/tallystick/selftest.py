"""A self-test: the attacks of an intruder are played on copies of your own log, and each must be reported.

It answers whether verification works for this log, with these files, this key and this head: not whether somebody
was here. The originals are only read.

>>> import tempfile, tallystick
>>> with tempfile.TemporaryDirectory() as d:
...     place = {"store": f"file:{d}/store"}
...     _ = tallystick.create("app", **place, custody=f"master-key:{d}/master.key", key_file=f"{d}/app.key")
...     with tallystick.open("app", output=f"{d}/app.log", **place) as log:
...         for number in range(20):
...             log.write(f"user={number} action=login")
...     report = run([f"{d}/app.log"], keys=[f"{d}/app.key"], **place)
>>> report.untouched.verdict, report.missed, report.exit_status
(<Verdict.OK: 'ok'>, 0, 0)
"""

import io
import os
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

from tallystick import _core
from tallystick.attacks import ALL, Attack, ImpossibleError, Scene
from tallystick.attacks.scene import Field, Position, seal_of
from tallystick.errors import ReportError, explain
from tallystick.home import require_temporary
from tallystick.verify import Finding, Report, Verdict, Weight, verify
from tallystick.verify.heads import NO_STORE, read_heads
from tallystick.verify.inputs import Input
from tallystick.verify.keys import read_keys
from tallystick.verify.looking import open_inputs

__all__ = ["Played", "SelftestReport", "run"]

MOST = 64_000_000  # bytes that are copied: each attack reads them once


@dataclass(frozen=True, slots=True)
class Played:
    """One attack and what came of it.

    Args:
        group: What was attacked.
        attack: What was done.
        outcome: `found`, `missed`, or `not possible` on this log.
        verdict: The verdict on the doctored copy.
        finding: What was said of it, at the right place; paths and lines are those of the doctored copy.
        remark: Why it is not possible here, or what must be known to judge the outcome.
        seconds: How long the verification took.
    """

    group: str
    attack: str
    outcome: str
    verdict: Verdict | None = None
    finding: Finding | None = None
    remark: str | None = None
    seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class SelftestReport:
    """The result of a self-test.

    Args:
        log: Name of the log that was doctored.
        log_id: Its log id.
        files: Paths that were read, in the order of their lines.
        lines: Lines that were copied.
        size: Bytes that were copied.
        part: Which part of the log was taken; None for all of it.
        with_head: Was there a head?
        untouched: What verification says of the copy before anything is done to it.
        played: The attacks; none if the untouched copy is `failed`.
    """

    log: str
    log_id: str
    files: tuple[str, ...]
    lines: int
    size: int
    part: str | None
    with_head: bool
    untouched: Report
    played: tuple[Played, ...]

    def _count(self, outcome: str) -> int:
        return sum(one.outcome == outcome for one in self.played)

    @property
    def found(self) -> int:
        """Number of attacks that were reported, at their place."""
        return self._count("found")

    @property
    def missed(self) -> int:
        """Number of attacks that were not."""
        return self._count("missed")

    @property
    def impossible(self) -> int:
        """Number of attacks that cannot be played on this log."""
        return self._count("not possible")

    @property
    def exit_status(self) -> int:
        """0 if every attack that could be played was found, else 5."""
        return 0 if self.found and not self.missed else 5

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values, in the form of `--format json`, version 1."""
        untouched = self.untouched.to_dict()
        played = []
        for one in self.played:
            finding = one.finding
            said = ("kind", "path", "line", "position", "to", "detail")
            played.append({
                "group": one.group,
                "attack": one.attack,
                "outcome": one.outcome,
                "verdict": one.verdict.value if one.verdict else None,
                "finding": {name: getattr(finding, name) for name in said} if finding else None,
                "remark": one.remark,
                "seconds": one.seconds,
            })  # fmt: skip
        return {
            "tallystick_selftest": 1,
            **{name: getattr(self, name) for name in ("log", "log_id", "lines", "size", "part", "with_head")},
            "files": list(self.files),
            "untouched": {"verdict": untouched["verdict"], "findings": untouched["findings"]},
            **{name: getattr(self, name) for name in ("found", "missed", "impossible")},
            "played": played,
        }


def run(
    paths: Iterable[str | os.PathLike[str]],
    *,
    keys: Iterable[str | os.PathLike[str]],
    head: str | os.PathLike[str] | None = None,
    store: str | None = None,
    start: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SelftestReport:
    """Doctor copies of a log in every known way, and see whether each is reported.

    Args:
        paths: What holds the log, in any order, as `verify` takes it. It is only read.
        keys: Files with verification keys; the log of the head, else that of the first one is doctored.
        head: File with its head, as `tallystick head` prints it.
        store: URL of the key store that has the head. Without `store` and `head`, the default key store is asked.
        start: Number of the chain that the log begins with here, if older ones were deleted by policy.
        progress: Called with the number of attacks played so far and of all.

    Returns:
        The report. A log of more than 64 MB is not copied whole: the newest whole chains are taken, or the newest
        epochs of a chain that is bigger than that.

    Raises:
        FormatError: A key or head is invalid.
        KeyStoreError: The key store that was named cannot be read.
        ReportError: A file cannot be read, holds no line of the log, or lines are here twice.
    """
    key_files = [os.fspath(key) for key in keys]
    logs, _ = read_keys(key_files, ())
    # The head is read before the log: lines that come meanwhile are then after it, not missing.
    heads = read_heads(logs, store, head)
    name, log_id = _whole_key(logs, heads.found if head is not None else ())
    if log_id in heads.bad:
        raise ReportError(heads.bad[log_id], hint="run tallystick verify first")
    copy, floor = _read([os.fspath(path) for path in paths], log_id)
    if floor is not None and floor[1] == 0:
        start = max(start or 1, floor[0])
    scene = Scene(
        tuple(line for one in copy for line in one.lines),
        heads.found[log_id].text if log_id in heads.found else b"",
        breaks=tuple(accumulate(len(one.lines) for one in copy[:-1])),
        log_id=log_id.encode(),
    )
    require_temporary()
    with tempfile.TemporaryDirectory(prefix="tallystick-selftest-") as place:
        bench = _Bench(place, copy, key_files, start)
        untouched = bench.verdict_on(scene)
        _check_untouched(untouched)
        played: list[Played] = []
        total = sum(len(attacks) for _, attacks in ALL)
        known = {_identity(finding) for finding in untouched.findings}
        for group, attacks in ALL if untouched.verdict is not Verdict.FAILED else ():
            for attack in attacks:
                played.append(_play(bench, group, attack, scene, known))
                if progress is not None:
                    progress(len(played), total)
    return SelftestReport(
        name,
        log_id,
        tuple(one.path for one in copy),
        len(scene.lines),
        sum(len(line) + 1 for line in scene.lines),
        _part(floor),
        log_id in heads.found,
        untouched,
        tuple(played),
    )


# -- what is played


def _play(bench: "_Bench", group: str, attack: Attack, scene: Scene, known: set[tuple[object, ...]]) -> Played:
    try:
        doctored = attack.doctor(scene)
    except ImpossibleError as error:
        return Played(group, attack.name, "not possible", remark=explain(error))
    began = time.perf_counter()
    try:
        report = bench.verdict_on(doctored)
    except Exception as error:
        # Whatever it is: an intruder can do this, and the verifier has no answer.
        return Played(
            group, attack.name, "missed", remark=f"there was no verdict: {explain(error) or type(error).__name__}"
        )
    seconds = time.perf_counter() - began
    expected = (f for f in report.findings if f.kind in attack.expected and f.weight is not Weight.NOTE)
    new = (f for f in expected if _identity(f) not in known)
    said = next((f for f in new if _is_at_its_place(f, doctored, bench)), None)
    found = said is not None and report.verdict is not Verdict.OK
    shown = replace(said, path=bench.original(said.path)) if said and said.path else said
    outcome = "found" if found else "missed"
    return Played(group, attack.name, outcome, report.verdict, shown, doctored.remark, seconds)


def _identity(finding: Finding) -> tuple[object, ...]:
    return finding.kind, finding.weight, finding.position, finding.to, finding.path, finding.line


def _is_at_its_place(finding: Finding, scene: Scene, bench: "_Bench") -> bool:
    """Is a finding about what was changed?"""
    if not scene.expected_at and scene.expected_line is None:
        return True
    if (span := finding.span) and any(span[0] <= at <= span[1] for at in scene.expected_at):
        return True
    if scene.expected_line is None or finding.line is None:
        return False
    file = scene.file_of(scene.expected_line)
    line = scene.expected_line - (0, *scene.breaks)[file] + 1
    return finding.path == bench.path(file) and finding.line <= line < finding.line + max(1, finding.count)


# -- what it is played on


@dataclass(frozen=True, slots=True)
class _File:
    """A file of the log, or the part of it that is copied."""

    path: str
    lines: tuple[bytes, ...]
    whole: bool  # does it end in LF?


class _Bench:
    """The private directory in which copies are doctored and verified."""

    def __init__(self, place: str, copy: Sequence[_File], keys: Sequence[str], start: int | None) -> None:
        self._place, self._copy, self._keys, self._start = place, copy, keys, start
        self._there: dict[int, tuple[bytes, ...]] = {}

    def path(self, number: int) -> str:
        """Return the path of the copy of a file; files beyond the last are ones that the intruder added."""
        return os.path.join(self._place, f"{number}.log")

    def original(self, path: str) -> str:
        """Return what a file was copied from."""
        number = int(os.path.basename(path).partition(".")[0])
        return self._copy[number].path if number < len(self._copy) else "added file"

    def verdict_on(self, scene: Scene) -> Report:
        """Write a scene and verify it."""
        files = scene.files()
        for number, lines in enumerate(files):
            if self._there.get(number) != lines:  # most attacks leave most files as they are
                self._write(number, lines)
        head = None
        if scene.head:
            head = os.path.join(self._place, "head")
            with open(head, "wb") as file:
                file.write(scene.head)
        paths = [self.path(number) for number in range(len(files))]
        return verify(paths, keys=self._keys, store=NO_STORE, head=head, start=self._start)

    def _write(self, number: int, lines: tuple[bytes, ...]) -> None:
        with open(self.path(number), "wb") as file:
            file.write(b"\n".join(lines))
            if lines and (number >= len(self._copy) or self._copy[number].whole):
                file.write(b"\n")
        self._there[number] = lines


def _check_untouched(report: Report) -> None:
    if any(finding.kind == "duplicate" and finding.weight is Weight.NOTE for finding in report.findings):
        raise ReportError(
            "lines are in more than one of the files, so a loss in one leaves them in the other",
            hint="name each part of the log once",
        )


# -- reading


def _whole_key(logs: _core.Keys, heads: Collection[str]) -> tuple[str, str]:
    """Return name and log id of the log that is doctored: that of the head, else that of the first key."""
    of_head = [log for log in logs.logs() if log[1] in heads]
    name, log_id, with_v, narrowed, *_ = (of_head or logs.logs())[0]
    if not with_v or narrowed:
        raise ReportError(f"a self-test of log {name} judges every line", hint="give its whole verification key")
    return name, log_id


def _lines(one: Input) -> Iterator[bytes]:
    """Give the lines of a file, each with its line end if it has one."""
    for chunk in one.chunks():
        yield from io.BytesIO(chunk.data[: chunk.end])
    if one.trouble:
        raise ReportError(f"{one.path}: {one.trouble}", hint="give a self-test readable files")


def _read(paths: Sequence[str], log_id: str) -> tuple[list[_File], tuple[int, int] | None]:
    """Read the log, or the newest part of it: the files, and the chain and epoch it begins with if it is a part."""
    inputs, unread = open_inputs(paths)
    try:
        if lacking := [one for one in unread if not one.passed]:
            raise ReportError(f"{lacking[0].path}: {lacking[0].what}")
        return _taken(inputs, log_id)
    finally:
        for one in inputs:
            one.close()


def _taken(inputs: Sequence[Input], log_id: str) -> tuple[list[_File], tuple[int, int] | None]:
    own = log_id.encode()
    sizes: dict[tuple[int, int], int] = {}
    total = 0
    for one in inputs:
        for line in _lines(one):
            total += len(line)
            at = _position(line, own)
            if at is not None:
                sizes[at[:2]] = sizes.get(at[:2], 0) + len(line)
    if not sizes:
        raise ReportError(f"no line of log id {log_id} is here", hint="give the key of this log")
    floor = _floor(sizes) if total > MOST else None
    files = [_part_of(one, own, floor) for one in inputs]
    # An intruder knows which file is the newest, whatever its name is.
    files.sort(key=lambda file: next((at for line in file.lines if (at := _position(line, own))), (0, 0, 0)))
    return [file for file in files if file.lines or floor is None], floor


def _floor(sizes: dict[tuple[int, int], int]) -> tuple[int, int]:
    """Choose where the newest part begins that is small enough: with a whole chain, if one is small enough."""
    floor, taken = max(sizes), 0
    for epoch in sorted(sizes, reverse=True):
        taken += sizes[epoch]
        if taken > MOST and floor != epoch:
            break
        floor = epoch
    first = min(sizes)
    if floor == first or floor == min(at for at in sizes if at[0] == floor[0]):
        return floor
    whole = [at for at in sizes if at[0] > floor[0]]
    return min(whole) if whole else floor


def _part_of(one: Input, log_id: bytes, floor: tuple[int, int] | None) -> _File:
    kept: list[bytes] = []
    keeping, whole = floor is None, True
    for line in _lines(one):
        if floor is not None and (at := _position(line, log_id)) is not None:
            keeping = at[:2] >= floor
        if keeping:
            kept.append(line.removesuffix(b"\n"))
            whole = line.endswith(b"\n")
    return _File(one.path, tuple(kept), whole)


def _position(line: bytes, log_id: bytes) -> Position | None:
    found = seal_of(line.removesuffix(b"\n"))
    return found.position if found is not None and found[Field.LOG_ID] == log_id else None


def _part(floor: tuple[int, int] | None) -> str | None:
    if floor is None:
        return None
    if floor[1] == 0:
        return f"the newest chains, from chain {floor[0]} on, because the log is big"
    return f"the newest epochs of chain {floor[0]}, from epoch {floor[1]} on, because the chain is big"

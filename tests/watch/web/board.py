"""Standings in memory, of real verifications of real logs: what the service keeps, without its loop."""

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import tallystick
from tallystick.attacks import ALL, Scene
from tallystick.verify.report import Report, Verdict
from tallystick.watch.standing import Band, Newest, Seen, Standing, State

ATTACKS = {attack.name: attack for _, attacks in ALL for attack in attacks}
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
STATES = {Verdict.OK: State.OK, Verdict.INCOMPLETE: State.INCOMPLETE, Verdict.FAILED: State.FAILED}


def now() -> int:
    """Return the time, ms since 1970."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Place:
    """A directory with sealed logs, the first of them untouched, and copies that somebody doctored."""

    path: Path

    @property
    def own(self) -> dict[str, str]:
        """Arguments that name its key store."""
        return {"store": f"file:{self.path}/store"}

    def log(self, name: str, lines: Iterable[bytes | str], chains: int = 1) -> Path:
        """Seal lines to a new log; each chain has all of them."""
        custody = f"master-key:{self.path}/master.key"
        tallystick.create(name, **self.own, custody=custody, key_file=self.path / f"{name}.key")
        path = self.path / f"{name}.log"
        lines = list(lines)
        for _ in range(chains):
            with tallystick.open(name, output=str(path), **self.own) as log:
                for line in lines:
                    log.write(line)
        return path

    def report(self, name: str, path: Path | None = None, **options: object) -> Report:
        """Verify a log, or another file in its place."""
        return tallystick.verify(
            [path or self.path / f"{name}.log"], keys=[self.path / f"{name}.key"], **self.own, **options
        )

    def doctored(self, name: str, attack: str) -> Path:
        """Play the intruder on a copy of a log."""
        lines = (self.path / f"{name}.log").read_bytes().splitlines()
        scene = ATTACKS[attack].doctor(Scene(tuple(lines), head=b""))
        path = self.path / f"{name}-{attack.replace(' ', '-')}.log"
        path.write_bytes(b"".join(line + b"\n" for line in scene.lines))
        return path


class Board:
    """Standings that a test sets."""

    def __init__(self) -> None:
        self._turn = threading.Condition()
        self._standings: dict[str, Standing] = {}
        self._days: dict[str, tuple[Band, ...]] = {}
        self._reports: dict[str, Report] = {}
        self._version = 0
        self.alerts = 0
        self.turned = time.monotonic()

    def put(self, standing: Standing, day: Sequence[Band] = (), report: Report | None = None) -> None:
        """Set how an entry stands."""
        with self._turn:
            self._standings[standing.name] = standing
            self._days[standing.name] = tuple(day)
            if report is not None:
                self._reports[standing.name] = report
            self._version += 1
            self._turn.notify_all()

    def forget(self, name: str) -> None:
        """Watch an entry no more."""
        with self._turn:
            del self._standings[name]
            self._version += 1
            self._turn.notify_all()

    def all(self) -> Sequence[Standing]:
        with self._turn:
            return tuple(self._standings.values())

    def one(self, name: str) -> Standing | None:
        return self._standings.get(name)

    def day(self, name: str) -> Sequence[Band]:
        return self._days.get(name, ())

    def report(self, name: str) -> Report | None:
        return self._reports.get(name)

    def version(self) -> int:
        return self._version

    def wait(self, version: int, seconds: float) -> int:
        with self._turn:
            self._turn.wait_for(lambda: self._version != version, seconds)
            return self._version

    def queued(self) -> int:
        return self.alerts

    def idle(self) -> float:
        return time.monotonic() - self.turned


def seen(report: Report, *, line: int | None = None, lag: int = 0) -> Seen:
    """Return what a look with such a report showed."""
    counts: dict[tuple[str, str], int] = {}
    for finding in report.findings:
        key = (str(finding.kind), finding.weight.value)
        counts[key] = counts.get(key, 0) + 1
    times = [log.times[1] for log in report.logs if log.times]
    newest = Newest(line or now() - 2000, max(times, default=None), now() - 5000, now() - MINUTE, now() - 3 * HOUR)
    return Seen(
        report.time,
        report.seconds,
        report.verdict,
        report.findings[:10],
        counts,
        report.lines,
        report.size,
        lag,
        newest,
    )


def standing(name: str, report: Report | None = None, state: State | None = None, **more: object) -> Standing:
    """Return how an entry with such a report stands."""
    found = state or (STATES[report.verdict] if report is not None else State.NEVER)
    made = Standing(name, found, now() - HOUR, seen=seen(report) if report is not None else None, tried=now() - 1000)
    return replace(made, **more)  # type: ignore[arg-type]


def day_of(state: State, since: int = HOUR) -> tuple[Band, ...]:
    """Return a day that was well until a state began, so many ms ago."""
    end = now()
    if state is State.OK:
        return (Band(end - DAY, end, State.OK),)
    return Band(end - DAY, end - since, State.OK), Band(end - since, end, state)

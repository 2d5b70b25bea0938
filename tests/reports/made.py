"""Reports made by hand: as calm, as bad, as large and as hostile as a verification could make them."""

import dataclasses
import random
from typing import Any

from tallystick import (
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

FAILED, INCOMPLETE, NOTE = Weight.FAILED, Weight.INCOMPLETE, Weight.NOTE
START = 1_790_000_000_000  # 2026-09-21T14:13:20Z
HOUR = 3_600_000
LINES = 4097  # of an epoch
HOSTILE = "\x1b[31mred[/] [bold]x[/bold] <script>alert(1)</script> {0} [a](1) \u202eevil \x9b\udcff\n'\"&amp;"
"""What somebody might call a file: escape sequences, markup of all sorts, a change of direction, a broken byte."""


def chain(
    number: int,
    epochs: int,
    opened: int,
    *,
    ending: str | None = "closed",
    lost: dict[int, int] | None = None,
    absent: tuple[int, ...] = (),
    pace: int = 60_000,
) -> ChainReport:
    """Return a chain of full epochs, from some of which lines are lost, and some of which are absent."""
    seen = []
    for epoch in range(epochs):
        whole = ending is not None or epoch < epochs - 1
        if epoch not in absent:
            here = LINES - (lost or {}).get(epoch, 0)
            time = opened + (epoch + 1) * pace
            seen.append(EpochReport(epoch, here, LINES if whole else None, time if whole else None))
    ended = max((epoch.time for epoch in seen if epoch.time is not None), default=None)
    first, last = f"{number}.0.0", f"{number}.{epochs - 1}.{LINES - 1}"
    return ChainReport(number, first, last, sum(epoch.lines for epoch in seen), opened, ended, ending, tuple(seen))


def log(*chains: ChainReport, name: str = "payments", **more: Any) -> LogReport:
    """Return a log with some chains."""
    times = [time for one in chains for time in (one.opened, one.ended) if time is not None]
    seen = LogReport(
        name=name,
        log_id="k7m2q3xa",
        key="verification key",
        first=chains[0].first,
        last=chains[-1].last,
        times=(min(times), max(times)),
        start="the log's first chain",
        end=f"the head, which counts everything before {chains[-1].chain}.60.0",
        chains=len(chains),
        epochs=sum(len(one.epochs) for one in chains),
        sealed=sum(one.lines for one in chains),
        prefixed=0,
        reserialized=0,
        redacted=0,
        uncovered=0,
        by_chain=chains[:1000],
    )
    return dataclasses.replace(seen, **more)


def report(*logs: LogReport, findings: tuple[Finding, ...] = (), **more: Any) -> Report:
    """Return a report on some logs."""
    made = Report(
        Verdict.of(finding.weight for finding in findings),
        findings,
        logs,
        (),
        ("audit.log.1", "audit.log"),
        lines=sum(one.sealed for one in logs),
        unsealed=sum(finding.count for finding in findings if finding.kind == "unsealed"),
        size=123_456_789,
        time=START + 30 * HOUR,
        seconds=1.37,
        on_disk=tuple(FileReport(path, 61_728_394, 61_728_394, "5a" * 32) for path in ("audit.log.1", "audit.log")),
        keys=tuple(key(f"{one.name}.key", one) for one in logs),
        command="tallystick verify audit.log.1 audit.log --key payments.key --format html -o report.html",
    )
    return dataclasses.replace(made, **more)


def key(path: str, seen: LogReport) -> KeyReport:
    """Return the key of a log."""
    return KeyReport(path, seen.key, seen.name, seen.log_id, f"tallypub1{'q' * 62}")


def calm() -> Report:
    """Return a report on a log in which nothing was found."""
    return report(log(chain(1, 40, START), chain(2, 25, START + HOUR), chain(3, 60, START + 2 * HOUR)))


def bad() -> Report:
    """Return a report with findings of all weights, and with exceptions."""
    seen = log(
        chain(1, 40, START),
        chain(2, 25, START + HOUR, lost={7: 120}, absent=(12, 13)),
        chain(4, 60, START + 3 * HOUR, ending=None),
        prefixed=12,
        redacted=3,
        end="nothing",
    )
    unsealed = {"path": "audit.log", "excerpt": "user=0 action=grant role=admin", "sha256": "9f" * 32}
    findings = (
        Finding("altered", FAILED, "the seal does not match the line: line or seal was changed", log="payments",
                path="audit.log.1", line=81213, offset=9123456, position="1.19.3370",
                excerpt="user=7 action=transfer amount=900"),
        Finding("missing", FAILED, "these lines were sealed and are not here; the checkpoint of the epoch counts them",
                log="payments", position="2.7.800", to="2.7.919", count=120),
        Finding("missing", FAILED, "two epochs are not here", log="payments", position="2.12.0", to="2.13.4096",
                count=0, cause="a rotated file that was not given: audit.log.2"),
        Finding("missing", FAILED, "chain 3 of the log is not here", log="payments", position="3.0.0", count=0),
        Finding("unsealed", FAILED, "a line without a seal", line=120033, offset=123123123, **unsealed),
        Finding("open end", INCOMPLETE, "nothing anchors the end: give the head, or a pin", log="payments",
                path="audit.log", line=500123, position="4.59.4096"),
        Finding("unclean end", NOTE, "chain 1 has no closing line", log="payments", position="1.39.4096"),
        Finding("excepted", NOTE, "unsealed line allowed: banner of the old version", line=7, offset=510, **unsealed),
    )  # fmt: skip
    exceptions = (
        ExceptionUse(3, "unsealed 9f9f banner of the old version", "used", 1),
        ExceptionUse(4, "missing payments 9.0.0 disk loss in March", "unused", 0),
        ExceptionUse(5, "altered payments 1.2.3 until 2026-01-01", "expired", 0),
    )
    return report(seen, findings=findings, exceptions=exceptions)


def partial() -> Report:
    """Return a report on several logs whose claimed times say nothing, and that could not tell something."""
    logs = [
        log(chain(1, 5 + number, START, pace=0), chain(2, 3, START, pace=0, lost={1: 9}), name=f"svc-{number}")
        for number in range(3)
    ]
    empty = dataclasses.replace(logs[0], name="svc-9", first=None, last=None, times=None, chains=0, by_chain=())
    finding = Finding("late start", INCOMPLETE, "the log began before what is here", log="svc-2", position="1.0.0")
    return report(*logs, empty, findings=(finding,))


def large() -> Report:
    """Return a report with 1,000 chains, 10,000 epochs and 1,000 findings."""
    dice = random.Random(7)
    chains = [chain(number, 10, START + number * 10 * 60_000, lost={3: number % 50 // 49}) for number in range(1, 1001)]
    findings = [
        Finding("altered", FAILED, "the seal does not match the line", log="payments", path=f"audit.log.{number % 7}",
                line=number * 100 + 1, offset=number * 20_000, excerpt=f"user={number} action=login",
                position=f"{dice.randrange(1, 1001)}.{dice.randrange(10)}.{dice.randrange(LINES)}")
        for number in range(1000)
    ]  # fmt: skip
    files = tuple(f"logs/audit.log.{number}" for number in range(300))
    on_disk = tuple(FileReport(path, number, number, "7e" * 32) for number, path in enumerate(files))
    return report(log(*chains), findings=tuple(findings), files=files, on_disk=on_disk)


def hostile() -> Report:
    """Return a report in which all that can be an attacker's choice is."""
    finding = Finding("unsealed", FAILED, f"no seal {HOSTILE}", cause=HOSTILE, log="payments", path=HOSTILE, line=2,
                      offset=3, position="1.0.1", excerpt=HOSTILE, sha256="0" * 64)  # fmt: skip
    seen = log(chain(1, 3, START), start=HOSTILE, end=HOSTILE)
    use = ExceptionUse(1, HOSTILE, "used", 1)
    files = (HOSTILE, "a b%:é.log", "/var/log/x.log")
    on_disk = (FileReport(HOSTILE, 9, 8, "0" * 64),)
    keys = (key(HOSTILE, seen), KeyReport(HOSTILE, "key of Acra"))
    return report(
        seen, findings=(finding,), exceptions=(use,), files=files, on_disk=on_disk, keys=keys, command=HOSTILE
    )


def wide() -> Report:
    """Return a report whose names are as long as names can be, on several logs with many chains and findings."""
    path = "/srv/" + "/".join(f"{part}-a-long-name-without-any-blank-in-it" for part in range(6)) + "/audit.log.gz"
    logs = []
    for number in range(4):
        chains = [chain(one, 3, START + one * HOUR, lost={1: 5}) for one in range(1, 20)]
        logs.append(log(*chains, name=f"{'payments-of-a-house-with-a-long-name.' * 2}{number}"[:73], end="e" * 90))
    findings = [
        Finding(kind, weight, f"a detail with a word that is long: {'x' * 90}", cause="y" * 100, log=logs[1].name,
                path=path, line=4_294_967_295, offset=2**53, position="4294967295.255.65534",
                to="4294967295.255.65535", count=2**40, excerpt="user=" + "z" * 150, sha256="ab" * 32)
        for kind, weight in (("bad statement", FAILED), ("nothing verified", INCOMPLETE), ("reserialized", NOTE))
        for _ in range(70)
    ]  # fmt: skip
    exceptions = tuple(ExceptionUse(line, f"unsealed {'c' * 200}", "used", 2**40) for line in range(1, 5))
    files = (path, f"{path}.tar:{path}")
    on_disk = tuple(FileReport(f"{path}{end}", 2**50, 2**49, "5a" * 32) for end in ("", ".tar"))
    return report(
        *logs, findings=tuple(findings), exceptions=exceptions, files=files, on_disk=on_disk,
        keys=tuple(key(f"{path}.key", one) for one in logs), command=f"tallystick verify {path} --key {path}.key " * 3,
        allowed=("allowed: duplicate, narrowed, open end, reordered", "from chain 4294967295", "4 exceptions used"),
    )  # fmt: skip


ALL = {made.__name__: made for made in (calm, bad, partial, large, hostile, wide)}

"""How output looks: results on stdout, talk on stderr, nothing that a terminal would act on."""

import datetime
import sys

import click

from tallystick.verify.report import Finding, LogReport, Report, Verdict

__all__ = ["complain", "number", "report_text", "safe", "say", "size", "when"]

_MOST = 100
_COLOURS = {"ok": "green", "incomplete": "yellow", "failed": "red", "note": "cyan"}


def say(message: str) -> None:
    """Say something that is no result."""
    click.echo(message, err=True)


def complain(message: str) -> None:
    """Say what went wrong."""
    click.echo(f"tallystick: {safe(message)}", err=True)


def safe(text: str) -> str:
    """Return text in which nothing makes a terminal do anything: names of files are an attacker's choice."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def number(value: int) -> str:
    """Return a number for people."""
    return f"{value:,}"


def plural(count: int, word: str) -> str:
    """Return a number with its noun."""
    return f"{number(count)} {word}{'' if count == 1 else 's'}"


def size(value: int) -> str:
    """Return a number of bytes for people."""
    amount = float(value)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError


def when(ms: int) -> str:
    """Return a time as RFC 3339, in UTC."""
    try:
        moment = datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC)
    except (OverflowError, ValueError):
        return f"{ms} ms after 1970"
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def coloured(word: str) -> str:
    """Return a verdict or weight in its colour, if this is a terminal."""
    return click.style(word, fg=_COLOURS[word], bold=True)


def report_text(report: Report) -> str:
    """Return a report for people: the verdict, the range of each log, the findings, the figures."""
    lines = [f"{coloured(report.verdict.value)}: {_headline(report)}"]
    for log in report.logs:
        lines += ["", *_log_text(log)]
    if report.findings:
        lines.append("")
        lines += [_finding_text(finding) for finding in report.findings[:_MOST]]
        if len(report.findings) > _MOST:
            lines.append(f"… and {number(len(report.findings) - _MOST)} more findings: see --format json")
    rate = number(round(report.lines / report.seconds)) if report.seconds else "many"
    files = plural(len(report.files), "file")
    lines += [
        "",
        f"{plural(report.lines, 'line')}, {size(report.size)}, {files} in {report.seconds:.2f} s ({rate} lines/s)",
    ]
    return "\n".join(lines) + "\n"


def _headline(report: Report) -> str:
    if report.verdict is Verdict.OK:
        return "every line is as it was sealed, and none is missing"
    if report.verdict is Verdict.FAILED:
        return "the log is not as it was sealed"
    return "what is here holds, but something could not be told"


def _log_text(log: LogReport) -> list[str]:
    lines = [f"log {log.name} ({log.log_id}), judged with its {log.key}"]
    if log.first is None:
        return [*lines, "  no line of it is here"]
    lines.append(f"  range     {log.first} to {log.last}")
    if log.times:
        lines.append(f"  claimed   {when(log.times[0])} to {when(log.times[1])}")
    lines.append(f"  anchors   start: {log.start}")
    lines.append(f"            end: {log.end}")
    counts = [f"{number(log.sealed)} sealed"]
    for count, word in (
        (log.reserialized, "reserialized"),
        (log.redacted, "redacted"),
        (log.uncovered, "uncovered"),
    ):
        if count:
            counts.append(f"{number(count)} {word}")
    places = f"{plural(log.chains, 'chain')}, {plural(log.epochs, 'checkpoint')}"
    lines.append(f"  lines     {', '.join(counts)}; {places}")
    return lines


def _finding_text(finding: Finding) -> str:
    place = f" {safe(finding.path)}:{finding.line}" if finding.path else ""
    span = f" {finding.position}" if finding.position else ""
    if finding.to:
        span += f" to {finding.to}"
    times = f" ×{number(finding.count)}" if finding.count > 1 else ""
    return f"{coloured(finding.weight.value)} {finding.kind}{times}{place}{span}\n    {safe(finding.detail)}"


def is_terminal() -> bool:
    """Is standard error a terminal?"""
    return sys.stderr.isatty()


def is_watched() -> bool:
    """Is standard output a terminal?"""
    return sys.stdout.isatty()

"""How a report looks as text: the verdict, the range of each log, the findings, the figures."""

from tallystick.cli.output import coloured, number, plural, safe, size, when
from tallystick.verify.report import Finding, LogReport, Report, Verdict

__all__ = ["report_text"]

_MOST = 100  # findings that are shown


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

"""The report for people: the verdict first, then each log, the findings, the exceptions, the figures.

In a pipe a line stays one line, whatever its length, so that it can be searched for. On a terminal the lines are
coloured and wrapped to its width.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from tallystick.reports.meanings import headline, verdict
from tallystick.reports.words import UNVOUCHED, number, plural, rate, safe, size, when
from tallystick.verify.report import ChainReport, ExceptionUse, Finding, LogReport, Report, Weight

__all__ = ["text_report"]

_MOST = 100  # findings that are shown, and lines of exceptions
_FEW = 8  # chains that are shown one by one
_STYLES = {"ok": "bold green", "incomplete": "bold yellow", "failed": "bold red", "note": "bold cyan"}


@dataclass(frozen=True, slots=True)
class _Line:
    """One line: a word in colour if it begins with one, and where its text goes on when it is wrapped.

    Args:
        lead: What stands before the text on the first line; blanks on those that follow.
        text: The text.
        word: A verdict or weight that the text begins with.
    """

    lead: str
    text: str
    word: str = ""


def text_report(report: Report, width: int | None = None) -> str:
    """Return the report for a terminal of so many columns, or for a pipe."""
    lines = list(_lines(report))
    if width is not None:
        return _wrapped(lines, max(width, 40))
    return "".join(f"{line.lead}{line.text}".rstrip() + "\n" for line in lines)


def _lines(report: Report) -> Iterator[_Line]:
    yield _Line("", f"{verdict(report)}: {headline(report)}", report.verdict.value)
    for log in report.logs:
        yield _Line("", "")
        yield from _log(log, several=len(report.logs) > 1)
    if report.findings:
        yield _Line("", "")
        yield _Line("findings    ", _summary(report.findings))
        for finding in report.findings[:_MOST]:
            yield from _finding(finding, len(report.logs) > 1)
        if len(report.findings) > _MOST:
            more = number(len(report.findings) - _MOST)
            yield _Line("", f"… and {more} more findings: see --format json or --format html")
    if report.exceptions:
        yield _Line("", "")
        yield from _exceptions(report.exceptions)
    yield _Line("", "")
    unsealed = f"{number(report.unsealed)} of them unsealed, " if report.unsealed else ""
    yield _Line(
        "",
        f"{plural(report.lines, 'line')}, {unsealed}{size(report.size)}, {plural(len(report.files), 'file')} "
        f"in {report.seconds:.2f} s ({rate(report.lines, report.seconds)} lines/s)",
    )
    if (kept := report.remembered) is not None and kept.oldest is not None:
        yield _Line("", f"{size(kept.size)} of these were verified before, the first of them at {when(kept.oldest)}")
        if not kept.vouched:
            yield _Line("", UNVOUCHED)


def _log(log: LogReport, *, several: bool) -> Iterator[_Line]:
    verdict = f": {log.verdict.value}" if several else ""
    yield _Line("", f"log {safe(log.name)} ({safe(log.log_id)}){verdict}, judged with its {safe(log.key)}")
    if log.first is None:
        yield _Line("  ", "no line of it is here")
        return
    yield _Line("  range     ", f"{log.first} to {log.last}")
    if log.times:
        yield _Line("  claimed   ", f"{when(log.times[0])} to {when(log.times[1])}")
    yield _Line("  anchors   start: ", safe(log.start))
    yield _Line("            end: ", safe(log.end))
    counts = [f"{number(log.sealed)} sealed"]
    for count, word in (
        (log.prefixed, "prefixed"),
        (log.reserialized, "reserialized"),
        (log.redacted, "redacted"),
        (log.uncovered, "uncovered"),
    ):
        if count:
            counts.append(f"{number(count)} {word}")
    places = f"{plural(log.chains, 'chain')}, {plural(log.epochs, 'checkpoint')}"
    yield _Line("  lines     ", f"{', '.join(counts)}; {places}")
    if 1 < len(log.by_chain) <= _FEW:  # of a single chain, the lines above say it all
        yield from map(_chain, log.by_chain)
    elif len(log.by_chain) > _FEW:
        yield _Line("  chains    ", _chains(log))


def _chain(chain: ChainReport) -> _Line:
    opened = f" from {when(chain.opened)}" if chain.opened is not None else ""
    return _Line(
        f"  chain {chain.chain}".ljust(11) + " ",
        f"{chain.first} to {chain.last}, {plural(chain.lines, 'line')}{opened}, {chain.ending or 'no end here'}",
    )


def _chains(log: LogReport) -> str:
    endings = Counter(chain.ending or "without an end here" for chain in log.by_chain)
    told = ", ".join(f"{number(count)} {ending}" for ending, count in endings.most_common())
    return told if len(log.by_chain) == log.chains else f"of the first {number(len(log.by_chain))}: {told}"


def _summary(findings: tuple[Finding, ...]) -> str:
    weights = Counter(finding.weight for finding in findings)
    words = {Weight.FAILED: "failed", Weight.INCOMPLETE: "incomplete", Weight.NOTE: "note"}
    told = [f"{number(weights[weight])} {word}" for weight, word in words.items() if weights[weight]]
    return f"{number(len(findings))}: {', '.join(told)}"


def _finding(finding: Finding, several: bool) -> Iterator[_Line]:
    place = f" {safe(finding.path)}" if finding.path else ""
    if place and finding.line is not None:
        place += f":{finding.line}"
    log = f" {safe(finding.log)}" if several and finding.log else ""
    span = f" {finding.position}" if finding.position else ""
    if finding.to:
        span += f" to {finding.to}"
    times = f" ×{number(finding.count)}" if finding.count > 1 else ""
    weight = finding.weight.value
    yield _Line("", f"{weight} {safe(finding.kind)}{times}{place}{log}{span}", weight)
    yield _Line("    ", safe(finding.detail))
    if finding.cause:
        yield _Line("    perhaps: ", safe(finding.cause))
    byte = f"at byte {finding.offset}" if finding.offset is not None else "line"
    if finding.excerpt is not None and finding.kind != "notice":  # the detail says all that is to be read there
        yield _Line(f"    {byte}: ", safe(finding.excerpt))
    elif finding.offset is not None:
        yield _Line("    ", byte)


def _exceptions(exceptions: tuple[ExceptionUse, ...]) -> Iterator[_Line]:
    uses = Counter(one.use for one in exceptions)
    yield _Line("exceptions  ", ", ".join(f"{number(uses[use])} {use}" for use in ("used", "unused", "expired")))
    for one in exceptions[:_MOST]:
        times = f" ×{number(one.count)}" if one.count > 1 else ""
        yield _Line(f"  {f'{safe(one.use)}{times}':<9} ", f"line {one.line}: {safe(one.text)}")
    if len(exceptions) > _MOST:
        yield _Line("", f"… and {number(len(exceptions) - _MOST)} more exceptions: see --format json")


def _wrapped(lines: list[_Line], width: int) -> str:
    import io

    from rich.console import Console
    from rich.text import Text

    console = Console(file=io.StringIO(), force_terminal=True, width=width, highlight=False, legacy_windows=False)
    with console.capture() as shown:
        for line in lines:
            text = Text(line.text, no_wrap=False)  # never markup: names of files are an attacker's choice
            text.stylize(_STYLES.get(line.word, ""), 0, len(line.word))
            indent = len(line.lead)
            for number_, part in enumerate(text.wrap(console, width - indent, overflow="fold") or [text]):
                part.rstrip()
                console.print(line.lead if not number_ else " " * indent, end="", markup=False)
                console.print(part)
    return shown.get()

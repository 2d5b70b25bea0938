"""The report as one HTML file for the record: no script, no outside reference, nothing that a line can inject.

What is printed into the page passes `safe` and is escaped, whatever it is. The page says what it shows only a part of.
"""

from collections import Counter
from collections.abc import Callable
from importlib import resources
from importlib.metadata import version
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from tallystick.reports import words
from tallystick.reports.meanings import advice, headline, verdict
from tallystick.reports.timeline import WIDTH, timelines
from tallystick.verify.catalogue import CATALOGUE
from tallystick.verify.report import LogReport, Report, Weight

__all__ = ["SIGNS", "environment", "html_report", "part"]

_FINDINGS = 1000  # rows of the table of findings
_FILES = 1000
_CHAINS = 12  # chains that are shown at once; more are folded away

SIGNS = {"ok": "✓", "note": "i", "incomplete": "!", "failed": "✕"}
"""What stands beside a verdict or weight, for those who do not see colours."""


def html_report(report: Report) -> str:
    """Return the report as one HTML file, in ASCII: what is not becomes a character reference."""
    whole = {one.path for one in report.on_disk}
    named = [path for path in report.files if path not in whole]  # members of archives, or all files
    page = (
        environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            headline=headline(report),
            verdict=verdict(report),
            advice=advice(report),
            css=Markup(part("report.css")),
            version=version("tallystick"),
            kinds=_kinds(report),
            findings=report.findings[:_FINDINGS],
            on_disk=report.on_disk[:_FILES],
            files=named[:_FILES],
            members=len(named),
            uses=Counter(one.use for one in report.exceptions),
            timelines=timelines(report.logs, report.findings),
            chains_shown=_CHAINS,
        )
    )
    return page.encode("ascii", "xmlcharrefreplace").decode()


def part(name: str) -> str:
    """Return the text of a template or style sheet of this package."""
    return resources.files("tallystick.reports").joinpath(name).read_text("utf-8")


def environment(load: Callable[[str], str | None] = part) -> Environment:
    """Return an environment in which what is printed passes `safe` and is escaped, with the words of reports."""
    made = Environment(
        loader=FunctionLoader(load),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    made.filters |= {"number": words.number, "plural": words.plural, "size": words.size, "when": words.when}
    made.globals |= {
        "catalogue": CATALOGUE,
        "rate": words.rate,
        "signs": SIGNS,
        "counts": _counts,
        "unvouched": words.UNVOUCHED,
        "timeline_width": WIDTH,
    }
    return made


def _shown(value: Any) -> Any:
    return words.safe(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _kinds(report: Report) -> list[tuple[Weight, str, int, str]]:
    """Return weight, kind, number of findings and of lines, in the order of the findings: the gravest first."""
    found: dict[tuple[Weight, str], list[int]] = {}
    for finding in report.findings:
        found.setdefault((finding.weight, finding.kind), []).append(finding.count)
    return [(weight, kind, len(counts), _lines(counts)) for (weight, kind), counts in found.items()]


def _counts(log: LogReport) -> list[tuple[str, int]]:
    return [
        ("Chains", log.chains),
        ("Checkpoints", log.epochs),
        ("Sealed", log.sealed),
        ("Prefixed", log.prefixed),
        ("Reserialized", log.reserialized),
        ("Redacted", log.redacted),
        ("Uncovered", log.uncovered),
    ]


def _lines(counts: list[int]) -> str:
    """Return how many lines findings are about together; some may not know."""
    if not sum(counts):
        return "unknown"
    return words.number(sum(counts)) if all(counts) else f"at least {words.number(sum(counts))}"

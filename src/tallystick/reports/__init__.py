"""What turns a report into output: text for people, JSON and SARIF for programs, one HTML file for the record.

>>> import tallystick
>>> report = tallystick.Report(tallystick.Verdict.OK, (), (), (), (), lines=0, unsealed=0, size=0, time=0, seconds=0.5)
>>> print(render(report, "text"), end="")
ok: every line is as it was sealed, and none is missing
<BLANKLINE>
0 lines, 0 bytes, 0 files in 0.50 s (0 lines/s)
"""

from typing import TYPE_CHECKING

from tallystick.reports.command import command_line

if TYPE_CHECKING:
    from tallystick.verify.report import Report

__all__ = ["DIGESTED", "FORMS", "command_line", "render"]

FORMS = ("text", "json", "sarif", "html")
"""The forms that a report can have."""

DIGESTED = ("json", "html")
"""The forms that show the digests of files, which cost time."""


def render(report: "Report", form: str, width: int | None = None) -> str:
    """Return a report as text that ends in a line end.

    Args:
        report: What a verification said.
        form: One of `FORMS`.
        width: Columns of the terminal that shows it, for colour and wrapped lines; None where none does. Only for
            the form `text`.

    Raises:
        ValueError: There is no such form.
    """
    # Each form loads what it needs: a template engine is not for those who ask for JSON.
    if form == "text":
        from tallystick.reports.text import text_report

        return text_report(report, width)
    if form == "json":
        from tallystick.reports.plain import json_report

        return json_report(report)
    if form == "sarif":
        from tallystick.reports.sarif import sarif_report

        return sarif_report(report)
    if form == "html":
        from tallystick.reports.html import html_report

        return html_report(report)
    raise ValueError(f"there is no form {form!r} of a report; there are {', '.join(FORMS)}")

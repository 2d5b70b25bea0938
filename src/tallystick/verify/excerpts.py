"""Beginnings of lines that findings are about, in a form that harms no terminal and shows no secret.

>>> quoted(b"user=7\\x1b[2J\\xff")
'user=7\\\\x1b[2J\\\\xff'
"""

from collections.abc import Sequence
from dataclasses import replace

from tallystick.verify.inputs import Input
from tallystick.verify.report import Finding
from tallystick.verify.strangers import blanked

__all__ = ["quoted", "with_excerpts"]

_EXCERPT = 160  # bytes


def with_excerpts(findings: Sequence[Finding], inputs: Sequence[Input]) -> list[Finding]:
    """Return findings with the beginnings of the lines that they were made at; the inputs must still be open."""
    wanted: dict[str, list[int]] = {}
    for finding in findings:
        if finding.path is not None and finding.offset is not None and finding.excerpt is None:
            wanted.setdefault(finding.path, []).append(finding.offset)
    found = {one.path: one.excerpts(wanted[one.path], _EXCERPT) for one in inputs if one.path in wanted}
    quotes = {(path, at): quoted(text) for path, texts in found.items() for at, text in texts.items()}
    return [
        finding
        if finding.excerpt is not None or finding.path is None or finding.offset is None
        else replace(finding, excerpt=quotes.get((finding.path, finding.offset)))
        for finding in findings
    ]


def quoted(text: bytes) -> str:
    """Return the beginning of a line as text that makes no terminal or browser do anything, without secrets."""
    decoded = text[:_EXCERPT].decode("utf-8", "backslashreplace")
    if not decoded.isprintable():
        decoded = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in decoded)
    return blanked(decoded, cut=len(text) >= _EXCERPT)

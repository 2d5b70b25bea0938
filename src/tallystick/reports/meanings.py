"""What verdicts and kinds of findings mean, in plain words, for whoever reads a report (spec section 7).

>>> kind_of("missing").usual.value
'failed'
>>> kind_of("missing").title
'Lines are missing'
"""

from dataclasses import dataclass

from tallystick.verify.report import BEING_WRITTEN, Report, Verdict, Weight

__all__ = ["KINDS", "Kind", "advice", "headline", "kind_of", "verdict"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of findings.

    Args:
        word: The word of the table in spec section 7.
        usual: What such a finding weighs as a rule.
        title: A few words.
        meaning: One sentence: what was found, and what it means.
    """

    word: str
    usual: Weight
    title: str
    meaning: str


_FAILED, _INCOMPLETE, _NOTE = Weight.FAILED, Weight.INCOMPLETE, Weight.NOTE

_KINDS = (
    Kind("altered", _FAILED, "A line was changed", "A line or its seal is not what was written: the two do not match."),
    Kind("missing", _FAILED, "Lines are missing", "Lines are not here although others vouch that they were sealed."),
    Kind("unsealed", _FAILED, "A line has no seal", "A line without a seal of a known log stands among sealed lines."),
    Kind("duplicate", _FAILED, "A line is here twice", "The same sealed line is here more than once."),
    Kind("fork", _FAILED, "Two histories", "Two different lines with good seals claim the same position."),
    Kind("reordered", _FAILED, "Lines were moved", "Lines of a file do not stand in the order of their seals."),
    Kind(
        "bad statement",
        _FAILED,
        "A control line does not hold",
        "A signed statement of the log is forged, out of place, or contradicts the others.",
    ),
    Kind("truncated", _FAILED, "The end is cut off", "The log ends before a point that it is known to have reached."),
    Kind("bad head", _FAILED, "The head does not hold", "The head, which says how far the log got, is forged or gone."),
    Kind(
        "unclean end",
        _NOTE,
        "A writer stopped without closing",
        "A chain has no closing line, as after a crash or a kill: up to a second of lines may be lost there.",
    ),
    Kind(
        "torn line",
        _NOTE,
        "A line was not written whole",
        "A line before an unclean end, or at the end of a copy, is broken off.",
    ),
    Kind("late start", _INCOMPLETE, "The beginning is not here", "The log begins before the first line that is here."),
    Kind(
        "open end",
        _INCOMPLETE,
        "Nothing vouches for the end",
        "Lines after the last one could be missing without a sign of it.",
    ),
    Kind(
        "no head",
        _INCOMPLETE,
        "The head cannot be had",
        "The key store should have the head of this log, which says how far it got, and has not, or cannot be read.",
    ),
    Kind(
        "uncovered",
        _INCOMPLETE,
        "Lines that cannot be checked",
        "Nothing that holds covers these lines, no checkpoint or line, so they cannot be checked with what was given.",
    ),
    Kind("redacted", _NOTE, "A line was blanked", "The text of a line was taken out; its place in the log is kept."),
    Kind(
        "reserialized",
        _NOTE,
        "JSON was written anew",
        "Something on the way wrote the JSON of a line again; its content is as it was sealed.",
    ),
    Kind(
        "prefixed",
        _NOTE,
        "Something was put before a line",
        "A carrier wrapped the line; the line is as it was sealed, what was put around it is not covered.",
    ),
    Kind(
        "subset",
        _INCOMPLETE,
        "Lines are left out",
        "The caller said that lines are left out; gaps are not judged.",
    ),
    Kind(
        "narrowed", _INCOMPLETE, "The key covers only some chains", "The key was narrowed; other chains are not judged."
    ),
    Kind(
        "excepted",
        _NOTE,
        "An exception allows this",
        "The exceptions file allows exactly this finding, which would weigh more without it.",
    ),
    Kind("unreadable", _INCOMPLETE, "A file could not be read", "A file, or the rest of one, could not be read."),
    Kind(
        "passed over",
        _NOTE,
        "A file is no log",
        "A file was not read, since it is no log: the detail says what it is.",
    ),
    Kind(
        "scheme limit",
        _INCOMPLETE,
        "The scheme cannot tell",
        "The way in which these logs are protected proves less than their readers may think.",
    ),
    Kind("nothing verified", _INCOMPLETE, "Nothing was verified", "No line here has a seal that these keys can check."),
    Kind(
        "pin not kept", _NOTE, "The pin was not kept", "The newest statement seen could not be kept for the next run."
    ),
)

KINDS: dict[str, Kind] = {kind.word: kind for kind in _KINDS}
"""All kinds of findings by their word, those of the gravest use first."""


def kind_of(word: str) -> Kind:
    """Return the kind with a word; one that says nothing more for a word that is not known here."""
    return KINDS.get(word) or Kind(word, Weight.FAILED, word, "See the detail of the finding.")


def verdict(report: Report) -> str:
    """Return the verdict, and in brackets what the caller allowed: a weakened `ok` never looks like a full one."""
    return report.verdict.value + (f" ({'; '.join(report.allowed)})" if report.allowed else "")


def headline(report: Report) -> str:
    """Return the verdict as a sentence."""
    kinds = {finding.kind for finding in report.findings}
    if report.verdict is Verdict.FAILED:
        if (
            not report.logs and "nothing verified" in kinds
        ):  # a log whose lines do not say which key they were sealed with
            return "no line holds: the log is not as it was sealed, or this is not its key"
        return "the log is not as it was sealed"
    if report.verdict is Verdict.INCOMPLETE:
        if "nothing verified" in kinds:
            return "nothing could be verified"
        return "what is here holds, but something could not be told"
    sentence = "every line is as it was sealed, and none is missing"
    if any(log.end == "nothing" for log in report.logs):
        sentence += " before the last one that is here"
    if "scheme limit" in kinds:
        return "every line fits in its chain, as far as the scheme of these logs can tell"
    if "excepted" in kinds:
        return f"{sentence}, but for what the exceptions file allows"
    if any(finding.kind == "unclean end" and BEING_WRITTEN not in finding.detail for finding in report.findings):
        return f"{sentence}, but for the last second before a crash"
    return sentence


def advice(report: Report) -> str:
    """Return what to do now."""
    if report.verdict is Verdict.FAILED:
        return "Keep everything as it is, make a copy, and start with the first finding: it says where to look."
    if report.verdict is Verdict.INCOMPLETE and not report.logs:
        return "This is no proof that all is well. The findings say what these logs cannot prove by themselves."
    if report.verdict is Verdict.INCOMPLETE:
        return "This is no proof that all is well. Give what the findings ask for, such as the head or the older files."
    if report.findings:
        return "There is nothing to do. The notes below tell what was out of the ordinary."
    return "There is nothing to do."

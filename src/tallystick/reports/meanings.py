"""What a verdict means, in plain words, for people who read a report (spec section 7)."""

from tallystick.verify.catalogue import Kind
from tallystick.verify.report import BEING_WRITTEN, Report, Verdict

__all__ = ["advice", "headline", "verdict"]


def verdict(report: Report) -> str:
    """Return the verdict, and in brackets what the caller allowed: a weakened `ok` never looks like a full one."""
    return report.verdict.value + (f" ({'; '.join(report.allowed)})" if report.allowed else "")


def headline(report: Report) -> str:
    """Return the verdict as a sentence."""
    kinds = {finding.kind for finding in report.findings}
    if report.verdict is Verdict.FAILED:
        if not report.logs and Kind.NOTHING_VERIFIED in kinds:  # its lines do not say which key sealed them
            return "no line holds: the log is not as it was sealed, or this is not its key"
        return "the log is not as it was sealed"
    if report.verdict is Verdict.INCOMPLETE:
        if Kind.NOTHING_VERIFIED in kinds:
            return "nothing could be verified"
        return "what is here holds, but something could not be told"
    sentence = "every line is as it was sealed, and none is missing"
    if any(log.end == "nothing" for log in report.logs):
        sentence += " before the last one that is here"
    if Kind.SCHEME_LIMIT in kinds:
        return "every line fits in its chain, as far as the scheme of these logs can tell"
    if Kind.EXCEPTED in kinds:
        return f"{sentence}, but for what the exceptions file allows"
    if any(finding.kind == Kind.UNCLEAN_END and BEING_WRITTEN not in finding.detail for finding in report.findings):
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
